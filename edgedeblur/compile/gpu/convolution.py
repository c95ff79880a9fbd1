"""A layer's kernel for a GPU: a work item computes a few neighbouring pixels times a few words of output channels.

for ky, for word of input channels:
    the row's window of activations, one word a pixel        registers; padding is the word of the zero point
    for kx: for output channel:                              weights, the same for all items of a group
        sums += dot(activation, weights)
requantise, add the residual, clamp, pack four channels to a word, store where depth-to-space puts it

What differs between layers of one shape (zero points, clamps, scales) is data: they share a kernel, and
the driver compiles it once. In the float16 form (`Form`) activations and weights are float16, sums float32, and scales
are factors of real values: 1, a gate's factor, or for the image 255.
"""

import dataclasses
from dataclasses import dataclass
from functools import reduce
from itertools import product

from tvm.ir import Expr
from tvm.script.ir_builder import IRBuilder
from tvm.tirx import Buffer, PrimFunc
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.gpu.form import FP16, Form
from edgedeblur.compile.gpu.launch import Argument, Launch, work_items
from edgedeblur.compile.gpu.schedule import GpuSchedule, output_words
from edgedeblur.compile.gpu.tensor import (
    IMAGE_WORD,
    LANES,
    WordTensor,
    half_lane,
    half_lanes,
    lane,
    pack,
    pack_halves,
    word,
    words_for,
)
from edgedeblur.compile.kernels.convolution import without_short_cuts
from edgedeblur.compile.kernels.layer import IMAGE_OFFSET, ConvLayer


def conv_arguments(layer: ConvLayer, form: Form) -> tuple[Argument, ...]:
    """source (folded already), weight, bias, scale (behind the channels', a residual's), negative_scale and residual
    where the layer has them, numbers (`layer_numbers`; in float16 the two clamps), out."""
    sums = LANES * output_words(layer)
    weights = layer.kernel**2 * words_for(layer.in_channels) * sums * form.parts
    residual = () if layer.residual is None else (Argument("residual", _residual(layer, form).elements, "uint32"),)
    negative = (Argument("negative_scale", sums, "float32"),) if layer.prelu else ()
    numbers = 2 if form is FP16 else len(layer_numbers(layer))
    return (
        Argument("source", _source(layer, form).elements, "uint32"),
        Argument("weight", weights, "uint32"),
        Argument("bias", sums, form.total),
        Argument("scale", sums + len(residual), "float32"),
        *negative,
        *residual,
        Argument("numbers", numbers, form.total),
        Argument("out", _out(layer, form).elements, "uint32"),
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


def conv_kernel(layer: ConvLayer, schedule: GpuSchedule, form: Form, symbol: str) -> PrimFunc:
    """The kernel as TIR; its parameters are `conv_arguments`, in that order."""
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(symbol)
        T.func_attr({"global_symbol": symbol, "tirx.noalias": True})
        buffers = {a.name: T.arg(a.name, T.buffer((a.elements,), a.dtype)) for a in conv_arguments(layer, form)}
        with work_items(conv_launch(layer, schedule)) as (x, y, block):
            _Item(layer, schedule, form, buffers, T.bind(x * schedule.pixels), y, block).emit()
    return builder.get()


def _source(layer: ConvLayer, form: Form) -> WordTensor:
    return WordTensor(*layer.in_size, layer.in_channels, parts=form.parts)


def _out(layer: ConvLayer, form: Form) -> WordTensor:
    return WordTensor(*layer.out, layer.image_out, form.parts)


def _residual(layer: ConvLayer, form: Form) -> WordTensor:
    return WordTensor(*layer.out, layer.residual.image, form.parts)


@dataclass(frozen=True)
class _Item:
    """One work item while its code is emitted: the first of its pixels, and its block of output channels."""

    layer: ConvLayer
    schedule: GpuSchedule
    form: Form
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
        sums = T.alloc_buffer((self.schedule.pixels * self.channels,), self.form.total, scope="local")
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
        layer, source, parts = self.layer, _source(self.layer, self.form), self.form.parts
        window = T.alloc_buffer((self.reach * parts,), "uint32", scope="local")
        zero = T.bind(self._zero())
        with T.serial(layer.kernel) as ky, T.serial(source.planes) as plane:
            row = T.bind(self.y * layer.stride + (ky * layer.dilation - layer.pad))
            with T.If(T.And(row >= 0, row < source.height)):
                with T.Then():
                    for place, part in product(range(self.reach), range(parts)):
                        value = self._activation(plane, row, place, part, zero)
                        T.buffer_store(window, value, [place * parts + part])
                with T.Else():
                    for place in range(self.reach * parts):
                        T.buffer_store(window, zero, [place])
            step = self.channels * parts
            first = T.bind(((self.block * layer.kernel + ky) * source.planes + plane) * (layer.kernel * step))
            for kx in range(layer.kernel):
                self._multiply(sums, window, first + kx * step, kx)

    def _zero(self) -> Expr:
        """What padding is."""
        if self.form is FP16:
            return word(0)
        return T.cast(T.bitwise_and(self._number(0), 0xFF), "uint32") * word(0x01010101)

    def _number(self, index: int) -> Expr:
        """One of `layer_numbers`."""
        return self.buffers["numbers"][index]

    def _activation(self, plane: Expr, row: Expr, place: int, part: int, zero: Expr) -> Expr:
        """Part of a word of the window, or `zero` outside of the row; unchecked where no item's window leaves it."""
        layer, source = self.layer, _source(self.layer, self.form)
        column = self.x * layer.stride + (place - layer.pad)
        last = (-(-layer.out_size[1] // self.schedule.pixels) - 1) * self.schedule.pixels * layer.stride
        value = self.buffers["source"][source.element(source.at(plane, row, column), part)]
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
        """One column of the kernel: the weights of `channels` from `first`, with every pixel's activation."""
        step, parts = self.schedule.vector, self.form.parts
        weight: list[Expr] = []  # of one channel
        for start in range(0, self.channels * parts, step):
            index = first + start if step == 1 else T.ramp(first + start, 1, step)
            loaded = T.bind(self.buffers["weight"].vload([index]))
            for lane_index in range(step):
                weight.append(loaded if step == 1 else T.Shuffle([loaded], [lane_index]))
                if len(weight) == parts:
                    self._add_products(sums, window, weight, (start + lane_index) // parts, kx)
                    weight = []

    def _add_products(self, sums: Buffer, window: Buffer, weight: list[Expr], channel: int, kx: int) -> None:
        layer, parts = self.layer, self.form.parts
        for pixel in range(self.schedule.pixels):
            place = pixel * self.channels + channel
            first = (pixel * layer.stride + kx * layer.dilation) * parts
            activation = [window[first + part] for part in range(parts)]
            total = T.call_pure_extern(self.form.total, self.form.dot, *activation, *weight, sums[place])
            T.buffer_store(sums, total, [place])

    def _store(self, sums: Buffer, pixel: int) -> None:
        layer, out = self.layer, _out(self.layer, self.form)
        fold = layer.depth_to_space
        for index in range(self.schedule.words):
            number = T.bind(self.block * self.schedule.words + index)  # of the word, among all of the pixel
            part, plane = T.floordiv(number, out.planes), T.floormod(number, out.planes)
            y = self.y * fold + T.floordiv(part, fold)
            x = (self.x + pixel) * fold + T.floormod(part, fold)
            place = T.bind(out.at(plane, y, x))
            used = min(LANES, layer.out[2]) if out.planes == 1 else LANES
            values = [self._scaled(sums, pixel, LANES * index + part) for part in range(used)]
            made = self._finish_half(values, place) if self.form is FP16 else [self._finish(values, place)]
            for part, value in enumerate(made):
                T.buffer_store(self.buffers["out"], value, [out.element(place, part)])

    def _scaled(self, sums: Buffer, pixel: int, channel: int) -> Expr:
        """float32(sum) * scale, rounded to float32 once."""
        total, place = sums[pixel * self.channels + channel], self.block * self.channels + channel
        scale = self.buffers["scale"][place]
        if self.layer.prelu:
            scale = T.Select(total < T.cast(0, self.form.total), self.buffers["negative_scale"][place], scale)
        return (T.cast(total, "float32") if self.form.total == "int32" else total) * scale

    def _finish(self, values: list[Expr], place: Expr) -> Expr:
        """The word to store, from up to four sums times their scales: half to even, then in integers."""
        layer, residual = self.layer, self.layer.residual
        values = [_round(value) for value in values]
        if residual is not None:
            stored = self.buffers["residual"][place]
            stored = T.bind(T.bitwise_xor(stored, word(IMAGE_WORD)) if residual.image else stored)
            values = [value + self._residual(lane(stored, index)) for index, value in enumerate(values)]
        clamped = [T.max(T.min(value + self._number(1), self._number(3)), self._number(2)) for value in values]
        if not layer.image_out:
            return pack(clamped)
        return pack([value + IMAGE_OFFSET for value in clamped])

    def _finish_half(self, values: list[Expr], place: Expr) -> list[Expr]:
        """The same in float32: the parts of the word to store, or the word of pixels."""
        layer, residual = self.layer, self.layer.residual
        if residual is not None:
            read = _residual(layer, self.form)
            parts = 1 if read.image else self.form.parts
            stored = [T.bind(self.buffers["residual"][read.element(place, part)]) for part in range(parts)]
            scale = self.buffers["scale"][LANES * output_words(layer)]
            values = [value + self._half_residual(stored, index) * scale for index, value in enumerate(values)]
        clamped = [T.max(T.min(value, self._number(1)), self._number(0)) for value in values]
        return [pack([_round(value) for value in clamped])] if layer.image_out else pack_halves(clamped)

    def _half_residual(self, stored: list[Expr], index: int) -> Expr:
        if not self.layer.residual.image:
            return half_lane(stored, index)
        pixel = T.bitwise_and(T.shift_right(stored[0], word(8 * index)), word(0xFF))
        return T.cast(T.cast(pixel, "int32"), "float32")

    def _residual(self, value: Expr) -> Expr:
        residual = self.layer.residual
        centred = value - self._number(4)
        if residual.scale == 1.0:
            return centred
        return _round(T.cast(centred, "float32") * self.buffers["scale"][LANES * output_words(self.layer)])


def _round(value: Expr) -> Expr:
    """float32 to int32, half to even: `ed_rint` of the prelude."""
    return T.call_pure_extern("int32", "ed_rint", value)
