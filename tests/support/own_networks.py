"""Networks as a user writes them in torch, for tests of the import; random weights, normalisation with statistics."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ParallelBranches(nn.Module):
    """RepVGG's block (Ding et al., CVPR 2021) as it is trained: 3x3, 1x1 and identity, each normalised, then ReLU."""

    def __init__(self, channels: int, out: int, stride: int = 1):
        super().__init__()
        self.wide = nn.Sequential(nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out))
        self.point = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.identity = nn.BatchNorm2d(channels) if (channels, stride) == (out, 1) else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.wide(x) + self.point(x)
        return F.relu(y if self.identity is None else y + self.identity(x))


class Everything(nn.Module):
    """One of every operator that is taken, in one U-shaped network."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(12, 8, 3, padding=1)
        self.noise = nn.Dropout(0.1)
        self.fine, self.coarse = ParallelBranches(8, 8), ParallelBranches(8, 16, 2)
        self.inner, self.outer = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding="same", bias=False)
        self.strength = nn.Parameter(torch.rand(1, 16, 1, 1))
        self.gate = nn.Linear(8, 16)
        self.up, self.shuffle, self.normal = nn.Conv2d(16, 32, 1), nn.PixelShuffle(2), nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, 12, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        skip = self.fine(self.noise(self.stem(F.pixel_unshuffle(image, 2))))
        x = self.coarse(skip)
        factors = torch.sigmoid(self.gate(skip.mean((2, 3))))[:, :, None, None]
        y = self.outer(F.relu(self.inner(x)) * factors)
        x = x + 0.5 * self.strength * y
        x = self.normal(self.shuffle(self.up(x))) + skip
        return (image - F.pixel_shuffle(self.head(x), 2)).clamp(0, 1)


class Mobile(nn.Module):
    """Inverted residuals (Sandler et al., CVPR 2018), grouped and dilated convolutions, activations other than ReLU."""

    def __init__(self):
        super().__init__()
        self.stem, self.normal = nn.Conv2d(12, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.wide, self.deep = nn.Conv2d(8, 24, 1), nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False)
        self.deep_normal, self.narrow = nn.BatchNorm2d(24), nn.Conv2d(24, 8, 1)
        self.down, self.bend = nn.Conv2d(8, 16, 3, 2, 1, groups=4), nn.PReLU(16)
        self.dilated = nn.Conv2d(16, 16, 5, padding=4, dilation=2)
        self.multiplied = nn.Conv2d(16, 32, 3, padding=1, groups=16)
        self.up, self.leaky = nn.PixelShuffle(2), nn.LeakyReLU(0.2)
        self.last, self.head = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 12, 3, padding=1, groups=2)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu6(self.normal(self.stem(F.pixel_unshuffle(image, 2))))
        y = F.hardtanh(self.deep_normal(self.deep(F.relu6(self.wide(x)))), 0, 4)
        x = x + self.narrow(y)
        y = F.relu(self.dilated(self.bend(self.down(x)))).clamp(max=3)
        x = x + self.last(self.leaky(self.up(self.multiplied(y))))
        return image + F.pixel_shuffle(self.head(x), 2)


class Untaken(nn.Module):
    """Three operators that have no int8 kernel, between others that have."""

    def __init__(self):
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 8, 3, padding=1), nn.Softmax(1)
        self.norm, self.head = nn.GroupNorm(2, 8), nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.act(self.stem(image))
        half = F.interpolate(F.max_pool2d(x, 2), scale_factor=2, mode="bicubic")
        return image + self.head(torch.cat([self.norm(half), x], 1))


def with_random_statistics(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network in evaluation mode, its normalisation as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(module.running_var, 0.5, 2.0, generator=generator)
            for value in (module.bias, module.running_mean):
                nn.init.normal_(value, std=0.3, generator=generator)
    return network.eval()


def everything() -> nn.Module:
    torch.manual_seed(0)
    return with_random_statistics(Everything())


def mobile() -> nn.Module:
    torch.manual_seed(2)
    network = with_random_statistics(Mobile())
    nn.init.uniform_(network.bend.weight, -0.2, 0.6)
    return network


def untaken() -> nn.Module:
    return Untaken()


def too_large() -> nn.Module:
    wide = nn.Conv2d(1500, 1500, 3, padding=1)
    return nn.Sequential(nn.Conv2d(3, 1500, 3, padding=1), nn.ReLU(), wide, nn.ReLU(), nn.Conv2d(1500, 3, 1))
