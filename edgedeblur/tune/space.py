"""What is searched: every schedule of a layer that fits its registers and caches, and which of them are alike."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.matrix.geometry import takes_matrix
from edgedeblur.compile.schedules.default import default_schedule
from edgedeblur.compile.schedules.schedule import (
    PATCH,
    Schedule,
    channel_vectors,
    loads_per_dot,
    register_tiles,
    scratch_bytes,
    takes_rows,
    takes_winograd,
    tile_columns,
    tile_widths,
    unrolls,
)

STRIPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)  # output rows that are worked on together
MAX_DOTS = 128  # dot products per round of the inner loop; longer rounds leave the cache of decoded instructions

_TILE = ("tile_width", "block_vectors")  # one choice: they share the registers

# The choices that make a schedule, each a group of its fields. Schedules that differ in one choice are neighbours.
CHOICES = (_TILE, *((field.name,) for field in fields(Schedule) if field.name not in _TILE))


@dataclass(frozen=True)
class Moves:
    """How a search moves among schedules of one kind, for the CPU or for a GPU.

    space: all, the default one first. starts: where to begin. near(centre): the neighbours, likely ones first.
    """

    space: list[Any]
    starts: list[Any]
    near: Callable[[Any], list[Any]]


def cpu_moves(layer: ConvLayer, isa: InstructionSet, threads: int) -> Moves:
    """Among a layer's schedules for the CPU."""
    space = schedule_space(layer, isa, threads)
    return Moves(space, starts(layer, isa, space), lambda centre: neighbours(layer, isa, space, centre))


def schedule_space(layer: ConvLayer, isa: InstructionSet, threads: int) -> list[Schedule]:
    """Every schedule worth trying, the default schedule first; of those that cut a row into the same tiles, one.

    Each leaves every thread a task, and a task no more scratch than the second-level cache holds, or has the lowest
    strip there is.
    """
    space = {default_schedule(layer, isa, threads): None}
    for method in _methods(layer, isa):
        for strip_rows in _strips(layer, method):
            for tile in _tiles(layer, isa, method, strip_rows):
                for parallel in _parallel(layer, isa, threads, strip_rows, tile):
                    if _fits_cache(layer, isa, Schedule(strip_rows, *tile, 1, method, parallel)):
                        rounds = _rounds(layer, isa, method, tile)
                        space.update(dict.fromkeys(Schedule(strip_rows, *tile, n, method, parallel) for n in rounds))
    return list(space)


def _methods(layer: ConvLayer, isa: InstructionSet) -> list[str]:
    if layer.depthwise:
        return ["depthwise"]
    allowed = {
        "matrix": takes_matrix(layer, isa),
        "direct": True,
        "winograd": takes_winograd(layer, isa),
        "rows": takes_rows(layer, isa),
    }
    return [method for method, fits in allowed.items() if fits]


def starts(layer: ConvLayer, isa: InstructionSet, space: list[Schedule]) -> list[Schedule]:
    """Where to begin: the default schedule, and of each other method the one that should load least."""
    default = space[0]
    others = [method for method in dict.fromkeys(schedule.method for schedule in space) if method != default.method]
    return [default, *(min(_of(method, space), key=lambda s: _closeness(layer, isa, default, s)) for method in others)]


def neighbours(layer: ConvLayer, isa: InstructionSet, space: list[Schedule], centre: Schedule) -> list[Schedule]:
    """The schedules that differ from `centre` in one choice, taking turns among the choices; likely ones first."""
    by_choice: dict[tuple[str, ...], list[Schedule]] = {choice: [] for choice in CHOICES}
    for schedule in space:
        differing = [choice for choice in CHOICES if _values(schedule, choice) != _values(centre, choice)]
        if len(differing) == 1:
            by_choice[differing[0]].append(schedule)
    queues = [sorted(group, key=lambda s: _closeness(layer, isa, centre, s)) for group in by_choice.values()]
    longest = max((len(queue) for queue in queues), default=0)
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]


def _values(schedule: Schedule, choice: tuple[str, ...]) -> tuple:
    return tuple(getattr(schedule, name) for name in choice)


def _of(method: str, space: list[Schedule]) -> list[Schedule]:
    return [schedule for schedule in space if schedule.method == method]


def _closeness(layer: ConvLayer, isa: InstructionSet, centre: Schedule, schedule: Schedule) -> tuple[float, float]:
    """Loads per dot product, then how far the strip and the unrolling are from the centre's."""
    columns = tile_columns(layer, isa, schedule.method, schedule.strip_rows)
    tile = (schedule.tile_width, schedule.block_vectors)
    steps = (schedule.strip_rows / centre.strip_rows, schedule.unroll / centre.unroll)
    return loads_per_dot(layer, isa, schedule.method, columns, tile), sum(abs(math.log(step)) for step in steps)


def _strips(layer: ConvLayer, method: str) -> list[int]:
    step = PATCH if method == "winograd" else 1
    highest = -(-layer.out_size[0] // step) * step
    return [rows for rows in STRIPS if rows % step == 0 and rows <= highest]


def _parallel(
    layer: ConvLayer, isa: InstructionSet, threads: int, strip_rows: int, tile: tuple[int, int]
) -> Iterator[str]:
    """What may be shared out: whatever there are enough of for every thread."""
    if -(-layer.out_size[0] // strip_rows) >= threads or strip_rows == STRIPS[0]:
        yield "rows"
    if channel_vectors(layer, isa) // tile[1] >= threads:
        yield "channels"


def _rounds(layer: ConvLayer, isa: InstructionSet, method: str, tile: tuple[int, int]) -> list[int]:
    """Values of `unroll`."""
    products = isa.products(method)
    dots = tile[0] * tile[1] * (products.step // products.group)
    return [n for n in unrolls(layer, isa, method) if n == 1 or n * dots <= MAX_DOTS]


def _fits_cache(layer: ConvLayer, isa: InstructionSet, schedule: Schedule) -> bool:
    lowest = PATCH if schedule.method == "winograd" else 1
    return schedule.strip_rows == lowest or scratch_bytes(layer, isa, schedule) <= isa.cache_bytes


def _tiles(layer: ConvLayer, isa: InstructionSet, method: str, strip_rows: int) -> list[tuple[int, int]]:
    columns = tile_columns(layer, isa, method, strip_rows)
    distinct = {}
    for tile_width, block_vectors in register_tiles(layer, isa, columns, method):
        distinct.setdefault((tile_widths(columns, tile_width), block_vectors), (tile_width, block_vectors))
    return list(distinct.values())
