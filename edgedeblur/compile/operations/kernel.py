"""The kernels of layers without weights as TIR: parallel over rows, many neighbouring channels at once.

    for part of the rows, in parallel:
        for row, for pixel (all pixels of a row at once where none is rearranged):
            for vector of channels:    load, combine, round, clamp, store

edgedeblur/quantize/network.py defines the arithmetic. Sums are int32 and each product is rounded once, to float32, and
feeds a rounding, so that no compiler can change a bit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from tvm.ir import Expr
from tvm.script.ir_builder import IRBuilder
from tvm.tirx import Buffer, PrimFunc
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import round_half_even, span, splat, vector
from edgedeblur.compile.operations.layer import OperationLayer, operation_parameters
from edgedeblur.quantize.network import MEAN_STEPS
from edgedeblur.student.operations import Tap

_LANES = 16  # values that are worked on together; LLVM splits them to the registers of the target
_PARTS = 32
_ALONE_BYTES = 16 << 10  # what one thread has done before others have woken


def operation_kernel(layer: OperationLayer, symbol: str) -> PrimFunc:
    """The kernel as TIR; its parameters are `operation_parameters`, in that order."""
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(symbol)
        T.func_attr({"global_symbol": symbol, "tirx.noalias": True})
        buffers = [T.arg(p.name, T.buffer(p.shape, p.dtype, align=p.alignment)) for p in operation_parameters(layer)]
        if layer.operation.combine == "mean":
            _mean(layer, *buffers)
        else:
            _Pass(layer, buffers).emit()
    return builder.get()


@dataclass(frozen=True)
class _Run:
    """Where values that are neighbours in memory are written, and what is read for each of their taps.

    row, column: of out. read(source, tap): row and column of a source.
    """

    row: Expr
    column: Expr | int
    read: Callable[[int, Tap], tuple[Expr, Expr | int]]


class _Pass:
    """The state while one kernel is emitted."""

    def __init__(self, layer: OperationLayer, buffers: list[Buffer]):
        self.layer, self.operation = layer, layer.operation
        count = len(layer.sources)
        self.sources, self.out = buffers[:count], buffers[-1]
        self.table = buffers[count] if self.operation.combine == "table" else None

    def emit(self) -> None:
        rows = self.layer.out[0] // self.operation.grow
        parts = 1 if prod(self.layer.out) <= _ALONE_BYTES else min(rows, _PARTS)
        each = -(-rows // parts)
        with T.parallel(parts) as part, T.serial(T.max(T.min(each, rows - part * each), 0)) as row:
            self._rows(T.bind(part * each + row))

    def _rows(self, y: Expr) -> None:
        """The rows of `out` that are made of row `y` of what is as large as the sources, shrunk."""
        height, width, channels = self.layer.out
        grow = self.operation.grow
        if self._whole_rows:
            run = _Run(y, 0, lambda index, tap: (y, 0))
            _by_vectors(width * channels, lambda at, lanes: self._store(run, self.operation.taps[0], at, lanes))
            return
        with T.serial(width // grow) as x:
            for phase, taps in enumerate(self.operation.taps):
                column = T.bind((x * grow + phase % grow) * channels)
                run = _Run(y * grow + phase // grow, column, lambda index, tap: self._place(index, tap, y, x))
                self._channels(run, taps)

    @property
    def _whole_rows(self) -> bool:
        """Whether a row of every source is what a row of the output is made of, value by value."""
        same = all(source.shape == self.layer.out and source.start == 0 for source in self.layer.sources)
        return same and self.operation.taps == ((Tap(0, 0),),) and self.operation.combine != "concatenate"

    def _channels(self, run: _Run, taps: tuple[Tap, ...]) -> None:
        if self.operation.combine != "concatenate":
            _by_vectors(self.layer.out[2], lambda at, lanes: self._store(run, taps, at, lanes))
            return
        first = 0
        for index, source in enumerate(self.layer.sources):

            def store(at, lanes: int, index=index, first=first) -> None:
                value = self._scaled(self._load(run, index, taps[0], at, lanes), index, lanes)
                self._finish(value, run, first + at, lanes)

            _by_vectors(source.shape[2], store)
            first += source.shape[2]

    def _place(self, index: int, tap: Tap, y: Expr, x: Expr) -> tuple[Expr, Expr]:
        """Row and column of a source; beyond its border the nearest pixel."""
        height, width, channels = self.layer.sources[index].shape
        if (height, width) == (1, 1):
            return T.int32(0), T.int32(self.layer.sources[index].start)
        row, column = (
            _held(at * self.operation.shrink + shift, shift, side, self.operation.shrink)
            for at, shift, side in ((y, tap.dy, height), (x, tap.dx, width))
        )
        return row, column * channels + self.layer.sources[index].start

    def _load(self, run: _Run, index: int, tap: Tap, at, lanes: int) -> Expr:
        """Neighbouring values less their zero point, int32."""
        row, column = run.read(index, tap)
        value = self.sources[index].vload([row, span(column + at, lanes)])
        return T.cast(value, vector("int32", lanes)) - splat(self.layer.sources[index].zero, "int32", lanes)

    def _scaled(self, value: Expr, index: int, lanes: int) -> Expr:
        product = T.cast(value, vector("float32", lanes)) * splat(self.layer.scales[index], "float32", lanes)
        return round_half_even(product, lanes)

    def _store(self, run: _Run, taps: tuple[Tap, ...], at, lanes: int) -> None:
        """Emits `lanes` neighbouring values of the output, `at` behind the run's column."""
        if self.table is not None:
            self._look_up(run, taps[0], at, lanes)
            return
        self._finish(self._combined(run, taps, at, lanes), run, at, lanes)

    def _combined(self, run: _Run, taps: tuple[Tap, ...], at, lanes: int) -> Expr:
        combine = self.operation.combine
        if combine in ("add", "multiply"):
            a, b = (self._load(run, index, taps[0], at, lanes) for index in (0, 1))
            if combine == "multiply":
                return self._scaled(a * b, 0, lanes)
            return self._scaled(a, 0, lanes) + self._scaled(b, 1, lanes)
        values = [self._load(run, 0, tap, at, lanes) for tap in taps]
        total = None
        for tap, value in zip(taps, values, strict=True):
            if combine == "maximum":
                total = value if total is None else T.max(total, value)
            else:
                weighed = value if tap.weight == 1 else value * splat(tap.weight, "int32", lanes)
                total = weighed if total is None else total + weighed
        return total if combine == "maximum" else self._scaled(total, 0, lanes)

    def _finish(self, value: Expr, run: _Run, at, lanes: int) -> None:
        self._write(run, at, lanes, _clamped(value, self.layer.out_zero_point, lanes))

    def _look_up(self, run: _Run, tap: Tap, at, lanes: int) -> None:
        row, column = run.read(0, tap)
        stored = T.cast(self.sources[0].vload([row, span(column + at, lanes)]), vector("int32", lanes))
        index = stored if self.layer.sources[0].image else stored + splat(128, "int32", lanes)
        self._write(run, at, lanes, self.table.vload([index]))

    def _write(self, run: _Run, at, lanes: int, value: Expr) -> None:
        T.buffer_store(self.out, value, [run.row, span(run.column + at, lanes)])


def _mean(layer: OperationLayer, source: Buffer, out: Buffer) -> None:
    """Sums of channels by rows in parallel, then their means, rounded; all sums are integers, in any order."""
    (height, width, channels), start, zero = layer.sources[0].shape, layer.sources[0].start, layer.sources[0].zero
    made, pixels = layer.out[2], height * width
    parts = 1 if height * width * channels <= _ALONE_BYTES else min(height, _PARTS)
    each = -(-height // parts)
    sums = T.alloc_buffer((parts * made,), "int64")
    with T.parallel(parts) as part:
        with T.serial(made) as channel:
            T.buffer_store(sums, T.int64(0), [part * made + channel])
        with T.serial(T.max(T.min(each, height - part * each), 0)) as row:

            def add(at, lanes: int) -> None:
                total = T.alloc_buffer((lanes,), "int32")  # a row has fewer than 2^23 pixels
                every = span(0, lanes)
                T.buffer_store(total, splat(0, "int32", lanes), [every])
                with T.serial(width) as x:
                    value = source.vload([part * each + row, span(x * channels + start + at, lanes)])
                    T.buffer_store(total, total.vload([every]) + T.cast(value, vector("int32", lanes)), [every])
                place = [span(part * made + at, lanes)]
                T.buffer_store(sums, sums.vload(place) + T.cast(total.vload([every]), vector("int64", lanes)), place)

            _by_vectors(made, add)
    with T.serial(made) as channel:
        total = T.alloc_buffer((1,), "int64")
        T.buffer_store(total, T.int64(-zero * pixels), [0])
        with T.serial(parts) as part:
            T.buffer_store(total, total[0] + sums[part * made + channel], [0])
        steps = total[0] * T.int64(MEAN_STEPS) + T.int64(pixels // 2)
        mean = T.cast(T.floordiv(steps, T.int64(pixels)), "int32")
        value = round_half_even(T.cast(mean, "float32") * T.float32(layer.scales[0]), 1)
        T.buffer_store(out, _clamped(value, layer.out_zero_point, 1), [0, channel])


def _held(at: Expr, shift: int, side: int, shrink: int) -> Expr:
    """A coordinate inside [0, side); `at` can be outside only on the side of its shift."""
    if shift < 0:
        return T.max(at, 0)
    return T.min(at, side - 1) if shift >= shrink else at


def _clamped(value: Expr, zero_point: int, lanes: int) -> Expr:
    shifted = value + splat(zero_point, "int32", lanes)
    held = T.max(T.min(shifted, splat(127, "int32", lanes)), splat(-128, "int32", lanes))
    return T.cast(held, vector("int8", lanes))


def _by_vectors(length: int, emit: Callable[[Expr | int, int], None]) -> None:
    """Emits `emit(offset, lanes)` so that [0, length) is covered: a loop of whole vectors, then ever smaller ones."""
    whole, lanes = length // _LANES, _LANES
    if whole:
        with T.serial(whole) as step:
            emit(step * _LANES, _LANES)
    at = whole * _LANES
    while at < length:
        lanes //= 2
        if at + lanes <= length:
            emit(at, lanes)
            at += lanes
