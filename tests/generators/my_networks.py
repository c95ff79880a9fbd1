"""A user's own networks, for load_custom; importable from the tests' folder."""

import torch
from torch import Tensor, nn


class Halving(nn.Module):
    """Takes sides in multiples of 4 and [0, 1]; adds a learned offset to the image."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 4, 4, stride=4)
        self.up = nn.ConvTranspose2d(4, 3, 4, stride=4)

    def forward(self, image: Tensor) -> Tensor:
        return image + 0.1 * torch.tanh(self.up(self.down(image)))


class Shrinking(nn.Module):
    """No restorer: its output is smaller than its input."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image)


def not_a_network() -> str:
    return "network"
