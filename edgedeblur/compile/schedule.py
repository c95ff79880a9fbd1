"""How a kernel is cut up: a schedule per layer, the rule that chooses it, and what may be chosen instead."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.tile import tile_bytes, window
from edgedeblur.errors import UserError

TASKS_PER_THREAD = 4  # so that a core that is late delays the layer by no more than a quarter of its share
UNROLLED_DOTS = 24  # dot products per round of the inner loop, beyond which counting rounds costs nothing
LOADS_PER_LOOP_END = 30  # a misprediction costs some 15 cycles, of two loads each
SCRATCH_BYTES = 128 * 1024  # of a task: half of the smallest second-level cache of a core (Cortex-A77: 256 KiB)

PATCH = 2  # Winograd's F(2x2, 3x3): a patch makes 2x2 outputs
POSITIONS = 16  # from 4x4 inputs
MAX_CHANNELS = (2**31 - 1) // (4 * 255 * 127 * 9)  # four times a sum must fit int32
TRANSFORM_LANES = 16  # input channels that are transformed together


@dataclass(frozen=True)
class Schedule:
    """How one convolution is cut up.

    strip_rows: output rows of a task; tasks run in parallel.
    tile_width: most columns accumulated at once: output pixels of a row, or those that share registers
        (SumLayout.pixels), or by Winograd patches of a strip.
    block_vectors: accumulator registers of output channels per pixel.
    unroll: activation loads per round of the inner loop; a divisor of `inner_loads`.
    method: kernels/direct.py or kernels/winograd.py.
    """

    strip_rows: int
    tile_width: int
    block_vectors: int
    unroll: int
    method: Literal["direct", "winograd"] = "direct"


def tile_widths(width: int, tile_width: int) -> tuple[tuple[int, int], ...]:
    """A row cut into as few tiles as possible whose widths differ by at most one: ((count, pixels), ...)."""
    tiles = -(-width // tile_width)
    pixels, wider = divmod(width, tiles)
    return tuple((count, size) for count, size in ((wider, pixels + 1), (tiles - wider, pixels)) if count)


def channel_vectors(layer: ConvLayer, isa: InstructionSet) -> int:
    """Accumulator vectors that hold one output pixel."""
    return -(-layer.out_channels // isa.lanes)


def patches_per_row(layer: ConvLayer) -> int:
    """Winograd patches across the output, the last one reaching over an odd width."""
    return -(-layer.out_size[1] // PATCH)


def patches_per_strip(layer: ConvLayer, strip_rows: int) -> int:
    """Winograd patches of one task."""
    return strip_rows // PATCH * patches_per_row(layer)


def takes_winograd(layer: ConvLayer, isa: InstructionSet) -> bool:
    """Whether Winograd's method is exact and saves work: 3x3, stride 1, whole vectors, int16 products."""
    return (
        isa.weight_dtype == "int16"
        and (layer.kernel, layer.stride) == (3, 1)
        and layer.in_channels % TRANSFORM_LANES == 0
        and layer.in_channels <= MAX_CHANNELS
        and layer.out_channels % isa.lanes == 0
    )


def scratch_bytes(layer: ConvLayer, isa: InstructionSet, method: str, strip_rows: int) -> int:
    """Bytes that a task of that many output rows goes over again and again."""
    tile = tile_bytes(layer, isa, strip_rows)
    if method == "direct":
        return tile
    return tile + POSITIONS * patches_per_strip(layer, strip_rows) * layer.in_channels * 2


def fits_registers(isa: InstructionSet, tile_width: int, block_vectors: int) -> bool:
    """Whether the sums of a tile and the operand that a step holds stay in registers."""
    per_column = block_vectors * isa.sums.registers
    held = tile_width if isa.holds_activations else per_column
    return tile_width * per_column + held + isa.reserved <= isa.registers


def register_tiles(layer: ConvLayer, isa: InstructionSet, columns: int) -> Iterator[tuple[int, int]]:
    """Every (tile_width, block_vectors) for `columns` that divides the layer's channels and fits the registers."""
    vectors = channel_vectors(layer, isa)
    for block_vectors in (n for n in range(1, vectors + 1) if vectors % n == 0):
        for tile_width in range(1, columns + 1):
            if fits_registers(isa, tile_width, block_vectors):
                yield tile_width, block_vectors


def inner_loads(layer: ConvLayer, isa: InstructionSet, method: str) -> int:
    """Activation loads per column of one inner loop."""
    reach = window(layer, isa) if method == "direct" else layer.in_channels
    return reach // isa.step


def unrolls(layer: ConvLayer, isa: InstructionSet, method: str) -> list[int]:
    """What `unroll` may be."""
    loads = inner_loads(layer, isa, method)
    return [n for n in range(1, loads + 1) if loads % n == 0]


def loads_per_dot(layer: ConvLayer, isa: InstructionSet, method: str, columns: int, tile: tuple[int, int]) -> float:
    """Loads, with what belongs to them, per dot product over `columns`, for a register tile: what registers save.

    Every loop of a tile ends with a branch that the processor did not expect; the loads that it could have done
    meanwhile count as done.
    """
    tile_width, block_vectors = tile
    loops = layer.kernel if method == "direct" else POSITIONS
    parts, steps = isa.step // isa.group, loops * inner_loads(layer, isa, method)
    lost = LOADS_PER_LOOP_END * (loops + 1)
    loads = dots = 0
    for count, width in tile_widths(columns, tile_width):
        loads += count * (steps * (width * isa.load_cost + block_vectors * parts * isa.weight_cost) + lost)
        dots += count * steps * width * block_vectors * parts * isa.dot_cost
    return loads / dots


def default_schedule(layer: ConvLayer, isa: InstructionSet, threads: int) -> Schedule:
    """The schedule that the layer's shape and the instruction set suggest.

    Winograd's method wherever it is exact. The register tile is the one with the fewest loads per dot product, the
    wider in channels where two are equal. The strip is as high as leaves every thread its tasks and the task's scratch
    in the second-level cache: each strip copies kernel - stride rows again that its neighbour copies too.
    """
    method = "winograd" if takes_winograd(layer, isa) else "direct"
    strip_rows = _strip_rows(layer, isa, method, threads)
    columns = tile_columns(layer, isa, method, strip_rows)
    tile_width, block_vectors = min(
        register_tiles(layer, isa, columns),
        key=lambda tile: (loads_per_dot(layer, isa, method, columns, tile), -tile[1]),
    )
    dots_per_load = tile_width * block_vectors * isa.dot_cost * (isa.step // isa.group)
    unroll = max(n for n in unrolls(layer, isa, method) if n == 1 or n * dots_per_load <= UNROLLED_DOTS)
    return Schedule(strip_rows, tile_width, block_vectors, unroll, method)


def row_columns(layer: ConvLayer, isa: InstructionSet) -> int:
    """Columns of a row of output pixels, the last one reaching over a ragged width."""
    return -(-layer.out_size[1] // isa.sums.pixels)


def tile_columns(layer: ConvLayer, isa: InstructionSet, method: str, strip_rows: int) -> int:
    """What is cut into register tiles: the columns of a row, or the patches of a strip."""
    return row_columns(layer, isa) if method == "direct" else patches_per_strip(layer, strip_rows)


def check_schedule(layer: ConvLayer, isa: InstructionSet, schedule: Schedule) -> None:
    """Raises UserError unless the schedule fits the layer and the registers."""
    if schedule.method == "winograd" and not (takes_winograd(layer, isa) and schedule.strip_rows % PATCH == 0):
        raise UserError(
            f"{schedule} does not fit layer {layer.name} on {isa.name}: Winograd's method takes 3x3 convolutions of "
            f"stride 1 with int16 products, input channels in multiples of {TRANSFORM_LANES} up to {MAX_CHANNELS}, "
            f"and an even strip_rows"
        )
    tiles = register_tiles(layer, isa, tile_columns(layer, isa, schedule.method, schedule.strip_rows))
    fits = (
        schedule.strip_rows >= 1
        and (schedule.tile_width, schedule.block_vectors) in tiles
        and schedule.unroll in unrolls(layer, isa, schedule.method)
    )
    if not fits:
        raise UserError(
            f"{schedule} does not fit layer {layer.name} ({layer.out_size[1]} pixels wide, {layer.out_channels} output "
            f"channels) on {isa.name}: block_vectors must divide {channel_vectors(layer, isa)}, unroll must be one of "
            f"{unrolls(layer, isa, schedule.method)}, and the tile must fit {isa.registers} registers"
        )


def _strip_rows(layer: ConvLayer, isa: InstructionSet, method: str, threads: int) -> int:
    step = 1 if method == "direct" else PATCH
    rows = max(step, layer.out_size[0] // (threads * TASKS_PER_THREAD) // step * step)
    while rows > step and scratch_bytes(layer, isa, method, rows) > SCRATCH_BYTES:
        rows -= step
    return rows
