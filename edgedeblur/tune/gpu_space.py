"""What is searched for a GPU: every schedule of a layer whose sums fit an item's registers and that fills a group."""

import math

from edgedeblur.compile.gpu.schedule import GpuSchedule, default_schedule, output_words
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.schedules.choose_gpu import MOST_ITEMS, MOST_SUMS
from edgedeblur.tune.space import Moves

_PIXELS, _WORDS, _VECTORS = (1, 2, 4, 8), (1, 2, 3, 4, 6, 8), (2, 4, 8, 16)
_SIDES = (1, 2, 4, 8, 16, 32, 64, 128)
_FEWEST_ITEMS = 16  # of a group: with fewer, most of a compute unit's lanes have no work
_CHOICES = (("pixels", "words"), ("group",), ("vector",))  # pixels and words share the registers


def gpu_moves(layer: ConvLayer) -> Moves:
    """The space of a layer's schedules and its neighbourhoods."""
    space = gpu_space(layer)
    return Moves(space, space[:1], lambda centre: gpu_neighbours(space, centre))


def gpu_space(layer: ConvLayer) -> list[GpuSchedule]:
    """Every schedule worth trying, the default schedule first."""
    width, total = layer.out_size[1], output_words(layer)
    tiles = [
        (pixels, words)
        for pixels in _PIXELS
        for words in _WORDS
        if pixels <= width and total % words == 0 and 4 * pixels * words <= MOST_SUMS
    ]
    groups = [
        (along, over)
        for along in _SIDES
        for over in _SIDES
        if _FEWEST_ITEMS <= along * over <= MOST_ITEMS and along < 2 * width and over < 2 * layer.out_size[0] * total
    ]
    space = {default_schedule(layer): None}
    for pixels, words in tiles:
        for vector in (vector for vector in _VECTORS if 4 * words % vector == 0):
            space.update(dict.fromkeys(GpuSchedule(pixels, words, group, vector) for group in groups))
    return list(space)


def gpu_neighbours(space: list[GpuSchedule], centre: GpuSchedule) -> list[GpuSchedule]:
    """The schedules that differ from `centre` in one choice, taking turns among the choices, the nearest first."""
    queues = []
    for choice in _CHOICES:
        others = [name for name in ("pixels", "words", "group", "vector") if name not in choice]
        group = [s for s in space if s != centre and all(getattr(s, n) == getattr(centre, n) for n in others)]
        queues.append(sorted(group, key=lambda s: _distance(centre, s)))
    longest = max(map(len, queues))
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]


def _distance(centre: GpuSchedule, other: GpuSchedule) -> float:
    pairs = zip(_sizes(centre), _sizes(other), strict=True)
    return sum(abs(math.log2(one / two)) for one, two in pairs)


def _sizes(schedule: GpuSchedule) -> tuple[int, ...]:
    return schedule.pixels, schedule.words, *schedule.group, schedule.vector
