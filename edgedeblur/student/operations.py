"""Layers without weights: activations by a table, sums and products of tensors, concatenation, pooling, resizing.

`OPERATIONS` has a row for each. How values become one is one of the ways of `Combine`, which the interpreter
(quantize/operations.py), the kernels (compile/operations.py) and the exports define once for all rows.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Combine = Literal["table", "add", "multiply", "concatenate", "maximum", "weigh", "mean"]
"""table: a function of one value. add, multiply: of two tensors. concatenate: channels of tensors one after another.
maximum, weigh: of the pixels of a window; weigh by integers, whose sum is divided by. mean: of a whole channel."""


@dataclass(frozen=True)
class Tap:
    """A pixel of a window, from the pixel (shrink * y, shrink * x) of the source; beyond the border its edge counts."""

    dy: int
    dx: int
    weight: int = 1


@dataclass(frozen=True)
class Operation:
    """A row: how an operation is computed.

    combine: the way. real: the same in torch, float32, from the tensors and `OpSpec.parameter`.
    function: of a table, in float64, from values and `OpSpec.parameter`.
    shrink, grow: by which the sides get smaller or larger. taps: of the window, by output pixel in a grow x grow block.
    keeps_scale: the output's integers are some of the source's, so that both have one scale.
    """

    combine: Combine
    real: "Callable[[Sequence[Tensor], float | None], Tensor]"
    function: Callable[[np.ndarray, float | None], np.ndarray] | None = None
    shrink: int = 1
    grow: int = 1
    taps: tuple[tuple[Tap, ...], ...] = ((Tap(0, 0),),)
    keeps_scale: bool = False

    @property
    def divisor(self) -> int:
        """The sum of a window's weights."""
        return sum(tap.weight for tap in self.taps[0])


@dataclass(frozen=True)
class OpSpec:
    """A layer without weights.

    op: a row of OPERATIONS. sources: what it reads. starts: the first channel that it reads of each; empty for the
    first of all. The second factor of `multiply` may be one pixel, which multiplies all.
    """

    name: str
    op: str
    sources: tuple[str, ...]
    out_channels: int
    starts: tuple[int, ...] = ()
    parameter: float | None = None

    # What walks over layers asks of any: a layer without weights has none of a convolution's fusions.
    residual = gate = limit = None
    relu = prelu = False
    depth_to_space = space_to_depth = 1
    parameters = 0

    @property
    def operation(self) -> Operation:
        return OPERATIONS[self.op]

    @property
    def source(self) -> str:
        """The tensor whose size decides the output's."""
        return self.sources[0]

    @property
    def reads(self) -> tuple[str, ...]:
        return self.sources

    def start(self, index: int) -> int:
        """The first channel that is read of a source."""
        return self.starts[index] if self.starts else 0

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output for a first source of that size."""
        operation = self.operation
        if operation.combine == "mean":
            return 1, 1
        return height // operation.shrink * operation.grow, width // operation.shrink * operation.grow

    def macs(self, height: int, width: int) -> int:
        """It multiplies nothing by weights."""
        return 0


def _functional():
    from torch.nn import functional  # a spec is read without torch

    return functional


def _table(function: Callable, real: Callable) -> Operation:
    return Operation("table", lambda tensors, parameter: real(_functional(), tensors[0], parameter), function)


def _concatenated(tensors: "Sequence[Tensor]", parameter: float | None) -> "Tensor":
    import torch

    return torch.cat(list(tensors), 1)


def _resized(mode: str) -> Callable:
    corners = {"align_corners": False} if mode == "bilinear" else {}
    return lambda tensors, parameter: _functional().interpolate(tensors[0], scale_factor=2, mode=mode, **corners)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf)(x)


def _square(first: int, side: int) -> tuple[Tap, ...]:
    return tuple(Tap(dy, dx) for dy in range(first, first + side) for dx in range(first, first + side))


def _bilinear_taps() -> tuple[tuple[Tap, ...], ...]:
    """Of each pixel of a 2x2 block: a quarter of the neighbour on its side, three quarters of its own, in both axes."""
    weights = [{-1: 1, 0: 3}, {0: 3, 1: 1}]
    return tuple(
        tuple(Tap(dy, dx, a * b) for dy, a in rows.items() for dx, b in columns.items())
        for rows in weights
        for columns in weights
    )


OPERATIONS: dict[str, Operation] = {
    "relu": _table(lambda x, p: np.maximum(x, 0), lambda F, x, p: F.relu(x)),
    "relu6": _table(lambda x, p: np.clip(x, 0, 6), lambda F, x, p: F.relu6(x)),
    "leaky_relu": _table(lambda x, p: np.where(x < 0, x * p, x), lambda F, x, p: F.leaky_relu(x, p)),
    "hardswish": _table(lambda x, p: x * np.clip(x + 3, 0, 6) / 6, lambda F, x, p: F.hardswish(x)),
    "hardsigmoid": _table(lambda x, p: np.clip(x + 3, 0, 6) / 6, lambda F, x, p: F.hardsigmoid(x)),
    "sigmoid": _table(lambda x, p: _sigmoid(x), lambda F, x, p: x.sigmoid()),
    "tanh": _table(lambda x, p: np.tanh(x), lambda F, x, p: x.tanh()),
    "silu": _table(lambda x, p: x * _sigmoid(x), lambda F, x, p: F.silu(x)),
    "gelu": _table(lambda x, p: x * (1 + _erf(x / math.sqrt(2))) / 2, lambda F, x, p: F.gelu(x)),
    "elu": _table(lambda x, p: np.where(x < 0, p * np.expm1(x), x), lambda F, x, p: F.elu(x, p)),
    "softplus": _table(lambda x, p: np.logaddexp(0, x), lambda F, x, p: F.softplus(x)),
    "mish": _table(lambda x, p: x * np.tanh(np.logaddexp(0, x)), lambda F, x, p: F.mish(x)),
    "add": Operation("add", lambda tensors, p: tensors[0] + tensors[1]),
    "multiply": Operation("multiply", lambda tensors, p: tensors[0] * tensors[1]),
    "concatenate": Operation("concatenate", _concatenated),
    "part": Operation("maximum", lambda tensors, p: tensors[0], keeps_scale=True),
    "max_pool2": Operation(
        "maximum",
        lambda tensors, p: _functional().max_pool2d(tensors[0], 2),
        shrink=2,
        taps=(_square(0, 2),),
        keeps_scale=True,
    ),
    "max_pool3": Operation(
        "maximum",
        lambda tensors, p: _functional().max_pool2d(tensors[0], 3, 2, 1),
        shrink=2,
        taps=(_square(-1, 3),),
        keeps_scale=True,
    ),
    "average_pool2": Operation(
        "weigh", lambda tensors, p: _functional().avg_pool2d(tensors[0], 2), shrink=2, taps=(_square(0, 2),)
    ),
    "nearest2": Operation("maximum", _resized("nearest"), grow=2, taps=((Tap(0, 0),),) * 4, keeps_scale=True),
    "bilinear2": Operation("weigh", _resized("bilinear"), grow=2, taps=_bilinear_taps()),
    "global_average": Operation("mean", lambda tensors, p: tensors[0].mean((2, 3), keepdim=True)),
}
"""By `OpSpec.op`."""
PARAMETERS = {"leaky_relu", "elu"}  # rows that take a parameter
