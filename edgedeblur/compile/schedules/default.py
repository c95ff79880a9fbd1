"""The default schedule of a layer, by a stated rule: what its shape and the instruction set suggest."""

from collections.abc import Iterator

from edgedeblur.compile.kernels.depthwise import instructions_per_vector
from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.matrix.geometry import best_tile, takes_matrix
from edgedeblur.compile.kernels.tile import tile_bytes
from edgedeblur.compile.schedules.schedule import (
    CACHE_SHARE,
    PATCH,
    POSITIONS,
    WINOGRAD_CACHE_SHARE,
    Schedule,
    channel_vectors,
    holds_two_positions,
    loads_per_dot,
    patches_per_strip,
    register_tiles,
    row_columns,
    scratch_bytes,
    takes_rows,
    takes_winograd,
    tile_widths,
    unrolls,
)

TASKS_PER_THREAD = 4  # so that a core that is late delays the layer by no more than a quarter of its share
UNROLLED_DOTS = 24  # dot products per round of the inner loop, beyond which counting rounds costs nothing
MATRIX_PIECES = 4  # registers of pixels per round of the inner loop, for each in a tile
FIRST_CACHE_BYTES = 32 << 10
SECOND_CACHE_BYTES_PER_CYCLE = 32


def default_schedule(layer: ConvLayer, isa: InstructionSet, threads: int) -> Schedule:
    """The schedule that the layer's shape and the instruction set suggest: matrices where there are registers for
    them, else Winograd's square method where it is exact, has int16 products and takes no more cycles
    (`winograd_share`), else rows where the layer is in Winograd form.

    Direct and rows: tasks are strips, as high as leaves every thread its tasks and the task's scratch its share of the
    second-level cache: each strip copies kernel - stride rows again that its neighbour copies too. The register tile is
    the one with the fewest loads per dot product, the wider in channels where two are equal.

    Winograd: strips or blocks of channels, whichever repeats less of the transforms (`transform_cost`). The register
    tile is wide, as weights come from the second-level cache, and no larger than leaves its products in the first.
    """
    if takes_matrix(layer, isa):
        products = isa.products("matrix")
        unroll = max(n for n in unrolls(layer, isa, "matrix") if n <= MATRIX_PIECES)
        return Schedule(_strip_rows(layer, products, threads, "matrix"), *best_tile(layer, products), unroll, "matrix")
    if layer.depthwise:
        return _depthwise_schedule(layer, isa, threads)
    if takes_winograd(layer, isa) and (isa.dots_per_cycle <= 1 or winograd_share(layer, isa, threads) <= 1):
        return _winograd_schedule(layer, isa, threads)
    return _strip_schedule(layer, isa, threads)


def default_reason(layer: ConvLayer, isa: InstructionSet, threads: int) -> str:
    """Why the layer's method was chosen, for a manifest; empty where there was no choice by the core."""
    if takes_matrix(layer, isa) or not takes_winograd(layer, isa):
        return ""
    if isa.dots_per_cycle <= 1:
        return "winograd: the core starts one dot product a cycle, or is not known"
    share, rate = winograd_share(layer, isa, threads), f"the core starts {isa.dots_per_cycle:g} dot products a cycle"
    other = _strip_schedule(layer, isa, threads).method
    return f"{rate}, where winograd is estimated at {share:.2f} of the cycles of {other}"


def winograd_share(layer: ConvLayer, isa: InstructionSet, threads: int) -> float:
    """Cycles of the busiest thread by Winograd's square method for one by the method that the layer has without it.

    Winograd's saves products and adds transforms, so it pays where products are what takes time: not on a core that
    starts two a cycle. Either method's products wait for the dot product's pipes or for their loads, two a cycle.
    """
    square, other = _winograd_schedule(layer, isa, threads), _strip_schedule(layer, isa, threads)
    strips = -(-layer.out_size[0] // other.strip_rows)
    dots = layer.macs / (isa.lanes * isa.group) * (2 / 3 if other.method == "rows" else 1)
    columns = row_columns(layer, isa, other.method)
    loads = loads_per_dot(layer, isa, other.method, columns, (other.tile_width, other.block_vectors))
    busiest = -(-strips // threads) / strips
    return transform_cost(layer, isa, square, threads) / (dots * busiest * max(1 / isa.dots_per_cycle, loads / 2))


def _winograd_schedule(layer: ConvLayer, isa: InstructionSet, threads: int) -> Schedule:
    candidates = _winograd_schedules(layer, isa)
    return min(candidates, key=lambda chosen: (transform_cost(layer, isa, chosen, threads), chosen.strip_rows))


def _strip_schedule(layer: ConvLayer, isa: InstructionSet, threads: int) -> Schedule:
    """By the direct method, or rows."""
    method = "rows" if takes_rows(layer, isa) else "direct"
    strip_rows = _strip_rows(layer, isa, threads, method)
    columns = row_columns(layer, isa, method)
    tiles = list(register_tiles(layer, isa, columns))
    if method == "rows":
        tiles = [tile for tile in tiles if holds_two_positions(isa, *tile)] or tiles
    tile = min(tiles, key=lambda tile: (loads_per_dot(layer, isa, method, columns, tile), -tile[1]))
    dots_per_load = tile[0] * tile[1] * isa.dot_cost * (isa.step // isa.group)
    unroll = max(n for n in unrolls(layer, isa, method) if n == 1 or n * dots_per_load <= UNROLLED_DOTS)
    return Schedule(strip_rows, *tile, unroll, method)


def _depthwise_schedule(layer: ConvLayer, isa: InstructionSet, threads: int) -> Schedule:
    """Tasks are strips; the register tile is the one with the fewest instructions for each vector of outputs."""
    products, width = isa.products("depthwise"), layer.out_size[1]

    def instructions(tile: tuple[int, int]) -> float:
        return instructions_per_vector(layer, products, tile_widths(width, tile[0]), tile[1])

    tile = min(register_tiles(layer, products, width), key=lambda tile: (instructions(tile), -tile[1]))
    return Schedule(_strip_rows(layer, products, threads, "depthwise"), *tile, 1, "depthwise")


def transform_cost(layer: ConvLayer, isa: InstructionSet, schedule: Schedule, threads: int) -> float:
    """Cycles of the busiest thread by Winograd's method.

    Transforms are counted by their instructions: 17 additions and shifts for six values to six, 14 for six to four, two
    of them a cycle, and a cycle for each store.
    """
    products = isa.products("winograd")
    groups, vectors = layer.in_channels // products.group, channel_vectors(layer, isa)
    strips = -(-layer.out_size[0] // schedule.strip_rows)
    patches = patches_per_strip(layer, schedule.strip_rows)
    each = 1.0  # cycle of a product
    if isa.dots_per_cycle > 1:
        tile = (schedule.tile_width, schedule.block_vectors)
        each = max(1 / isa.dots_per_cycle, _winograd_cycles_per_dot(layer, isa, patches, tile))
    weights = groups * schedule.block_vectors * (9 * 8 / 2 + POSITIONS)
    inputs = patches * layer.in_channels / (2 * isa.lanes) * (12 * 17 / 2 + POSITIONS)
    outputs = patches * schedule.block_vectors * (POSITIONS * (groups * each + 1) + 10 * 14 / 2 + PATCH**2 * 5)
    blocks = vectors // schedule.block_vectors
    if schedule.parallel == "rows":
        tasks, task = strips, inputs + blocks * (weights + outputs)
    else:
        tasks, task = blocks, weights + strips * (inputs + outputs)
    return -(-tasks // threads) * task


def _winograd_schedules(layer: ConvLayer, isa: InstructionSet) -> Iterator[Schedule]:
    """Every way to cut the layer whose scratch fits its share of the cache, or else the lowest strips."""
    heights = range(PATCH, max(PATCH, layer.out_size[0] + PATCH - 1) + 1, PATCH)
    for parallel in ("rows", "channels"):
        for strip_rows in heights:
            columns = patches_per_strip(layer, strip_rows)
            tiles = [tile for tile in register_tiles(layer, isa, columns) if _products_fit(isa, tile)]
            tile = min(tiles, key=lambda tile: _winograd_cycles_per_dot(layer, isa, columns, tile))
            schedule = Schedule(strip_rows, *tile, 1, "winograd", parallel)
            if strip_rows > PATCH and scratch_bytes(layer, isa, schedule) > WINOGRAD_CACHE_SHARE * isa.cache_bytes:
                break
            yield schedule


def _products_fit(isa: InstructionSet, tile: tuple[int, int]) -> bool:
    """Whether the products of a register tile at every position stay in the first-level cache."""
    return POSITIONS * tile[0] * tile[1] * isa.lanes * 4 <= FIRST_CACHE_BYTES * 5 // 8


def _winograd_cycles_per_dot(layer: ConvLayer, isa: InstructionSet, columns: int, tile: tuple[int, int]) -> float:
    """What feeding the dot products takes: two loads a cycle, and the block's weights from the second-level cache."""
    weight_bytes = isa.lanes * 4 / tile[0]
    return loads_per_dot(layer, isa, "winograd", columns, tile) / 2 + weight_bytes / SECOND_CACHE_BYTES_PER_CYCLE


def _strip_rows(layer: ConvLayer, isa: InstructionSet, threads: int, method: str) -> int:
    height = layer.out_size[0]
    rows = wanted = max(1, height // (threads * TASKS_PER_THREAD))
    while rows > 1 and tile_bytes(layer, isa, rows, method) > CACHE_SHARE * isa.cache_bytes:
        rows -= 1
    if method == "rows" and rows < wanted:  # as many strips for each thread
        rows = -(-height // (-(-height // rows // threads) * threads))
    return rows
