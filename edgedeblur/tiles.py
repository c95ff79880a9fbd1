"""Where overlapping tiles lie along one axis, and how much each counts at every position.

In every overlap the quarter next to a tile's inner edge counts nothing (there a network saw its own padding instead of
the picture) and the middle half fades linearly from one tile to the next. runtime/camera/tiles.c has the same rule.
"""

import math
from collections.abc import Sequence

import numpy as np

STEPS = 256  # of weights, so that sums of products of two are exact in float32 and in integers of 32 bits


def tile_starts(length: int, tile: int, overlap: int, multiple: int) -> list[int]:
    """Where the tiles of one axis begin: as few as give each neighbour the overlap, spread evenly, the last at the end.

    Starts are multiples of `multiple` (the end of the axis is one as well), so a strided network sees the same grid in
    every tile. A tile that is longer than the axis begins with it, and another, which begins before it, ends with it.
    """
    if length == tile:
        return [0]
    if length < tile:
        return [0, length - tile]
    stride = max(multiple, tile - min(overlap, tile // 2))
    count = math.ceil((length - tile) / stride) + 1
    last = length - tile
    return [last * index // (count - 1) // multiple * multiple for index in range(count - 1)] + [last]


def choose_tile(
    sizes: Sequence[tuple[int, int]], height: int, width: int, overlap: int, multiple: int
) -> tuple[int, int]:
    """The size of tile for a picture, of those that there are: for the fewest pixels computed, then for the fewest
    tiles, then the first. One of the picture's own size is one tile."""

    def cost(size: tuple[int, int]) -> tuple[int, int]:
        sides = [-(-side // multiple) * multiple for side in (height, width)]
        tiles = math.prod(
            len(tile_starts(side, tile, overlap, multiple)) for side, tile in zip(sides, size, strict=True)
        )
        return tiles * math.prod(size), tiles

    return min(sizes, key=cost)


def tile_weights(starts: list[int], tile: int, length: int) -> list[np.ndarray]:
    """One float32 weight per tile of an axis, for what of the axis it covers: multiples of 1/STEPS, which add up to
    exactly one at every position. At most two tiles count at a position, however many cover it."""
    spans = [span(start, tile, length) for start in starts]
    weights = [np.ones(end - start, np.float32) for start, end in spans]
    for index in range(len(spans) - 1):
        shared = spans[index][1] - spans[index + 1][0]
        ramp = _ramp(shared, _margin(spans, index))
        weights[index][len(weights[index]) - shared :] *= 1.0 - ramp
        weights[index + 1][:shared] *= ramp
    return weights


def _margin(spans: list[tuple[int, int]], index: int) -> int:
    """What of each end of the overlap of a tile and the next is left out: a quarter, and as much more as keeps the
    fades of neighbouring overlaps apart where three tiles cover the same positions."""
    shared = spans[index][1] - spans[index + 1][0]
    before = spans[index - 1][1] - spans[index + 1][0] if index > 0 else 0
    after = spans[index][1] - spans[index + 2][0] if index + 2 < len(spans) else 0
    return max(shared // 4, (max(before, after) + 1) // 2)


def span(start: int, tile: int, length: int) -> tuple[int, int]:
    """The part of the axis that a tile covers: first position, and one after the last."""
    return max(start, 0), min(start + tile, length)


def _ramp(shared: int, margin: int) -> np.ndarray:
    """0 on the margin at the beginning of an overlap, 1 on that at its end, a straight line between; float32 multiples
    of 1/STEPS, rounded down."""
    twice = 2 * (np.arange(shared) - margin) + 1
    steps = twice * STEPS // (2 * max(shared - 2 * margin, 1))
    return np.clip(steps, 0, STEPS).astype(np.float32) / STEPS
