"""MobileNetV2 (Sandler et al., CVPR 2018) up to its fifth resolution: an encoder of DeblurGAN-v2.

Modules are numbered as in the ImageNet file that the generator was trained from; 16, 17 and 18 of that file never run
in the generator and are not built.
"""

from torch import Tensor, nn

from edgedeblur.generators.networks.normalisation import Normalisation

LEVEL_CHANNELS = (16, 24, 32, 64, 160)
LEVEL_ENDS = (1, 3, 6, 10, 15)
# expansion, channels, repeats, stride of the first; the paper's table 2 with the last group of 160 cut to two blocks
_GROUPS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 2, 2))


class InvertedResidual(nn.Module):
    """Expand by 1x1, depthwise 3x3, project by 1x1 without activation; the input is added where the shapes agree."""

    def __init__(self, cin: int, cout: int, stride: int, expansion: int):
        super().__init__()
        width = cin * expansion
        expand = _conv_relu6(cin, width, 1) if expansion > 1 else []
        depthwise = _conv_relu6(width, width, 3, stride=stride, groups=width)
        self.conv = nn.Sequential(*expand, *depthwise, nn.Conv2d(width, cout, 1, bias=False), _norm(cout))
        self.adds_input = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.adds_input else self.conv(x)


class MobileNetEncoder(nn.ModuleList):
    """[N, 3, H, W] -> five maps with `LEVEL_CHANNELS` channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size."""

    def __init__(self):
        blocks: list[nn.Module] = [nn.Sequential(*_conv_relu6(3, 32, 3, stride=2))]
        width = 32
        for expansion, channels, repeats, stride in _GROUPS:
            for index in range(repeats):
                blocks.append(InvertedResidual(width, channels, stride if index == 0 else 1, expansion))
                width = channels
        super().__init__(blocks)

    def forward(self, image: Tensor) -> list[Tensor]:
        levels, x = [], image
        for index, block in enumerate(self):
            x = block(x)
            if index in LEVEL_ENDS:
                levels.append(x)
        return levels


def _conv_relu6(cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(cin, cout, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    return [conv, _norm(cout), nn.ReLU6()]


def _norm(channels: int) -> Normalisation:
    return Normalisation(channels, affine=True, stored=True)
