"""How a kernel is cut up: a schedule per layer, and which ones fit it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edgedeblur.compile.kernels.depthwise import fits_taps, gathered_bytes
from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.matrix.geometry import matrix_tiles, pieces, takes_matrix, tile_cycles
from edgedeblur.compile.kernels.tile import tile_bytes, window
from edgedeblur.errors import UserError

LOADS_PER_LOOP_END = 30  # a misprediction costs some 15 cycles, of two loads each
CACHE_SHARE = 0.5  # of the second-level cache, for a task's scratch
WINOGRAD_CACHE_SHARE = 0.75  # for both operands of the products, which is all that a task works on for long

PATCH = 4  # Winograd's F(4x4, 3x3): a patch makes 4x4 outputs
WINDOW = 6  # from 6x6 inputs
POSITIONS = WINDOW * WINDOW
ROW_POSITIONS = 4  # of F(2, 3) along rows
LARGEST_SUM = (2**31 - 1) // 64  # 64 times a sum must fit int32 (kernels/winograd.py)
TRANSFORM_LANES = 16  # input channels come in multiples of so many


@dataclass(frozen=True)
class Schedule:
    """How one convolution is cut up.

    strip_rows: output rows that are worked on together: the scratch holds their input.
    tile_width: most columns accumulated at once: output pixels of a row, or those that share registers
        (SumLayout.pixels), or by Winograd patches of a strip, or by rows as many pairs of output pixels.
    block_vectors: accumulator registers of output channels per pixel.
    unroll: activation loads per round of the inner loop; a divisor of `inner_loads`.
    method: kernels/direct.py, or of kernels/winograd/ square.py ("winograd") or rows.py, or kernels/matrix/;
        "depthwise" is the direct method with a channel in each lane.
    parallel: tasks are strips of rows, or blocks of output channels, each of which goes over all strips.
    """

    strip_rows: int
    tile_width: int
    block_vectors: int
    unroll: int
    method: Literal["direct", "winograd", "depthwise", "rows", "matrix"] = "direct"
    parallel: Literal["rows", "channels"] = "rows"


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
    """Whether Winograd's method is exact and saves work: 3x3, stride 1, whole vectors, int16 products, small sums."""
    return (
        isa.wide is not None
        and (layer.kernel, layer.stride, layer.dilation) == (3, 1, 1)
        and not (layer.depthwise or layer.int16_source)
        and layer.in_channels % TRANSFORM_LANES == 0
        and layer.out_channels % isa.lanes == 0
        and layer.largest_sum <= LARGEST_SUM
    )


def takes_rows(layer: ConvLayer, isa: InstructionSet) -> bool:
    """Whether F(2, 3) along rows saves work: in Winograd form, whole loads of input channels."""
    return layer.halved and layer.in_channels % max(TRANSFORM_LANES, isa.step) == 0


def input_passes(layer: ConvLayer, isa: InstructionSet, schedule: Schedule) -> int:
    """How often the layer reads its input from memory; its output is written, and its residual read, once."""
    return 1 if schedule.parallel == "rows" else channel_vectors(layer, isa) // schedule.block_vectors


def scratch_bytes(layer: ConvLayer, isa: InstructionSet, schedule: Schedule) -> int:
    """Bytes that a task goes over again and again."""
    products = isa.products(schedule.method)
    tile = tile_bytes(layer, products, schedule.strip_rows, schedule.method)
    if schedule.method == "depthwise":
        return tile + gathered_bytes(layer, products, schedule.block_vectors)
    if schedule.method == "matrix":
        return tile + schedule.tile_width * schedule.block_vectors * isa.lanes * 4
    if schedule.method != "winograd":
        return tile
    patches = patches_per_strip(layer, schedule.strip_rows)
    weights = POSITIONS * schedule.block_vectors * isa.lanes * layer.in_channels * 2
    return POSITIONS * patches * layer.in_channels * 2 + weights


def fits_registers(isa: InstructionSet, tile_width: int, block_vectors: int) -> bool:
    """Whether the sums of a tile and the operand that a step holds stay in registers."""
    per_column = block_vectors * isa.sums.registers
    held = tile_width if isa.holds_activations else per_column
    return tile_width * per_column + held + isa.reserved <= isa.registers


def holds_two_positions(isa: InstructionSet, tile_width: int, block_vectors: int) -> bool:
    """By the method rows, whether the sums of two positions stay in registers, so that none wait on the stack."""
    return fits_registers(isa, tile_width, 2 * block_vectors)


def register_tiles(
    layer: ConvLayer, isa: InstructionSet, columns: int, method: str = "direct"
) -> Iterator[tuple[int, int]]:
    """Every (tile_width, block_vectors) for `columns` that divides the layer's channels and fits the registers."""
    if method == "matrix":
        yield from matrix_tiles(layer, isa.products(method))
        return
    vectors = channel_vectors(layer, isa)
    for block_vectors in (n for n in range(1, vectors + 1) if vectors % n == 0):
        for tile_width in range(1, min(columns, isa.registers) + 1):
            fits = fits_taps(layer, isa, tile_width, block_vectors) if layer.depthwise else None
            if fits_registers(isa, tile_width, block_vectors) if fits is None else fits:
                yield tile_width, block_vectors


def inner_loads(layer: ConvLayer, isa: InstructionSet, method: str) -> int:
    """Activation loads per column of one inner loop."""
    isa = isa.products(method)
    if method == "depthwise":
        return 1  # a kernel row is unrolled whole
    if method in ("winograd", "rows"):
        return layer.in_channels // isa.step
    if method == "matrix":
        return pieces(layer, isa).count
    return (window(layer, isa) if layer.dilation == 1 else isa.padded_channels(layer.in_channels)) // isa.step


def unrolls(layer: ConvLayer, isa: InstructionSet, method: str) -> list[int]:
    """What `unroll` may be."""
    loads = inner_loads(layer, isa, method)
    return [n for n in range(1, loads + 1) if loads % n == 0]


def loads_per_dot(layer: ConvLayer, isa: InstructionSet, method: str, columns: int, tile: tuple[int, int]) -> float:
    """Loads, with what belongs to them, per dot product over `columns`, for a register tile: what registers save.

    Every loop of a tile ends with a branch that the processor did not expect; the loads that it could have done
    meanwhile count as done. By the method matrix it is cycles, of products too, for each piece of the window.
    """
    tile_width, block_vectors = tile
    if method == "matrix":
        return tile_cycles(layer, isa.products(method), *tile)
    by_row = layer.kernel if layer.dilation == 1 else layer.kernel**2
    loops = {"winograd": POSITIONS, "rows": ROW_POSITIONS * layer.kernel}.get(method, by_row)
    steps, isa = loops * inner_loads(layer, isa, method), isa.products(method)
    parts = isa.step // isa.group
    lost = LOADS_PER_LOOP_END * (loops + 1)
    loads = dots = 0
    for count, width in tile_widths(columns, tile_width):
        loads += count * (steps * (width * isa.load_cost + block_vectors * parts * isa.weight_cost) + lost)
        dots += count * steps * width * block_vectors * parts * isa.dot_cost
    return loads / dots


def row_columns(layer: ConvLayer, isa: InstructionSet, method: str = "direct") -> int:
    """Columns of a row of output pixels, the last one reaching over a ragged width."""
    pixels = isa.sums.pixels * (2 if method == "rows" else 1)
    return -(-layer.out_size[1] // pixels)


def tile_columns(layer: ConvLayer, isa: InstructionSet, method: str, strip_rows: int) -> int:
    """What is cut into register tiles: the columns of a row, or the patches of a strip."""
    if method == "winograd":
        return patches_per_strip(layer, strip_rows)
    return row_columns(layer, isa.products(method), method)


def check_schedule(layer: ConvLayer, isa: InstructionSet, schedule: Schedule) -> None:
    """Raises UserError unless the schedule fits the layer and the registers."""
    if schedule.method == "winograd" and not (takes_winograd(layer, isa) and schedule.strip_rows % PATCH == 0):
        raise UserError(
            f"{schedule} does not fit layer {layer.name} on {isa.name}: Winograd's method takes 3x3 convolutions of "
            f"stride 1 where there are int16 products, with input channels in multiples of {TRANSFORM_LANES}, output "
            f"channels in multiples of {isa.lanes}, no sum above {LARGEST_SUM:,} (here up to {layer.largest_sum:,}), "
            f"and strip_rows in multiples of {PATCH}"
        )
    if schedule.method == "rows" and not takes_rows(layer, isa):
        raise UserError(
            f"{schedule} does not fit layer {layer.name} on {isa.name}: the method rows takes layers in Winograd form "
            f"with input channels in multiples of {max(TRANSFORM_LANES, isa.step)}"
        )
    if schedule.method == "matrix" and not takes_matrix(layer, isa):
        raise UserError(
            f"{schedule} does not fit layer {layer.name} on {isa.name}: the method matrix takes convolutions of int8, "
            f"none of them depthwise, where there are registers that hold matrices (isa amx)"
        )
    columns = tile_columns(layer, isa, schedule.method, schedule.strip_rows)
    tiles = register_tiles(layer, isa, columns, schedule.method)
    fits = (
        schedule.strip_rows >= 1
        and (schedule.method == "depthwise") == layer.depthwise
        and (schedule.tile_width, schedule.block_vectors) in tiles
        and schedule.unroll in unrolls(layer, isa, schedule.method)
    )
    if not fits:
        raise UserError(
            f"{schedule} does not fit layer {layer.name} ({layer.out_size[1]} pixels wide, {layer.out_channels} output "
            f"channels) on {isa.name}: block_vectors must divide {channel_vectors(layer, isa)}, unroll must be one of "
            f"{unrolls(layer, isa, schedule.method)}, and the tile must fit {isa.registers} registers"
        )
