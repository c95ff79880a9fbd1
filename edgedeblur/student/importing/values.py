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
    """A convolution: weight float64 [out, in / groups, k, k], its input channels in (dy, dx, c) order after
    space-to-depth."""

    name: str
    weight: np.ndarray
    stride: int
    space_to_depth: int
    groups: int = 1
    dilation: int = 1

    @property
    def plain(self) -> bool:
        """Whether parallel branches can be merged into it, tap by tap."""
        return self.groups == self.dilation == 1


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
    """relu?( sum of terms ) * gate?, and the node that made it. limit: what ReLU's output is clamped to; slope: float64
    [C], of values below zero (PReLU) in place of ReLU."""

    terms: tuple[Term, ...]
    relu: bool = False
    gate: Gate | None = None
    limit: float | None = None
    slope: np.ndarray | None = None
    node: Node | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.terms[0].at.shape

    @property
    def linear(self) -> bool:
        return not self.relu and self.gate is None and self.slope is None


@functools.lru_cache(maxsize=64)
def positions(shape: tuple[int, int, int]) -> np.ndarray:
    """int64 [1, C, H, W]: every element's own position. Shared; not to be written to."""
    return np.arange(np.prod(shape), dtype=np.int64).reshape(1, *shape)


def tensor(name: str, shape: tuple[int, int, int]) -> Value:
    """A stored tensor as a value."""
    return Value((Term(name, shape, positions(shape), np.ones(shape[0]), np.zeros(shape[0])),))


def channel_slice(term: Term) -> int | None:
    """The first channel of a stored tensor, where the value is some of its neighbouring channels as they are."""
    _, height, width = term.shape
    if term.kernel is not None or term.at.ndim != 4 or not (np.all(term.scale == 1) and not term.shift.any()):
        return None
    start, channels = int(term.at[0, 0, 0, 0]) // (height * width), term.at.shape[1]
    same = np.array_equal(term.at, positions(term.shape)[:, start : start + channels])
    return start if same else None


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


def convolved(value: Value, bias: np.ndarray, kernel: Kernel) -> Value:
    """The convolution of a stored tensor, which may be rearranged and scaled; padding is half of its reach.

    Args:
        bias: float64 [out]. kernel: of the value, as yet without space-to-depth.

    Raises:
        NotTakenError: the tensor's rearrangement or shift cannot be folded into the weights.
    """
    (term,), weight = value.terms, kernel.weight
    factor, places, channels = space_to_depth_of(term)
    shift = term.shift[channels]
    if shift.any() and weight.shape[2] > 1:
        raise NotTakenError(
            "something is added to its input, which at the border, where zeros are padded, does not fold into it",
            "batch normalisation or the addition after the convolution, or a 1x1 convolution",
        )
    if kernel.groups > 1 and np.any(places != np.arange(len(places))):
        kernel = replace(kernel, weight=ungrouped(kernel), groups=1)
        weight = kernel.weight
    read = by_outputs(kernel, term.scale[channels])
    ours = weight * read[:, :, None, None]
    if kernel.groups == 1:
        ours = ours[:, np.argsort(places)]
    bias = bias + (weight.sum((2, 3)) * by_outputs(kernel, shift)).sum(1)
    _, height, width = value.shape[1:]
    shape = (len(weight), height // kernel.stride, width // kernel.stride)
    kernel = replace(kernel, weight=ours, space_to_depth=factor)
    return Value((Term(term.source, shape, positions(shape), np.ones(len(weight)), bias, kernel),))


def by_outputs(kernel: Kernel, read: np.ndarray) -> np.ndarray:
    """What belongs to a kernel's input channels [in], for the inputs of each output: [out, in / groups]."""
    return np.repeat(read.reshape(kernel.groups, -1), len(kernel.weight) // kernel.groups, axis=0)


def ungrouped(kernel: Kernel) -> np.ndarray:
    """The weights over all input channels, zero where a group does not read: [out, in, k, k]."""
    out, each = kernel.weight.shape[:2]
    whole = np.zeros((out, each * kernel.groups, *kernel.weight.shape[2:]))
    for number, weights in enumerate(kernel.weight):
        first = number * kernel.groups // out * each
        whole[number, first : first + each] = weights
    return whole
