"""The tensors that a kernel takes, in order: agreed between the kernel's code, the packed constants and the graph."""

from dataclasses import dataclass
from math import prod

from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import NUMBERS, ConvLayer, reads_numbers
from edgedeblur.compile.kernels.matrix.geometry import pieces
from edgedeblur.compile.kernels.tile import window
from edgedeblur.compile.plan import ALIGNMENT
from edgedeblur.compile.schedules.schedule import ROW_POSITIONS, Schedule, channel_vectors


@dataclass(frozen=True)
class Parameter:
    """One tensor. Activations are rows: [height, width * channels]. Images may lie anywhere (alignment 1)."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    alignment: int = ALIGNMENT


def weight_shape(layer: ConvLayer, schedule: Schedule, isa: InstructionSet) -> tuple[int, ...]:
    """The order in which the kernel reads weights.

    Direct: [blocks, kernel rows, groups of a row's window, vectors of the block, lanes, group], the inner loop's. In an
    order that instruction sets share, blocks are of one vector, so that it does not depend on the schedule.
    Winograd: [blocks, groups of input channels, vectors of the block, taps, lanes, group]: a kernel's taps are
    transformed together. Rows: as direct, with the kernel rows of position after position for kernel rows.
    Matrix: as direct, with as many groups of zeros behind a row's window as the last piece of it has more
    (matrix/geometry.py); with dilation each tap is a row.
    Depthwise: [groups of kernel rows, kernel columns, channels, rows of the group], which no schedule changes.
    """
    isa = isa.products(schedule.method)
    if schedule.method == "depthwise":
        return -(-layer.kernel // isa.group), layer.kernel, isa.padded_channels(layer.in_channels), isa.group
    if schedule.method == "rows":
        rows, group = ROW_POSITIONS * layer.kernel, isa.group if isa.order is None else isa.order.group
        vectors = schedule.block_vectors if isa.order is None else 1
        return channel_vectors(layer, isa) // vectors, rows, layer.in_channels // group, vectors, isa.lanes, group
    if schedule.method == "matrix":
        cut, vectors = pieces(layer, isa), schedule.block_vectors
        blocks, rows = channel_vectors(layer, isa) // vectors, layer.kernel * cut.runs
        return blocks, rows, cut.count * cut.groups, vectors, isa.lanes, isa.group
    if isa.order is not None:
        groups = window(layer, isa) // isa.order.group
        return channel_vectors(layer, isa), layer.kernel, groups, 1, isa.lanes, isa.order.group
    blocks, vectors = channel_vectors(layer, isa) // schedule.block_vectors, schedule.block_vectors
    if schedule.method == "winograd":
        return blocks, layer.in_channels // isa.group, vectors, layer.kernel**2, isa.lanes, isa.group
    return blocks, layer.kernel, window(layer, isa) // isa.group, vectors, isa.lanes, isa.group


def weight_dtype(schedule: Schedule, isa: InstructionSet) -> str:
    """How weights lie in the constants: Winograd's method widens them when it transforms them."""
    return "int8" if schedule.method == "winograd" else isa.products(schedule.method).weight_dtype


def bias_vectors(schedule: Schedule, isa: InstructionSet) -> int:
    """How many values of bias an output channel has: by the method `rows` one for each position, where tiles hold an
    offset that each makes up for."""
    return ROW_POSITIONS if schedule.method == "rows" and isa.tile_bias else 1


def parameters(layer: ConvLayer, schedule: Schedule, isa: InstructionSet) -> tuple[Parameter, ...]:
    """source, weight (flat, in `weight_shape` order), bias, scale, negative_scale, numbers and residual where the layer
    has them, out."""
    outputs = (channel_vectors(layer, isa) * isa.lanes,)
    negative = (Parameter("negative_scale", outputs, "float32"),) if layer.prelu else ()
    biases = (bias_vectors(schedule, isa) * outputs[0],)
    added = layer.residual
    residual = () if added is None else (_activation("residual", layer.out, added.image, added.int16),)
    return (
        _activation("source", layer.source, layer.image_source, layer.int16_source),
        Parameter("weight", (prod(weight_shape(layer, schedule, isa)),), weight_dtype(schedule, isa)),
        Parameter("bias", biases, "int32"),
        Parameter("scale", outputs, "float32"),
        *negative,
        *((Parameter("numbers", (NUMBERS,), "int32"),) if reads_numbers(layer) else ()),
        *residual,
        _activation("out", layer.out, layer.image_out, layer.int16_out),
    )


def _activation(name: str, shape: tuple[int, int, int], image: bool, int16: bool) -> Parameter:
    height, width, channels = shape
    rows = (height, width * channels)
    return Parameter(name, rows, "uint8", alignment=1) if image else Parameter(name, rows, "int16" if int16 else "int8")
