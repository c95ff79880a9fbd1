"""Readers of what only moves elements."""

from collections.abc import Callable
from dataclasses import replace

import torch

from edgedeblur.student.importing.graph import Node
from edgedeblur.student.importing.layers import Layers
from edgedeblur.student.importing.reading import Reader
from edgedeblur.student.importing.values import Gate, Value


def rearranged(rearrange: Callable[..., torch.Tensor]) -> Reader:
    """A reader for what moves elements only. Layers see in the end whether it was space-to-depth, depth-to-space or
    nothing; which of torch's ways there it came by makes no difference."""

    def read(layers: Layers, node: Node, input, **arguments) -> Value | Gate:
        if isinstance(input, Gate):
            return input  # factors by channel, however they are shaped
        if input.shape[2:] == (1, 1):
            return input  # one pixel, however it is shaped
        value = input if input.gate is None else layers.store(input)
        terms = tuple(
            replace(term, at=rearrange(torch.from_numpy(term.at), **arguments).contiguous().numpy())
            for term in value.terms
        )
        return replace(value, terms=terms)

    return read


def depth_to_space(x: torch.Tensor, blocksize: int, mode: str = "DCR") -> torch.Tensor:
    """ONNX's operator: channels in (dy, dx, c) order, or in (c, dy, dx) order as torch's PixelShuffle."""
    if mode == "CRD":
        return torch.pixel_shuffle(x, blocksize)
    n, c, h, w = x.shape
    x = x.reshape(n, blocksize, blocksize, c // blocksize**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // blocksize**2, h * blocksize, w * blocksize)


def space_to_depth(x: torch.Tensor, blocksize: int) -> torch.Tensor:
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // blocksize, blocksize, w // blocksize, blocksize).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * blocksize**2, h // blocksize, w // blocksize)
