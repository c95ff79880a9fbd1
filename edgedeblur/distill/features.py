"""Feature distillation: the student's bottleneck, projected by a 1x1 convolution, against the teacher's (FitNets,
Romero et al., ICLR 2015)."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FeatureProjection(nn.Module):
    """From the student's channels to the teacher's; part of training only, not of the student.

    It starts as zero and takes features of any size as of size one, so that the loss begins at one and a trained
    student, whose features are large, is not torn down by a projection that knows nothing yet.
    """

    def __init__(self, student_channels: int, teacher_channels: int):
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # building draws initial weights; the caller's generator stays as it is
            self.conv = nn.Conv2d(student_channels, teacher_channels, 1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward(self, features: Tensor) -> Tensor:
        size = features.detach().float().square().mean().sqrt().clamp_min(1e-6)
        return self.conv(features / size)


def feature_loss(projected: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared difference of [N, C, H, W] features in units of the teacher's own spread per channel and from its
    mean, so that its weight means the same for every teacher: 1 for a projection that is zero. A channel that spreads
    less than a tenth of the others counts less. The finer of the two is averaged down to the coarser."""
    size = tuple(min(a, b) for a, b in zip(projected.shape[-2:], wanted.shape[-2:], strict=True))
    projected, wanted = (F.adaptive_avg_pool2d(features.float(), size) for features in (projected, wanted))
    variance, mean = torch.var_mean(wanted, dim=(0, 2, 3), keepdim=True, correction=0)
    spread = (variance + 0.01 * variance.mean()).sqrt().clamp_min(1e-6)
    return (projected - (wanted - mean) / spread).square().mean()


@contextlib.contextmanager
def watched(module: nn.Module) -> Iterator[list[Tensor]]:
    """Within the block, every output of the module is appended to the list that the block gets."""
    seen: list[Tensor] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        yield seen
    finally:
        handle.remove()
