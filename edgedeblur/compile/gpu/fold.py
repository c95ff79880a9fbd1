"""Space-to-depth as a kernel of its own: it reads each word once, and convolutions then read whole words of channels.

Only where a layer folds its source, which in the tiers is the image, and where it reads the image, whose pixels become
q here.
"""

from tvm.script.ir_builder import IRBuilder
from tvm.tirx import PrimFunc
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.gpu.launch import Argument, Launch, work_items
from edgedeblur.compile.gpu.tensor import IMAGE_WORD, LANES, WordTensor, word
from edgedeblur.compile.kernels.layer import ConvLayer

_GROUP = (16, 4)


def needs_fold(layer: ConvLayer) -> bool:
    """Whether a layer's convolution reads something else than its source's words."""
    return layer.space_to_depth > 1 or layer.image_source


def fold_arguments(layer: ConvLayer) -> tuple[Argument, ...]:
    """source, out: what the convolution reads."""
    source, out = _tensors(layer)
    return Argument("source", source.words, "uint32"), Argument("out", out.words, "uint32")


def fold_launch(layer: ConvLayer) -> Launch:
    """A work item for each pixel of the folded tensor."""
    height, width = layer.in_size
    return Launch((width, height, 1), _GROUP)


def fold_kernel(layer: ConvLayer, symbol: str) -> PrimFunc:
    """The kernel as TIR; its parameters are `fold_arguments`, in that order."""
    source, out = _tensors(layer)
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(symbol)
        T.func_attr({"global_symbol": symbol, "tirx.noalias": True})
        read, written = (T.arg(a.name, T.buffer((a.elements,), a.dtype)) for a in fold_arguments(layer))
        with work_items(fold_launch(layer)) as (x, y, _):
            fold = layer.space_to_depth
            loaded = {}
            for dy in range(fold):
                for dx in range(fold):
                    for plane in range(source.planes):
                        value = read[source.at(plane, y * fold + dy, x * fold + dx)]
                        if layer.image_source:
                            value = T.bitwise_xor(value, word(IMAGE_WORD))
                        loaded[dy, dx, plane] = T.bind(value)
            for plane in range(out.planes):
                T.buffer_store(written, _gather(layer, loaded, plane), [out.at(plane, y, x)])
    return builder.get()


def _tensors(layer: ConvLayer) -> tuple[WordTensor, WordTensor]:
    return WordTensor(*layer.source, layer.image_source), WordTensor(*layer.in_size, layer.in_channels)


def _gather(layer: ConvLayer, loaded: dict, plane: int):
    """Word `plane` of a folded pixel: channels in (dy, dx, channel) order; zero where there are no more."""
    channels, packed = layer.source[2], word(0)
    for index in range(LANES):
        at = plane * LANES + index
        if at >= layer.in_channels:
            break
        (dy, dx), channel = divmod(at // channels, layer.space_to_depth), at % channels
        byte = T.bitwise_and(T.shift_right(loaded[dy, dx, channel // LANES], word(8 * (channel % LANES))), word(0xFF))
        packed = T.bitwise_or(packed, T.shift_left(byte, word(8 * index)))
    return packed
