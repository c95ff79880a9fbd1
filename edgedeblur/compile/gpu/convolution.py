"""A layer's kernel for a GPU: a work item computes a few neighbouring pixels times a few words of output channels.

for ky, for word of input channels:
    the row's window of activations, one word a pixel        registers; padding is the word of the zero point
    for kx: for output channel:                              weights, the same for all items of a group
        sums += dot(activation, weights)
requantise, add the residual, clamp, pack four channels to a word, store where depth-to-space puts it

What differs between layers of one shape (zero points, clamps, scales) is data: they share a kernel, and
the driver compiles it once.
"""

import dataclasses
from dataclasses import dataclass
from functools import reduce

from tvm.ir import Expr
from tvm.script.ir_builder import IRBuilder
from tvm.tirx import Buffer, PrimFunc
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.gpu.launch import Argument, Launch, work_items
from edgedeblur.compile.gpu.schedule import GpuSchedule, output_words
from edgedeblur.compile.gpu.tensor import IMAGE_WORD, LANES, WordTensor, half_lanes, lane, pack, word, words_for
from edgedeblur.compile.kernels.convolution import without_short_cuts
from edgedeblur.compile.kernels.layer import IMAGE_OFFSET, ConvLayer


def conv_arguments(layer: ConvLayer) -> tuple[Argument, ...]:
    """source (folded already), weight, bias, scale (behind the channels', a residual's), negative_scale and residual
    where the layer has them, numbers (`layer_numbers`), out."""
    sums = LANES * output_words(layer)
    weights = layer.kernel**2 * words_for(layer.in_channels) * sums
    out = WordTensor(*layer.out, layer.image_out)
    residual = () if layer.residual is None else (Argument("residual", out.words, "uint32"),)
    negative = (Argument("negative_scale", sums, "float32"),) if layer.prelu else ()
    return (
        Argument("source", _source(layer).words, "uint32"),
        Argument("weight", weights, "uint32"),
        Argument("bias", sums, "int32"),
        Argument("scale", sums + len(residual), "float32"),
        *negative,
        *residual,
        Argument("numbers", len(layer_numbers(layer)), "int32"),
        Argument("out", out.words, "uint32"),
    )


def layer_numbers(layer: ConvLayer) -> tuple[int, int, int, int, int]:
    """The zero points of the source and of the output, the clamps, the zero point of the residual."""
    residual = 0 if layer.residual is None else layer.residual.zero_point
    return layer.source_zero_point, layer.out_zero_point, layer.low, layer.high, residual


def same_kernel(layer: ConvLayer) -> ConvLayer:
    """The layer without what its kernel reads as data: equal for layers that can share a kernel."""
    layer = without_short_cuts(layer)
    residual = layer.residual
    if residual is not None:
        residual = dataclasses.replace(residual, zero_point=0, scale=1.0 if residual.scale == 1.0 else 0.0)
    numbers = {"source_zero_point": 0, "out_zero_point": 0, "low": 0, "high": 0, "largest_sum": 0}
    return dataclasses.replace(layer, name="", residual=residual, **numbers)


def conv_launch(layer: ConvLayer, schedule: GpuSchedule) -> Launch:
    """Work items along a row, over rows, over blocks of output channels."""
    height, width = layer.out_size
    items = (-(-width // schedule.pixels), height, output_words(layer) // schedule.words)
    return Launch(items, schedule.group)


def conv_kernel(layer: ConvLayer, schedule: GpuSchedule, symbol: str) -> PrimFunc:
    """The kernel as TIR; its parameters are `conv_arguments`, in that order."""
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(symbol)
        T.func_attr({"global_symbol": symbol, "tirx.noalias": True})
        buffers = {a.name: T.arg(a.name, T.buffer((a.elements,), a.dtype)) for a in conv_arguments(layer)}
        with work_items(conv_launch(layer, schedule)) as (x, y, block):
            _Item(layer, schedule, buffers, T.bind(x * schedule.pixels), y, block).emit()
    return builder.get()


def _source(layer: ConvLayer) -> WordTensor:
    return WordTensor(*layer.in_size, layer.in_channels)


@dataclass(frozen=True)
class _Item:
    """One work item while its code is emitted: the first of its pixels, and its block of output channels."""

    layer: ConvLayer
    schedule: GpuSchedule
    buffers: dict[str, Buffer]
    x: Expr
    y: Expr
    block: Expr

    @property
    def channels(self) -> int:
        return LANES * self.schedule.words

    @property
    def reach(self) -> int:
        """Input pixels of a row that its pixels' windows cover."""
        return (self.schedule.pixels - 1) * self.layer.stride + self.layer.reach

    def emit(self) -> None:
        sums = T.alloc_buffer((self.schedule.pixels * self.channels,), "int32", scope="local")
        for channel in range(self.channels):
            bias = T.bind(self.buffers["bias"][self.block * self.channels + channel])
            for pixel in range(self.schedule.pixels):
                T.buffer_store(sums, bias, [pixel * self.channels + channel])
        self._accumulate(sums)
        for pixel in range(self.schedule.pixels):
            if self.layer.out_size[1] % self.schedule.pixels == 0:
                self._store(sums, pixel)
                continue
            with T.If(self.x + pixel < self.layer.out_size[1]), T.Then():
                self._store(sums, pixel)

    def _accumulate(self, sums: Buffer) -> None:
        layer, source = self.layer, _source(self.layer)
        window = T.alloc_buffer((self.reach,), "uint32", scope="local")
        zero = T.bind(T.cast(T.bitwise_and(self._number(0), 0xFF), "uint32") * word(0x01010101))
        with T.serial(layer.kernel) as ky, T.serial(source.planes) as plane:
            row = T.bind(self.y * layer.stride + (ky * layer.dilation - layer.pad))
            with T.If(T.And(row >= 0, row < source.height)):
                with T.Then():
                    for place in range(self.reach):
                        T.buffer_store(window, self._activation(plane, row, place, zero), [place])
                with T.Else():
                    for place in range(self.reach):
                        T.buffer_store(window, zero, [place])
            first = T.bind(((self.block * layer.kernel + ky) * source.planes + plane) * (layer.kernel * self.channels))
            for kx in range(layer.kernel):
                self._multiply(sums, window, first + kx * self.channels, kx)

    def _number(self, index: int) -> Expr:
        """One of `layer_numbers`."""
        return self.buffers["numbers"][index]

    def _activation(self, plane: Expr, row: Expr, place: int, zero: Expr) -> Expr:
        """A word of the window, or `zero` outside of the row; unchecked where no item's window leaves the row there."""
        layer, source = self.layer, _source(self.layer)
        column = self.x * layer.stride + (place - layer.pad)
        last = (-(-layer.out_size[1] // self.schedule.pixels) - 1) * self.schedule.pixels * layer.stride
        value = self.buffers["source"][source.at(plane, row, column)]
        value = half_lanes(T.bind(value)) if layer.halved else value
        inside = []
        if place < layer.pad:
            inside.append(column >= 0)
        if last + place - layer.pad >= source.width:
            inside.append(column < source.width)
        if not inside:
            return value
        return T.if_then_else(reduce(T.And, inside), value, zero)

    def _multiply(self, sums: Buffer, window: Buffer, first: Expr, kx: int) -> None:
        """One column of the kernel: `channels` words of weights from `first`, with every pixel's activation."""
        step = self.schedule.vector
        for start in range(0, self.channels, step):
            index = first + start if step == 1 else T.ramp(first + start, 1, step)
            loaded = T.bind(self.buffers["weight"].vload([index]))
            for part in range(step):
                weight = loaded if step == 1 else T.Shuffle([loaded], [part])
                for pixel in range(self.schedule.pixels):
                    place = pixel * self.channels + start + part
                    activation = window[pixel * self.layer.stride + kx * self.layer.dilation]
                    total = T.call_pure_extern("int32", "ed_dot", activation, weight, sums[place])
                    T.buffer_store(sums, total, [place])

    def _store(self, sums: Buffer, pixel: int) -> None:
        layer, out = self.layer, WordTensor(*self.layer.out, self.layer.image_out)
        fold = layer.depth_to_space
        for index in range(self.schedule.words):
            number = T.bind(self.block * self.schedule.words + index)  # of the word, among all of the pixel
            part, plane = T.floordiv(number, out.planes), T.floormod(number, out.planes)
            y = self.y * fold + T.floordiv(part, fold)
            x = (self.x + pixel) * fold + T.floormod(part, fold)
            place = T.bind(out.at(plane, y, x))
            used = min(LANES, layer.out[2]) if out.planes == 1 else LANES
            values = [self._steps(sums, pixel, LANES * index + part) for part in range(used)]
            T.buffer_store(self.buffers["out"], self._finish(values, place), [place])

    def _steps(self, sums: Buffer, pixel: int, channel: int) -> Expr:
        """rint(float32(sum) * scale): one rounding to float32, then half to even."""
        total, place = sums[pixel * self.channels + channel], self.block * self.channels + channel
        scale = self.buffers["scale"][place]
        if self.layer.prelu:
            scale = T.Select(total < 0, self.buffers["negative_scale"][place], scale)
        return _round(T.cast(total, "float32") * scale)

    def _finish(self, values: list[Expr], place: Expr) -> Expr:
        """The word to store, from up to four requantised sums."""
        layer, residual = self.layer, self.layer.residual
        if residual is not None:
            stored = self.buffers["residual"][place]
            stored = T.bind(T.bitwise_xor(stored, word(IMAGE_WORD)) if residual.image else stored)
            values = [value + self._residual(lane(stored, index)) for index, value in enumerate(values)]
        clamped = [T.max(T.min(value + self._number(1), self._number(3)), self._number(2)) for value in values]
        if not layer.image_out:
            return pack(clamped)
        return pack([value + IMAGE_OFFSET for value in clamped])

    def _residual(self, value: Expr) -> Expr:
        residual = self.layer.residual
        centred = value - self._number(4)
        if residual.scale == 1.0:
            return centred
        return _round(T.cast(centred, "float32") * self.buffers["scale"][LANES * output_words(self.layer)])


def _round(value: Expr) -> Expr:
    """float32 to int32, half to even: `ed_rint` of the prelude."""
    return T.call_pure_extern("int32", "ed_rint", value)
