"""Where overlapping tiles lie along one axis, and how much each counts at every position.

In every overlap the quarter next to a tile's inner edge counts nothing (there a network saw its own padding instead of
the picture) and the middle half fades linearly from one tile to the next.
"""

import math

import numpy as np


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


def tile_weights(starts: list[int], tile: int, length: int) -> list[np.ndarray]:
    """One float32 weight per tile of an axis, for what of the axis it covers; at every position they add up to one."""
    spans = [span(start, tile, length) for start in starts]
    weights = [np.ones(end - start, np.float32) for start, end in spans]
    for index in range(len(spans) - 1):
        shared = spans[index][1] - spans[index + 1][0]
        ramp = _ramp(shared)
        weights[index][len(weights[index]) - shared :] *= 1.0 - ramp
        weights[index + 1][:shared] *= ramp
    total = np.zeros(length, np.float32)
    for (start, end), weight in zip(spans, weights, strict=True):
        total[start:end] += weight
    return [weight / total[start:end] for (start, end), weight in zip(spans, weights, strict=True)]


def span(start: int, tile: int, length: int) -> tuple[int, int]:
    """The part of the axis that a tile covers: first position, and one after the last."""
    return max(start, 0), min(start + tile, length)


def _ramp(shared: int) -> np.ndarray:
    """0 on the first quarter of an overlap, 1 on the last, a straight line between."""
    margin = shared // 4
    position = np.arange(shared, dtype=np.float32) + 0.5
    return np.clip((position - margin) / max(shared - 2 * margin, 1), 0.0, 1.0)
