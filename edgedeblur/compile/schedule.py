"""How a kernel is cut up: a schedule per layer, the rule that chooses it, and what may be chosen instead."""

from collections.abc import Iterator
from dataclasses import dataclass

from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.tile import tile_bytes, window
from edgedeblur.errors import UserError

TASKS_PER_THREAD = 4  # so that a core that is late delays the layer by no more than a quarter of its share
UNROLLED_DOTS = 24  # dot products per round of the inner loop, beyond which counting rounds costs nothing
LOADS_PER_LOOP_END = 30  # a misprediction costs some 15 cycles, of two loads each
TILE_BYTES = 128 * 1024  # half of the smallest second-level cache of a core that we compile for (Cortex-A77: 256 KiB)


@dataclass(frozen=True)
class Schedule:
    """How one convolution is cut up.

    strip_rows: output rows of a task; tasks run in parallel.
    tile_width: most output pixels of a row accumulated at once.
    block_vectors: accumulator registers of output channels per pixel.
    unroll: activation loads per round of the inner loop; a divisor of the loads of a window's row.
    """

    strip_rows: int
    tile_width: int
    block_vectors: int
    unroll: int


def tile_widths(width: int, tile_width: int) -> tuple[tuple[int, int], ...]:
    """A row cut into as few tiles as possible whose widths differ by at most one: ((count, pixels), ...)."""
    tiles = -(-width // tile_width)
    pixels, wider = divmod(width, tiles)
    return tuple((count, size) for count, size in ((wider, pixels + 1), (tiles - wider, pixels)) if count)


def channel_vectors(layer: ConvLayer, isa: InstructionSet) -> int:
    """Accumulator vectors that hold one output pixel."""
    return -(-layer.out_channels // isa.lanes)


def fits_registers(isa: InstructionSet, tile_width: int, block_vectors: int) -> bool:
    """Whether the sums of a tile and the operand that a step holds stay in registers."""
    held = tile_width if isa.holds_activations else block_vectors
    return tile_width * block_vectors + held + isa.reserved <= isa.registers


def register_tiles(layer: ConvLayer, isa: InstructionSet) -> Iterator[tuple[int, int]]:
    """Every (tile_width, block_vectors) that divides the layer's channels and fits the registers."""
    vectors = channel_vectors(layer, isa)
    for block_vectors in (n for n in range(1, vectors + 1) if vectors % n == 0):
        for tile_width in range(1, layer.out_size[1] + 1):
            if fits_registers(isa, tile_width, block_vectors):
                yield tile_width, block_vectors


def unrolls(layer: ConvLayer, isa: InstructionSet) -> list[int]:
    """What `unroll` may be: divisors of the activation loads of a window's row."""
    loads = window(layer, isa) // isa.step
    return [n for n in range(1, loads + 1) if loads % n == 0]


def loads_per_dot(layer: ConvLayer, isa: InstructionSet, tile_width: int, block_vectors: int) -> float:
    """Vector loads per dot product over a row of the layer, for a register tile: what registers are spent on saving.

    Every loop of a tile ends with a branch that the processor did not expect; the loads that it could have done
    meanwhile count as done.
    """
    parts = isa.step // isa.group
    steps = layer.kernel * window(layer, isa) // isa.step
    lost = LOADS_PER_LOOP_END * (layer.kernel + 1)
    loads = dots = 0
    for count, pixels in tile_widths(layer.out_size[1], tile_width):
        loads += count * (steps * (pixels + block_vectors * parts) + lost)
        dots += count * steps * pixels * block_vectors * parts
    return loads / dots


def default_schedule(layer: ConvLayer, isa: InstructionSet, threads: int) -> Schedule:
    """The schedule that the layer's shape and the instruction set suggest.

    The register tile is the one with the fewest loads per dot product, the wider in channels where two are equal. The
    strip is as high as leaves every thread its tasks and the tile in the second-level cache: each strip copies
    kernel - stride rows again that its neighbour copies too.
    """
    tile_width, block_vectors = min(
        register_tiles(layer, isa), key=lambda tile: (loads_per_dot(layer, isa, *tile), -tile[1])
    )
    dots_per_load = tile_width * block_vectors * (isa.step // isa.group)
    unroll = max(n for n in unrolls(layer, isa) if n == 1 or n * dots_per_load <= UNROLLED_DOTS)
    return Schedule(_strip_rows(layer, isa, threads), tile_width, block_vectors, unroll)


def check_schedule(layer: ConvLayer, isa: InstructionSet, schedule: Schedule) -> None:
    """Raises UserError unless the schedule fits the layer and the registers."""
    fits = (
        schedule.strip_rows >= 1
        and (schedule.tile_width, schedule.block_vectors) in register_tiles(layer, isa)
        and schedule.unroll in unrolls(layer, isa)
    )
    if not fits:
        raise UserError(
            f"{schedule} does not fit layer {layer.name} ({layer.out_size[1]} pixels wide, {layer.out_channels} output "
            f"channels) on {isa.name}: block_vectors must divide {channel_vectors(layer, isa)}, unroll must be one of "
            f"{unrolls(layer, isa)}, and the tile must fit {isa.registers} registers"
        )


def _strip_rows(layer: ConvLayer, isa: InstructionSet, threads: int) -> int:
    rows = max(1, layer.out_size[0] // (threads * TASKS_PER_THREAD))
    while rows > 1 and tile_bytes(layer, isa, rows) > TILE_BYTES:
        rows -= 1
    return rows
