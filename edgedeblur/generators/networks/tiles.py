"""A large image through a network in overlapping tiles, blended so that no seam shows."""

from collections.abc import Callable

import torch
from torch import Tensor

from edgedeblur.tiles import span, tile_starts, tile_weights


def in_tiles(run: Callable[[Tensor], Tensor], image: Tensor, tile: int, overlap: int, multiple: int = 1) -> Tensor:
    """[N, 3, H, W] -> the same shape: `run` on tiles of at most tile x tile that share at least `overlap` pixels and
    begin at multiples of `multiple` (`edgedeblur.tiles`)."""
    height, width = (int(side) for side in image.shape[-2:])
    if max(height, width) <= tile:
        return run(image)
    rows, columns = (_axis(side, min(side, tile), overlap, multiple, image) for side in (height, width))
    total = torch.zeros_like(image)
    for (top, bottom), down in rows:
        for (left, right), across in columns:
            total[..., top:bottom, left:right] += run(image[..., top:bottom, left:right]) * (down[:, None] * across)
    return total


def _axis(side: int, tile: int, overlap: int, multiple: int, like: Tensor) -> list[tuple[tuple[int, int], Tensor]]:
    """(first position and one after the last, weights) of each tile."""
    starts = tile_starts(side, tile, overlap, multiple)
    weights = (torch.from_numpy(weight).to(like) for weight in tile_weights(starts, tile, side))
    return [(span(start, tile, side), weight) for start, weight in zip(starts, weights, strict=True)]
