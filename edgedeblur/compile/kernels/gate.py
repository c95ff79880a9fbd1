"""The kernel of a gate: from the tensor that gates a layer to the layer's scales for this image.

    for part of the rows, in parallel:     channel sums, in int16 for up to 256 pixels, then in int32
    for channel:                           the parts' sums together in int64, and their mean in 1/128 steps
    for output channel:                    the matrix's row times the means, the table, times the scale

It runs as soon as that tensor is stored, while caches still hold it. The layer's own kernel then reads these scales in
place of constants, whatever its instruction set. edgedeblur/quantize/network.py defines the arithmetic.
"""

from dataclasses import dataclass
from math import gcd, prod

from tvm.script.ir_builder import IRBuilder
from tvm.tirx import Buffer, PrimFunc
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import round_half_even, span, splat, vector
from edgedeblur.compile.kernels.signature import Parameter
from edgedeblur.quantize.network import GATE_TABLE, MAX_GATE_INDEX, MEAN_STEPS

_LANES = 64  # bytes added at once; LLVM splits them to the registers of the target
_SHORT_SUMS = 256  # of int8 values, that int16 holds whatever they are
_PARTS = 16
_ALONE_BYTES = 16 << 10  # what one thread has added up before others have woken


@dataclass(frozen=True)
class Gate:
    """The numbers that a gate's kernel is specialised for.

    source: (height, width, channels) of the tensor that gates, int8. scales: of the layer's kernel, with those that
    only fill a register.
    """

    source: tuple[int, int, int]
    source_zero_point: int
    out_channels: int
    scales: int

    @property
    def parts(self) -> int:
        """In which rows are added up, each by one thread."""
        return 1 if prod(self.source) <= _ALONE_BYTES else min(self.source[0], _PARTS)

    @property
    def lanes(self) -> int:
        """Neighbouring values that are added at once: of one pixel, or of several where they fill a vector."""
        _, width, channels = self.source
        whole_pixels = _LANES % channels == 0 and width * channels % _LANES == 0
        return _LANES if whole_pixels else gcd(channels, _LANES)

    @property
    def period(self) -> int:
        """Values of a row after which the same sums come again: channels, or a vector with several pixels'."""
        return max(self.source[2], self.lanes)


def gate_parameters(gate: Gate) -> tuple[Parameter, ...]:
    """source, weight (rows of the matrix), bias, gate_scale, scale (the layer's own), table, out."""
    height, width, channels = gate.source
    outputs = (gate.scales,)
    return (
        Parameter("source", (height, width * channels), "int8"),
        Parameter("gate_weight", (gate.out_channels * channels,), "int8"),
        Parameter("gate_bias", (gate.out_channels,), "int32"),
        Parameter("gate_scale", (gate.out_channels,), "float32"),
        Parameter("scale", outputs, "float32"),
        Parameter("gate_table", GATE_TABLE.shape, "float32"),
        Parameter("out", outputs, "float32"),
    )


def gate_kernel(gate: Gate, symbol: str) -> PrimFunc:
    """The kernel as TIR; its parameters are `gate_parameters`, in that order."""
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(symbol)
        T.func_attr({"global_symbol": symbol, "tirx.noalias": True})
        buffers = {p.name: T.arg(p.name, T.buffer(p.shape, p.dtype, align=p.alignment)) for p in gate_parameters(gate)}
        sums = T.alloc_buffer((gate.parts * gate.period,), "int32")
        with T.serial(1) if gate.parts == 1 else T.parallel(gate.parts) as part:
            _add_part(gate, buffers["source"], sums, part)
        means = T.alloc_buffer((gate.source[2],), "int32")
        with T.serial(gate.source[2]) as channel:
            _mean(gate, sums, means, channel)
        with T.serial(gate.out_channels) as output:
            _scale(gate, buffers, means, output)
        with T.serial(gate.scales - gate.out_channels) as rest:
            place = gate.out_channels + rest
            T.buffer_store(buffers["out"], buffers["scale"][place], [place])
    return builder.get()


def _add_part(gate: Gate, source: Buffer, sums: Buffer, part) -> None:
    """The sums of the rows of one part, at part * period."""
    height, width, channels = gate.source
    rows = -(-height // gate.parts)
    start = T.bind(part * gate.period)
    with T.serial(gate.period // gate.lanes) as group:
        place = span(start + group * gate.lanes, gate.lanes)
        T.buffer_store(sums, splat(0, "int32", gate.lanes), [place])
    with T.serial(T.max(T.min(rows, height - part * rows), 0)) as row:
        y = T.bind(part * rows + row)
        with T.serial(gate.period // gate.lanes) as group:
            _add_row(gate, source, sums, y, group * gate.lanes, start + group * gate.lanes, width * channels)


def _add_row(gate: Gate, source: Buffer, sums: Buffer, y, first, place, length: int) -> None:
    """Adds every vector at first + n * period of a row to the sums at `place`."""
    lanes, every = gate.lanes, span(0, gate.lanes)
    vectors, short = length // gate.period, vector("int16", gate.lanes)
    total = T.alloc_buffer((lanes,), "int16")

    def add(begin, count: int) -> None:
        T.buffer_store(total, splat(0, "int16", lanes), [every])
        with T.serial(count) as step:
            value = source.vload([y, span(first + (begin + step) * gate.period, lanes)])
            T.buffer_store(total, total.vload([every]) + T.cast(value, short), [every])
        wide = T.cast(total.vload([every]), vector("int32", lanes))
        T.buffer_store(sums, sums.vload([span(place, lanes)]) + wide, [span(place, lanes)])

    whole, rest = divmod(vectors, _SHORT_SUMS)
    if whole:
        with T.serial(whole) as chunk:
            add(chunk * _SHORT_SUMS, _SHORT_SUMS)
    if rest:
        add(whole * _SHORT_SUMS, rest)


def _mean(gate: Gate, sums: Buffer, means: Buffer, channel) -> None:
    """The mean of one channel in 1/MEAN_STEPS of a step, half up."""
    height, width, channels = gate.source
    pixels = height * width
    total = T.alloc_buffer((1,), "int64")
    T.buffer_store(total, T.cast(-gate.source_zero_point * pixels, "int64"), [0])
    with T.serial(gate.parts * gate.period // channels) as piece:
        T.buffer_store(total, total[0] + T.cast(sums[piece * channels + channel], "int64"), [0])
    steps = total[0] * T.cast(MEAN_STEPS, "int64") + T.cast(pixels // 2, "int64")
    T.buffer_store(means, T.cast(T.truncdiv(steps, T.cast(pixels, "int64")), "int32"), [channel])  # of none below 0


def _scale(gate: Gate, buffers: dict[str, Buffer], means: Buffer, output) -> None:
    """The scale of one output channel."""
    channels = gate.source[2]
    total = T.alloc_buffer((1,), "int32")
    T.buffer_store(total, buffers["gate_bias"][output], [0])
    with T.serial(channels) as channel:
        weight = T.cast(buffers["gate_weight"][output * channels + channel], "int32")
        T.buffer_store(total, total[0] + weight * means[channel], [0])
    product = T.cast(total[0], "float32") * buffers["gate_scale"][output]
    limit = float(MAX_GATE_INDEX)
    held = T.max(T.min(product, T.cast(limit, "float32")), T.cast(-limit, "float32"))
    factor = buffers["gate_table"][round_half_even(held, 1) + MAX_GATE_INDEX]
    T.buffer_store(buffers["out"], buffers["scale"][output] * factor, [output])
