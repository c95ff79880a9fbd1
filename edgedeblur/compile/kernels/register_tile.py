"""The innermost matrix product: columns of activations by a block of output channels, summed in registers.

In a depthwise convolution every channel is convolved alone, so no dot product adds its values up: lanes are channels, a
tap is one product of lanes, and what neighbouring pixels read in common is loaded once.
"""

from dataclasses import dataclass
from itertools import product

from tvm.ir import Expr
from tvm.tirx import Buffer
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, span
from edgedeblur.compile.kernels.layer import ConvLayer


@dataclass(frozen=True)
class Columns:
    """Where a register tile reads: column c at start + c * stride of `buffer`, load by load."""

    buffer: Buffer
    start: Expr
    stride: int


@dataclass(frozen=True)
class Weights:
    """Where its weights lie: those of group g for vector v at start + g * group_pitch + v * vector_pitch."""

    buffer: Buffer
    start: Expr
    group_pitch: int
    vector_pitch: int


def new_sums(isa: InstructionSet, columns: int, vectors: int) -> list[list[Buffer]]:
    """Accumulators [columns][vectors * registers]: LLVM promotes buffers that are indexed by constants only."""
    registers = vectors * isa.sums.registers
    return [[T.alloc_buffer((isa.lanes,), "int32") for _ in range(registers)] for _ in range(columns)]


def add_products(
    isa: InstructionSet, loads: int, unroll: int, columns: Columns, weights: Weights, sums: list[list[Buffer]]
) -> None:
    """Emits sums += activations x weights over `loads` activation loads per column, in rounds of `unroll`."""
    with T.serial(loads // unroll) as k:
        for u in range(unroll):
            _step(isa, k * unroll + u, columns, weights, sums)


def _step(isa: InstructionSet, load: Expr, columns: Columns, weights: Weights, sums: list[list[Buffer]]) -> None:
    """The dot products of one activation load per column.

    One side is loaded first and held, the other streams past it: activations are held where a load serves several
    groups of channels, weights where it serves one.
    """
    registers, every = isa.sums.registers, span(0, isa.lanes)
    vectors, size, parts = len(sums[0]) // registers, isa.lanes * isa.group, isa.step // isa.group
    piece = size // isa.sums.weight_loads

    def activation_of(column: int) -> Expr:
        at = columns.start + column * columns.stride + load * (isa.step * isa.sums.pixels)
        return T.bind(isa.load(columns.buffer, at))

    def weights_of(part: int, v: int) -> list[Expr]:
        at = weights.start + (load * parts + part) * weights.group_pitch + v * weights.vector_pitch
        loads = [T.bind(weights.buffer.vload([span(at + i * piece, piece)])) for i in range(isa.sums.weight_loads)]
        return [T.bind(w) for w in isa.sums.operands(loads)]

    def add(column: int, v: int, activation: Expr, part: int, weight: list[Expr]) -> None:
        for total, operand in zip(sums[column][v * registers : (v + 1) * registers], weight, strict=True):
            T.buffer_store(total, isa.dot(total.vload([every]), activation, part, operand), [every])

    blocks = [(part, v) for v, part in product(range(vectors), range(parts))]
    if weights.group_pitch > weights.vector_pitch:  # the order of memory: loads that LLVM pairs are used soon
        blocks.sort()
    if isa.holds_activations:
        activations = [activation_of(column) for column in range(len(sums))]
        for part, v in blocks:
            weight = weights_of(part, v)
            for column, activation in enumerate(activations):
                add(column, v, activation, part, weight)
        return
    held = {block: weights_of(*block) for block in blocks}
    for column in range(len(sums)):
        activation = activation_of(column)
        for (part, v), weight in held.items():
            add(column, v, activation, part, weight)


@dataclass(frozen=True)
class Taps:
    """Where the weights of a row of taps lie: tap k of the block's first channel at start + k * pitch."""

    buffer: Buffer
    start: Expr
    pitch: int


def add_taps(layer: ConvLayer, isa: InstructionSet, columns: Columns, taps: Taps, sums: list[list[Buffer]]) -> None:
    """Emits sums += activations x weights of one kernel row; sums: [pixels][vectors of channels]."""
    every, vectors = span(0, isa.lanes), len(sums[0])
    pixel = columns.stride // layer.stride
    weights = [_loaded(isa, taps.buffer, taps.start + k * taps.pitch, vectors) for k in range(layer.kernel)]
    for place in range((len(sums) - 1) * layer.stride + layer.reach):
        readers = [
            (column, k)
            for k in range(layer.kernel)
            for column in range(len(sums))
            if column * layer.stride + k * layer.dilation == place
        ]
        if not readers:
            continue
        activations = _loaded(isa, columns.buffer, columns.start + place * pixel, vectors)
        for column, k in readers:
            for total, activation, weight in zip(sums[column], activations, weights[k], strict=True):
                T.buffer_store(total, isa.dot(total.vload([every]), activation, 0, weight), [every])


def _loaded(isa: InstructionSet, buffer: Buffer, start: Expr, vectors: int) -> list[Expr]:
    """Neighbouring vectors."""
    return [T.bind(buffer.vload([span(start + v * isa.lanes, isa.lanes)])) for v in range(vectors)]
