"""The tensors that a kernel takes, in order: agreed between the kernel's code, the packed constants and the graph."""

from dataclasses import dataclass
from math import prod

from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.tile import window
from edgedeblur.compile.plan import ALIGNMENT
from edgedeblur.compile.schedule import POSITIONS, Schedule, channel_vectors


@dataclass(frozen=True)
class Parameter:
    """One tensor. Activations are rows: [height, width * channels]. Images may lie anywhere (alignment 1)."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    alignment: int = ALIGNMENT


def weight_shape(layer: ConvLayer, schedule: Schedule, isa: InstructionSet) -> tuple[int, ...]:
    """[blocks, parts, groups of a part, vectors of the block, lanes, group]: the order of the inner loop.

    Parts are kernel rows, whose windows are read in one go, or by Winograd the positions of the transformed patch.
    In an order that instruction sets share, blocks are of one vector, so that it does not depend on the schedule.
    """
    parts, reach = layer.kernel, window(layer, isa)
    if isa.order is not None:
        return channel_vectors(layer, isa), parts, reach // isa.order.group, 1, isa.lanes, isa.order.group
    blocks = channel_vectors(layer, isa) // schedule.block_vectors
    if schedule.method == "winograd":
        parts, reach = POSITIONS, layer.in_channels
    return blocks, parts, reach // isa.group, schedule.block_vectors, isa.lanes, isa.group


def parameters(layer: ConvLayer, schedule: Schedule, isa: InstructionSet) -> tuple[Parameter, ...]:
    """source, weight (flat, in `weight_shape` order), bias, scale, residual where the layer has one, out."""
    outputs = (channel_vectors(layer, isa) * isa.lanes,)
    residual = () if layer.residual is None else (_activation("residual", layer.out, layer.residual.image),)
    return (
        _activation("source", layer.source, layer.image_source),
        Parameter("weight", (prod(weight_shape(layer, schedule, isa)),), isa.weight_dtype),
        Parameter("bias", outputs, "int32"),
        Parameter("scale", outputs, "float32"),
        *residual,
        _activation("out", layer.out, layer.image_out),
    )


def _activation(name: str, shape: tuple[int, int, int], image: bool) -> Parameter:
    height, width, channels = shape
    rows = (height, width * channels)
    return Parameter(name, rows, "uint8", alignment=1) if image else Parameter(name, rows, "int8")
