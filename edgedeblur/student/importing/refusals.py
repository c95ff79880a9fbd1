"""Why an operator is not taken, and what could be used in its place: a row for each, all of them in one message."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgedeblur.errors import UserError
from edgedeblur.student.importing.graph import Node

_ONLY = "convolutions, activations, additions, products, PixelShuffle: docs/own-student.md"
_SHUFFLE = "a 1x1 convolution to four times the channels, then nn.PixelShuffle(2)"
_BATCH_NORM = "nn.BatchNorm2d after the convolution, which is folded into it"
_STATISTICS = "its statistics are of each image, which needs a pass over the whole tensor in between"
_ATTENTION = "it multiplies matrices of activations; int8 kernels multiply an activation by weights"
_RESAMPLE = "this resampling has no int8 kernel"

ADVICE = {
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm"), (_STATISTICS, _BATCH_NORM)),
    "adaptive_max_pool2d": ("the largest value of a whole channel has no int8 kernel", "nn.AdaptiveAvgPool2d(1)"),
    "upsample_bicubic2d": (_RESAMPLE, _SHUFFLE),
    "interpolate": (_RESAMPLE, _SHUFFLE),
    **dict.fromkeys(("matmul", "bmm", "softmax", "scaled_dot_product_attention", "einsum"), (_ATTENTION, _ONLY)),
    "pad": ("padding is part of a convolution here", "padding=kernel // 2 in the convolution"),
}
_UNKNOWN = ("there is no int8 kernel for it", _ONLY)
_HEADINGS = ("node", "operator", "shape", "why", "in its place")


class NotTakenError(Exception):
    """An operator, or this use of it, is not taken."""

    def __init__(self, why: str, instead: str = _ONLY):
        super().__init__(why)
        self.why, self.instead = why, instead


@dataclass(frozen=True)
class Refusal:
    """One row of the table."""

    node: Node
    why: str
    instead: str

    def cells(self) -> tuple[str, ...]:
        shape = "x".join(map(str, self.node.shape))
        return self.node.place, self.node.operator, shape, self.why, self.instead


def not_known(node: Node) -> NotTakenError:
    """For an operator that nothing reads."""
    return NotTakenError(*ADVICE.get(node.operator, _UNKNOWN))


def refusal_error(name: str, rows: Sequence[Refusal]) -> UserError:
    """One error with a line for each operator that is not taken; exit code 2."""
    lines = [_HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    what = "1 operator is" if len(rows) == 1 else f"{len(rows)} operators are"
    message = f"{name} cannot become a student: {what} not taken; nothing is left in float\n  " + "\n  ".join(table)
    return UserError(message, exit_code=2)
