"""What the value of a node is while a graph is read: a sum of convolutions and of tensors that exist already.

Everything linear stays a sum of terms until something needs the tensor; so batch normalisation, constant factors,
parallel branches and rearrangements of pixels fold into the convolutions, in whatever order the network has them.
"""

import functools
from dataclasses import dataclass, replace

import numpy as np

from edgedeblur.student.importing.graph import Node
from edgedeblur.student.importing.refusals import NotTakenError


@dataclass(frozen=True)
class Kernel:
    """A convolution: weight float64 [out, in, k, k], its input channels in (dy, dx, c) order after space-to-depth."""

    name: str
    weight: np.ndarray
    stride: int
    space_to_depth: int


@dataclass(frozen=True)
class Term:
    """A convolution of a stored tensor, or the tensor itself.

    Attributes:
        source: the stored tensor.
        shape: (C, H, W) of what the convolution makes, or of the tensor.
        at: int64, of the value's shape: where each element of the value is in it, counted in C, H, W order.
        scale, shift: float64 [C]; a tensor's factor (a convolution has it in its weights), and what is added.
        kernel: None for the tensor itself.
    """

    source: str
    shape: tuple[int, int, int]
    at: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    kernel: Kernel | None = None

    @property
    def is_tensor(self) -> bool:
        """Whether it is the stored tensor as it is."""
        return self.kernel is None and np.all(self.scale == 1) and not self.shift.any() and self.in_place

    @property
    def in_place(self) -> bool:
        own = positions(self.shape)
        return self.at is own or np.array_equal(self.at, own)


@dataclass(frozen=True)
class Gate:
    """Factors of channels on their way: what they are of the mean of a stored tensor.

    stage: "mean", "linear", "sigmoid"; factor: what the sigmoid is multiplied by.
    """

    source: str
    stage: str
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    factor: float = 1.0


@dataclass(frozen=True)
class Value:
    """relu?( sum of terms ) * gate?, and the node that made it. clamped: to [0, 1] after that."""

    terms: tuple[Term, ...]
    relu: bool = False
    gate: Gate | None = None
    clamped: bool = False
    node: Node | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.terms[0].at.shape

    @property
    def linear(self) -> bool:
        return not self.relu and self.gate is None and not self.clamped


@functools.lru_cache(maxsize=64)
def positions(shape: tuple[int, int, int]) -> np.ndarray:
    """int64 [1, C, H, W]: every element's own position. Shared; not to be written to."""
    return np.arange(np.prod(shape), dtype=np.int64).reshape(1, *shape)


def tensor(name: str, shape: tuple[int, int, int]) -> Value:
    """A stored tensor as a value."""
    return Value((Term(name, shape, positions(shape), np.ones(shape[0]), np.zeros(shape[0])),))


def depth_to_space_of(term: Term) -> tuple[int, np.ndarray]:
    """By which factor the elements of a term are moved from channels to pixels, and which channel is where.

    Returns:
        (factor, int64 [C', factor, factor]): the term's channel at channel c', row dy, column dx; factor 1 where
        nothing moves.

    Raises:
        NotTakenError: it is another rearrangement.
    """
    channels, height, width = term.shape
    at = term.at
    if at.ndim == 4 and at.shape[0] == 1 and at.shape[2] >= height and at.shape[2] % height == 0:
        factor = at.shape[2] // height
        if at.shape[1:] == (channels // factor**2, height * factor, width * factor):
            order = at[0, :, :factor, :factor] // (height * width)
            y, x = np.mgrid[: at.shape[2], : at.shape[3]]
            expected = order[:, y % factor, x % factor] * (height * width) + y // factor * width + x // factor
            if np.array_equal(at[0], expected):
                return factor, order
    raise NotTakenError(
        "it rearranges a tensor otherwise than from channels to pixels", "nn.PixelShuffle or nn.PixelUnshuffle"
    )


def space_to_depth_of(term: Term) -> tuple[int, np.ndarray, np.ndarray]:
    """By which factor the elements of a stored tensor are moved from pixels to channels.

    Returns:
        (factor, places, channels): for each of the value's channels, where it is in (dy, dx, c) order, and which of
        the tensor's channels it comes from; int64 [C'].

    Raises:
        NotTakenError: it is another rearrangement.
    """
    channels, height, width = term.shape
    at = term.at
    if at.ndim == 4 and at.shape[0] == 1 and at.shape[2] and height % at.shape[2] == 0:
        factor = height // at.shape[2]
        if at.shape[1:] == (channels * factor**2, height // factor, width // factor):
            first = at[0, :, 0, 0]
            channel, (dy, dx) = first // (height * width), divmod(first % (height * width), width)
            y, x = np.mgrid[: at.shape[2], : at.shape[3]]
            rows, columns = (each[:, None, None] for each in (dy, dx))
            expected = channel[:, None, None] * (height * width) + (y * factor + rows) * width + x * factor + columns
            if np.array_equal(at[0], expected):
                return factor, (dy * factor + dx) * channels + channel, channel
    raise NotTakenError(
        "it rearranges a tensor otherwise than from pixels to channels", "nn.PixelShuffle or nn.PixelUnshuffle"
    )


def scaled(value: Value, scale: np.ndarray, shift: np.ndarray) -> Value:
    """value * scale + shift by channel, float64 [C]; of a linear value.

    Raises:
        NotTakenError: its elements are rearranged so that channels are no longer channels.
    """
    terms = []
    for number, term in enumerate(value.terms):
        _, order = depth_to_space_of(term)
        factors, shifts = np.empty(term.shape[0]), np.empty(term.shape[0])
        factors[order] = scale[:, None, None]
        shifts[order] = shift[:, None, None]
        kernel = term.kernel
        if kernel is not None:
            kernel = replace(kernel, weight=kernel.weight * factors[:, None, None, None])
        own = term.scale if kernel is not None else term.scale * factors
        moved = term.shift * factors + (shifts if number == 0 else 0)
        terms.append(replace(term, kernel=kernel, scale=own, shift=moved))
    return replace(value, terms=tuple(terms))


def convolved(value: Value, weight: np.ndarray, bias: np.ndarray, stride: int, name: str) -> Value:
    """The convolution of a stored tensor, which may be rearranged and scaled; padding is kernel // 2.

    Args:
        weight: float64 [out, in, k, k]. bias: float64 [out].

    Raises:
        NotTakenError: the tensor's rearrangement or shift cannot be folded into the weights.
    """
    (term,) = value.terms
    factor, places, channels = space_to_depth_of(term)
    shift = term.shift[channels]
    if shift.any() and weight.shape[2] > 1:
        raise NotTakenError(
            "something is added to its input, which at the border, where zeros are padded, does not fold into it",
            "batch normalisation or the addition after the convolution, or a 1x1 convolution",
        )
    ours = np.empty_like(weight)
    ours[:, places] = weight * term.scale[channels][None, :, None, None]
    bias = bias + weight.sum((2, 3)) @ shift
    _, height, width = value.shape[1:]
    shape = (len(weight), height // stride, width // stride)
    kernel = Kernel(name, ours, stride, factor)
    return Value((Term(term.source, shape, positions(shape), np.ones(len(weight)), bias, kernel),))
