"""Inception-ResNet-v2 (Szegedy et al., AAAI 2017) up to Mixed-7a: an encoder of DeblurGAN-v2.

Modules carry the names of the ImageNet file that the generator was trained from. What comes after Mixed-7a in that file
(block 8, the last convolution, the classifier) never runs in the generator and is not built.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgedeblur.generators.networks.normalisation import Normalisation

BN_EPS = 1e-3
LEVEL_CHANNELS = (32, 64, 192, 1088, 2080)
BLOCKS35, BLOCKS17 = 10, 20
SCALE35, SCALE17 = 0.17, 0.10


class BasicConv(nn.Module):
    """Convolution without bias, BatchNorm, ReLU."""

    def __init__(self, cin: int, cout: int, kernel: int | tuple[int, int], stride: int = 1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride=stride, padding=padding, bias=False)
        self.bn = Normalisation(cout, affine=True, stored=True, eps=BN_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Branches(nn.Module):
    """Parallel branches on one input, concatenated: branch0, branch1, ..."""

    def __init__(self, *branches: nn.Module):
        super().__init__()
        for index, branch in enumerate(branches):
            self.add_module(f"branch{index}", branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], dim=1)


class ResidualBranches(nn.Module):
    """relu(x + scale * conv1x1(branches)). The branches stay direct children, as the file names them."""

    def __init__(self, channels: int, inner: int, scale: float, *branches: nn.Module):
        super().__init__()
        self.scale, self.count = scale, len(branches)
        for index, branch in enumerate(branches):
            self.add_module(f"branch{index}", branch)
        self.conv2d = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.cat([getattr(self, f"branch{index}")(x) for index in range(self.count)], dim=1)
        return F.relu(self.conv2d(inner) * self.scale + x)


class InceptionEncoder(nn.Module):
    """[N, 3, H, W] -> five maps with `LEVEL_CHANNELS` channels at about 1/2, 1/4, 1/8, 1/16 and 1/32 of the size.

    Most convolutions have no padding, so the maps are a few pixels smaller than these fractions.
    """

    def __init__(self):
        super().__init__()
        self.conv2d_1a = BasicConv(3, 32, 3, stride=2)
        self.conv2d_2a = BasicConv(32, 32, 3)
        self.conv2d_2b = BasicConv(32, 64, 3, padding=1)
        self.conv2d_3b = BasicConv(64, 80, 1)
        self.conv2d_4a = BasicConv(80, 192, 3)
        self.mixed_5b = _mixed_5b()
        self.repeat = nn.Sequential(*(_block35() for _ in range(BLOCKS35)))
        self.mixed_6a = _mixed_6a()
        self.repeat_1 = nn.Sequential(*(_block17() for _ in range(BLOCKS17)))
        self.mixed_7a = _mixed_7a()

    def forward(self, image: Tensor) -> list[Tensor]:
        level0 = self.conv2d_1a(image)
        level1 = F.max_pool2d(self.conv2d_2b(self.conv2d_2a(level0)), 3, stride=2)
        level2 = F.max_pool2d(self.conv2d_4a(self.conv2d_3b(level1)), 3, stride=2)
        level3 = self.mixed_6a(self.repeat(self.mixed_5b(level2)))
        level4 = self.mixed_7a(self.repeat_1(level3))
        return [level0, level1, level2, level3, level4]


def _mixed_5b() -> Branches:
    return Branches(
        BasicConv(192, 96, 1),
        nn.Sequential(BasicConv(192, 48, 1), BasicConv(48, 64, 5, padding=2)),
        nn.Sequential(BasicConv(192, 64, 1), BasicConv(64, 96, 3, padding=1), BasicConv(96, 96, 3, padding=1)),
        nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False), BasicConv(192, 64, 1)),
    )


def _block35() -> ResidualBranches:
    return ResidualBranches(
        320,
        128,
        SCALE35,
        BasicConv(320, 32, 1),
        nn.Sequential(BasicConv(320, 32, 1), BasicConv(32, 32, 3, padding=1)),
        nn.Sequential(BasicConv(320, 32, 1), BasicConv(32, 48, 3, padding=1), BasicConv(48, 64, 3, padding=1)),
    )


def _mixed_6a() -> Branches:
    return Branches(
        BasicConv(320, 384, 3, stride=2),
        nn.Sequential(BasicConv(320, 256, 1), BasicConv(256, 256, 3, padding=1), BasicConv(256, 384, 3, stride=2)),
        nn.MaxPool2d(3, stride=2),
    )


def _block17() -> ResidualBranches:
    narrow = nn.Sequential(
        BasicConv(1088, 128, 1),
        BasicConv(128, 160, (1, 7), padding=(0, 3)),
        BasicConv(160, 192, (7, 1), padding=(3, 0)),
    )
    return ResidualBranches(1088, 384, SCALE17, BasicConv(1088, 192, 1), narrow)


def _mixed_7a() -> Branches:
    return Branches(
        nn.Sequential(BasicConv(1088, 256, 1), BasicConv(256, 384, 3, stride=2)),
        nn.Sequential(BasicConv(1088, 256, 1), BasicConv(256, 288, 3, stride=2)),
        nn.Sequential(BasicConv(1088, 256, 1), BasicConv(256, 288, 3, padding=1), BasicConv(288, 320, 3, stride=2)),
        nn.MaxPool2d(3, stride=2),
    )
