"""Networks from their papers, as a user would write them down, with random weights; images in and out are in [0, 1]."""

import torch
from own_networks import with_random_statistics
from torch import Tensor, nn
from torch.nn import functional as F

from edgedeblur.generators.networks.deblurgan_v2 import PyramidGenerator, V2Config, _upsample


def conv(cin: int, cout: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups)


class Xlsr(nn.Module):
    """XLSR (Ayazoglu, CVPRW 2021): grouped convolutions, a concatenation, a clipped ReLU; at scale 1."""

    def __init__(self):
        super().__init__()
        blocks = [layer for _ in range(3) for layer in (conv(32, 32, groups=4), nn.ReLU(), conv(32, 32, 1))]
        self.skip, self.body = conv(3, 16), nn.Sequential(conv(3, 32), nn.ReLU(), *blocks)
        self.join, self.last = nn.Sequential(conv(48, 32, 1), nn.ReLU()), conv(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.join(torch.cat([self.skip(x), self.body(x)], 1))).clamp(0, 1)


class Ecbsr(nn.Module):
    """ECBSR-M4C16 (Zhang et al., ACM MM 2021) with its blocks folded: 3x3 and PReLU; at scale 1."""

    def __init__(self):
        super().__init__()
        widths = [3, *[16] * 5]
        self.body = nn.Sequential(
            *(nn.Sequential(conv(i, o), nn.PReLU(o)) for i, o in zip(widths, widths[1:], strict=False))
        )
        self.last = conv(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.last(self.body(x))


class NafBlock(nn.Module):
    """NAFNet's block (Chen et al., ECCV 2022) without layer normalisation."""

    def __init__(self, c: int):
        super().__init__()
        self.wide, self.deep = conv(c, 2 * c, 1), conv(2 * c, 2 * c, groups=2 * c)
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(c, c, 1))
        self.narrow, self.more, self.less = conv(c, c, 1), conv(c, 2 * c, 1), conv(c, c, 1)
        self.beta, self.gamma = (nn.Parameter(torch.full((1, c, 1, 1), 0.2)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.deep(self.wide(x)).chunk(2, 1)
        y = one * two
        x = x + self.beta * self.narrow(y * self.attention(y))
        one, two = self.more(x).chunk(2, 1)
        return x + self.gamma * self.less(one * two)


class NafNet(nn.Module):
    """NAFNet of width 16 with one block in each of its levels."""

    def __init__(self, c: int = 16):
        super().__init__()
        widths = (c, 2 * c, 4 * c, 8 * c)
        self.intro, self.ending = conv(3, c), conv(c, 3)
        self.encoders = nn.ModuleList(NafBlock(w) for w in widths)
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, 2) for w in widths)
        self.middle = NafBlock(16 * c)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * w, 4 * w, 1, bias=False), nn.PixelShuffle(2)) for w in widths
        )
        self.decoders = nn.ModuleList(NafBlock(w) for w in widths)

    def forward(self, image: Tensor) -> Tensor:
        x, skips = self.intro(image), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            skips.append(encoder(x))
            x = down(skips[-1])
        x = self.middle(x)
        for level in (3, 2, 1, 0):
            x = self.decoders[level](self.ups[level](x) + skips[level])
        return image + self.ending(x)


class MimoUnet(nn.Module):
    """MIMO-UNet (Cho et al., ICCV 2021) with 3 residual blocks a level and the finest output: images of three sizes,
    fused by products; features of all levels resized and concatenated; transposed convolutions."""

    def __init__(self, c: int = 32, blocks: int = 3):
        super().__init__()
        w, res = (c, 2 * c, 4 * c), lambda n: nn.Sequential(*(Residual(n) for _ in range(blocks)))
        self.stem, self.down1, self.down2 = conv(3, c), conv(c, w[1], 3, 2), conv(w[1], w[2], 3, 2)
        self.small = nn.ModuleList(nn.Sequential(conv(3, n // 2), nn.ReLU(), conv(n // 2, n, 1)) for n in w[1:])
        self.fuse = nn.ModuleList(conv(n, n) for n in w[1:])
        self.encoders, self.decoders = (nn.ModuleList(res(n) for n in w) for _ in range(2))
        self.joins = nn.ModuleList(nn.Sequential(conv(7 * c, n, 1), nn.ReLU(), conv(n, n)) for n in w[:2])
        self.up2, self.up1 = (nn.ConvTranspose2d(2 * n, n, 4, 2, 1) for n in (w[1], c))
        self.skip2, self.skip1, self.head = conv(2 * w[1], w[1], 1), conv(2 * c, c, 1), conv(c, 3)

    def forward(self, image: Tensor) -> Tensor:
        half = F.avg_pool2d(image, 2)
        smaller = [self.small[0](half), self.small[1](F.avg_pool2d(half, 2))]
        one = self.encoders[0](F.relu(self.stem(image)))
        two = F.relu(self.down1(one))
        two = self.encoders[1](two + self.fuse[0](two * smaller[0]))
        three = F.relu(self.down2(two))
        three = self.encoders[2](three + self.fuse[1](three * smaller[1]))
        up32, up21 = (F.interpolate(x, scale_factor=2, mode="nearest") for x in (three, two))
        wide1 = self.joins[0](torch.cat([one, up21, F.interpolate(up32, scale_factor=2, mode="nearest")], 1))
        wide2 = self.joins[1](torch.cat([F.max_pool2d(one, 2), two, up32], 1))
        x = self.decoders[2](three)
        x = self.decoders[1](self.skip2(torch.cat([F.relu(self.up2(x)), wide2], 1)))
        x = self.decoders[0](self.skip1(torch.cat([F.relu(self.up1(x)), wide1], 1)))
        return image + self.head(x)


class Residual(nn.Module):
    def __init__(self, c: int):
        super().__init__()
        self.a, self.b = conv(c, c), conv(c, c)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(F.relu(self.a(x)))


class DeblurGanV2(PyramidGenerator):
    """DeblurGAN-v2 (Kupyn et al., ICCV 2019) on MobileNetV2, normalised by stored statistics, for images in [0, 1]."""

    def __init__(self):
        super().__init__(V2Config())
        for module in self.modules():
            if hasattr(module, "statistics"):
                module.statistics = "running"

    def forward(self, image: Tensor) -> Tensor:
        map0, map1, map2, map3, map4 = self.fpn(2 * image - 1)
        heads = [_upsample(self.head4(map4), 8), _upsample(self.head3(map3), 4), _upsample(self.head2(map2), 2)]
        smoothed = self.smooth(torch.cat([*heads, self.head1(map1)], dim=1))
        smoothed = self.smooth2(_upsample(smoothed, 2) + map0)
        return image + 0.5 * torch.tanh(self.final(_upsample(smoothed, 2)))


NETWORKS = {"xlsr": Xlsr, "ecbsr": Ecbsr, "nafnet": NafNet, "mimo-unet": MimoUnet, "deblurgan-v2": DeblurGanV2}


def paper_network(name: str) -> nn.Module:
    """A network with random weights, the same for the same name."""
    torch.manual_seed(0)
    return with_random_statistics(NETWORKS[name]())
