"""Space-to-depth as a kernel of its own: it reads each word once, and convolutions then read whole words of channels.

Only where a layer folds its source, which in the tiers is the image, and where it reads the image, whose pixels become
q here, or in the float16 form 256ths, which float16 has exactly.
"""

from itertools import product

from tvm.ir import Expr
from tvm.script.ir_builder import IRBuilder
from tvm.tirx import PrimFunc
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.gpu.form import FP16, Form
from edgedeblur.compile.gpu.launch import Argument, Launch, work_items
from edgedeblur.compile.gpu.tensor import IMAGE_WORD, LANES, WordTensor, pack_halves, word
from edgedeblur.compile.kernels.layer import ConvLayer

_GROUP = (16, 4)
PIXEL_STEPS = 256  # of a pixel in float16


def needs_fold(layer: ConvLayer) -> bool:
    """Whether a layer's convolution reads something else than its source's words."""
    return layer.space_to_depth > 1 or layer.image_source


def fold_arguments(layer: ConvLayer, form: Form) -> tuple[Argument, ...]:
    """source, out: what the convolution reads."""
    source, out = _tensors(layer, form)
    return Argument("source", source.elements, "uint32"), Argument("out", out.elements, "uint32")


def fold_launch(layer: ConvLayer) -> Launch:
    """A work item for each pixel of the folded tensor."""
    height, width = layer.in_size
    return Launch((width, height, 1), _GROUP)


def fold_kernel(layer: ConvLayer, form: Form, symbol: str) -> PrimFunc:
    """The kernel as TIR; its parameters are `fold_arguments`, in that order."""
    source, out = _tensors(layer, form)
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(symbol)
        T.func_attr({"global_symbol": symbol, "tirx.noalias": True})
        read, written = (T.arg(a.name, T.buffer((a.elements,), a.dtype)) for a in fold_arguments(layer, form))
        with work_items(fold_launch(layer)) as (x, y, _):
            fold, parts = layer.space_to_depth, 1 if source.image else form.parts
            loaded = {}
            for dy, dx, plane in product(range(fold), range(fold), range(source.planes)):
                place = source.at(plane, y * fold + dy, x * fold + dx)
                for part in range(parts):
                    value = read[source.element(place, part)]
                    if layer.image_source and form is not FP16:
                        value = T.bitwise_xor(value, word(IMAGE_WORD))
                    loaded[dy, dx, plane, part] = T.bind(value)
            gather = _gather_halves if form is FP16 else _gather
            for plane in range(out.planes):
                place = out.at(plane, y, x)
                for part, value in enumerate(gather(layer, loaded, plane)):
                    T.buffer_store(written, value, [out.element(place, part)])
    return builder.get()


def _tensors(layer: ConvLayer, form: Form) -> tuple[WordTensor, WordTensor]:
    source = WordTensor(*layer.source, layer.image_source, form.parts)
    return source, WordTensor(*layer.in_size, layer.in_channels, parts=form.parts)


def _channels(layer: ConvLayer, plane: int) -> list[tuple[int, int, int]]:
    """Where the channels of word `plane` of a folded pixel come from: dy, dx and channel, in that order; those that
    there are."""
    channels = layer.source[2]
    folded = range(plane * LANES, min((plane + 1) * LANES, layer.in_channels))
    return [(*divmod(at // channels, layer.space_to_depth), at % channels) for at in folded]


def _gather(layer: ConvLayer, loaded: dict, plane: int) -> list[Expr]:
    """Word `plane` of a folded pixel; zero where there are no more channels."""
    packed = word(0)
    for index, (dy, dx, channel) in enumerate(_channels(layer, plane)):
        byte = _bits(loaded[dy, dx, channel // LANES, 0], channel % LANES, 8)
        packed = T.bitwise_or(packed, T.shift_left(byte, word(8 * index)))
    return [packed]


def _gather_halves(layer: ConvLayer, loaded: dict, plane: int) -> list[Expr]:
    """The same in float16."""
    places = _channels(layer, plane)
    if layer.image_source:
        pixels = [_bits(loaded[dy, dx, 0, 0], channel, 8) for dy, dx, channel in places]
        return pack_halves([T.cast(T.cast(one, "int32"), "float32") * (1 / PIXEL_STEPS) for one in pixels])
    packed = [word(0), word(0)]
    for index, (dy, dx, channel) in enumerate(places):
        half = _bits(loaded[dy, dx, channel // LANES, channel % LANES // 2], channel % 2, 16)
        packed[index // 2] = T.bitwise_or(packed[index // 2], T.shift_left(half, word(16 * (index % 2))))
    return packed


def _bits(packed: Expr, index: int, bits: int) -> Expr:
    """The number of so many bits at that place of a uint32, the lowest first."""
    return T.bitwise_and(T.shift_right(packed, word(bits * index)), word((1 << bits) - 1))
