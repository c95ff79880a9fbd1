"""The innermost matrix product: columns of activations by a block of output channels, summed in registers."""

from dataclasses import dataclass
from itertools import product

from tvm.ir import Expr
from tvm.tirx import Buffer
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, span


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


@dataclass(frozen=True)
class Row:
    """What one row of a kernel adds to: sums as `new_sums` makes them."""

    columns: Columns
    weights: Weights
    sums: list[list[Buffer]]


def new_sums(isa: InstructionSet, columns: int, vectors: int) -> list[list[Buffer]]:
    """Accumulators [columns][vectors * registers]: LLVM promotes buffers that are indexed by constants only."""
    registers = vectors * isa.sums.registers
    return [[T.alloc_buffer((isa.lanes,), "int32") for _ in range(registers)] for _ in range(columns)]


def add_row_products(isa: InstructionSet, loads: int, unroll: int, rows: list[Row], parts: int | None = None) -> None:
    """Emits sums += activations x weights over `loads` activation loads per column of each row, in rounds of `unroll`
    with all rows in each; of a load the first `parts` groups, None: all."""
    with T.serial(loads // unroll) as k:
        for row in rows:
            for u in range(unroll):
                _step(isa, k * unroll + u, row, parts or isa.step // isa.group)


def _step(isa: InstructionSet, load: Expr, row: Row, used: int) -> None:
    """The dot products of one activation load per column.

    One side is loaded first and held, the other streams past it: activations are held where a load serves several
    groups of channels, weights where it serves one.
    """
    columns, weights, sums = row.columns, row.weights, row.sums
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

    blocks = [(part, v) for v, part in product(range(vectors), range(used))]
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
