"""A large image through a network in overlapping tiles, blended so that no seam shows."""

from collections.abc import Callable

import torch
from torch import Tensor


def in_tiles(run: Callable[[Tensor], Tensor], image: Tensor, tile: int, overlap: int) -> Tensor:
    """[N, 3, H, W] -> the same shape: `run` on tiles of at most tile x tile that share at least `overlap` pixels.

    Within what neighbours share, each fades linearly, so the weights of all tiles at a pixel sum to one.
    """
    height, width = (int(side) for side in image.shape[-2:])
    if max(height, width) <= tile:
        return run(image)
    total, weights = torch.zeros_like(image), torch.zeros_like(image[:1, :1])
    for top in _starts(height, tile, overlap):
        for left in _starts(width, tile, overlap):
            part = (..., slice(top, top + tile), slice(left, left + tile))
            restored = run(image[part])
            down, across = (_fade(int(side), overlap, image) for side in restored.shape[-2:])
            weight = down[:, None] * across
            total[part] += restored * weight
            weights[part] += weight
    return total / weights


def _starts(side: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin: as few as cover the side, evenly spread."""
    if side <= tile:
        return [0]
    count = -(-(side - overlap) // (tile - overlap))
    return [round(index * (side - tile) / (count - 1)) for index in range(count)]


def _fade(side: int, overlap: int, like: Tensor) -> Tensor:
    """Weights [side]: a ramp of `overlap` pixels at both ends; never zero, so the image's border has weight too."""
    place = torch.arange(side, dtype=like.dtype, device=like.device) + 0.5
    return (torch.minimum(place, side - place) / overlap).clamp(max=1)
