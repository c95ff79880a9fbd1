"""DeblurGAN v1: the ResNet generator (Kupyn et al., CVPR 2018), in the three block layouts its repository has had.

The network is that of Johnson et al. (ECCV 2016): two strided convolutions, residual blocks at 1/4, two transposed
convolutions, reflection padding, instance normalisation, tanh. Modules carry the names of the published files
(`model.10.conv_block.1`).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from edgedeblur.generators.networks.normalisation import Normalisation

BlockLayout = Literal["dropout", "no dropout", "one convolution"]
PUBLISHED_DROPOUT = 0.5
FIRST_BLOCK = 10
OTHER_LAYERS = 17  # number of the last convolution, less the number of residual blocks


@dataclass(frozen=True)
class V1Config:
    """What a file's names and shapes tell, and two options that they cannot tell.

    block_layout: "dropout" has its convolutions at conv_block.1 and .6, "no dropout" at .1 and .5; "one convolution" is
        what an operator-precedence slip in the repository's HEAD leaves of either.
    upsample_kernel: 3 (output padding 1) or 4, of the transposed convolutions.
    learn_residual: the output is clamp(x + tanh(.), -1, 1); else tanh(.) alone.
    head_relu: "one convolution" blocks end with a ReLU (HEAD with dropout) or not (HEAD with --no_dropout).
    """

    blocks: int = 9
    block_layout: BlockLayout = "dropout"
    ngf: int = 64
    upsample_kernel: int = 3
    learn_residual: bool = True
    head_relu: bool = True


class ResnetBlock(nn.Module):
    """x + branch(x). Dropout is off until `set_dropout`: upstream leaves it on at test time, where output is random."""

    def __init__(self, channels: int, layout: BlockLayout, head_relu: bool):
        super().__init__()
        first = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), _norm(channels)]
        if layout == "one convolution":
            self.conv_block = nn.Sequential(*first, nn.ReLU() if head_relu else nn.Identity())
            return
        dropout = [nn.Dropout(0.0)] if layout == "dropout" else []
        second = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), _norm(channels)]
        self.conv_block = nn.Sequential(*first, nn.ReLU(), *dropout, *second)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class ResnetGenerator(nn.Module):
    """[N, 3, H, W] in [-1, 1] -> the same shape in [-1, 1]; H and W in multiples of 4, at least 8."""

    def __init__(self, config: V1Config):
        super().__init__()
        self.config = config
        ngf, kernel = config.ngf, config.upsample_kernel
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, ngf, 7), _norm(ngf), nn.ReLU()]
        for width in (ngf, 2 * ngf):
            layers += [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), _norm(2 * width), nn.ReLU()]
        layers += [ResnetBlock(4 * ngf, config.block_layout, config.head_relu) for _ in range(config.blocks)]
        for width in (4 * ngf, 2 * ngf):
            up = nn.ConvTranspose2d(width, width // 2, kernel, stride=2, padding=1, output_padding=4 - kernel)
            layers += [up, _norm(width // 2), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        difference = self.model(image)
        return torch.clamp(image + difference, -1, 1) if self.config.learn_residual else difference


def bottleneck_name(config: V1Config) -> str:
    """The last residual block: 4 * ngf channels at 1/4 of the resolution."""
    return f"model.{FIRST_BLOCK + config.blocks - 1}"


def set_dropout(network: ResnetGenerator, probability: float) -> None:
    """How much of a block's inner map is dropped in training mode, in the "dropout" layout; the paper's is 0.5."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = probability


def _norm(channels: int) -> Normalisation:
    return Normalisation(channels, affine=False, stored=False)
