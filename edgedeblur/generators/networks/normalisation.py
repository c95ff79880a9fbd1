"""Normalisation layers whose statistics come from the image or from the file, and what that choice means for v2."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgedeblur.errors import UserError

Statistics = Literal["image", "running"]
BnMode = Literal["batch", "running", "mixed"]

BN_MODES: dict[str, str] = {
    "batch": (
        "every normalisation uses the image's own statistics (padding included), as upstream's predict.py does by "
        "leaving the network in training mode; the statistics stored in the file are not used"
    ),
    "running": (
        "BatchNorm and InstanceNorm use the statistics stored in the file, as upstream's network does after eval(); "
        "the output differs visibly from predict.py's"
    ),
    "mixed": (
        "BatchNorm uses the statistics stored in the file, InstanceNorm the image's own; upstream never runs so, but "
        "ports with an InstanceNorm that keeps no statistics do"
    ),
}
DEFAULT_BN: BnMode = "batch"
MOMENTUM = 0.1  # torch's default


class Normalisation(nn.Module):
    """BatchNorm (`affine`) or InstanceNorm (not) of [N, C, H, W], in the names that torch gives its tensors.

    With `statistics = "image"` each image is normalised with its own mean and biased variance per channel. For one
    image that is what BatchNorm does in training mode; in a batch the images stay independent of one another.
    With "running" it uses `running_mean` and `running_var`, which exist only where `stored` is true. In training mode
    these follow the images' own statistics with a momentum of 0.1, so that a trained file can be read in either way.
    """

    def __init__(self, channels: int, *, affine: bool, stored: bool, eps: float = 1e-5):
        super().__init__()
        self.affine, self.eps = affine, eps
        self.statistics: Statistics = "image"
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None
        self.register_buffer("running_mean", torch.zeros(channels) if stored else None)
        self.register_buffer("running_var", torch.ones(channels) if stored else None)

    def forward(self, x: Tensor) -> Tensor:
        if self.statistics == "image":
            running = (self.running_mean, self.running_var) if self.training else (None, None)
            return F.instance_norm(x, *running, self.weight, self.bias, momentum=MOMENTUM, eps=self.eps)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{'batch' if self.affine else 'instance'}, statistics={self.statistics}, eps={self.eps}"


def check_bn(mode: str | None) -> BnMode:
    """The mode, "batch" for None.

    Raises:
        UserError: no such mode.
    """
    if mode is None:
        return DEFAULT_BN
    if mode not in BN_MODES:
        listed = "\n".join(f"  {name}: {meaning}" for name, meaning in BN_MODES.items())
        raise UserError(f"no normalisation mode bn={mode!r}; there are:\n{listed}", exit_code=2)
    return mode


def set_bn(network: nn.Module, mode: BnMode) -> None:
    """Choose the statistics of every `Normalisation` in a network; `BN_MODES` says what the modes mean."""
    for module in network.modules():
        if isinstance(module, Normalisation):
            from_image = mode == "batch" or (mode == "mixed" and not module.affine)
            module.statistics = "image" if from_image else "running"
