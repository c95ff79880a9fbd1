"""DeblurGAN-v2 (Kupyn et al., ICCV 2019): a feature pyramid (Lin et al., CVPR 2017) on MobileNetV2 or Inception.

One network for both: they differ in the encoder, in the widths and in the padding that makes the Inception encoder's
unpadded maps fit together. Modules carry the names of the published files, which register the encoder twice:
`fpn.features.*` or `fpn.inception.*`, and again, by level, `fpn.enc0.*` to `fpn.enc4.*`.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgedeblur.generators.networks import inception_resnet_v2, mobilenet_v2
from edgedeblur.generators.networks.normalisation import Normalisation

Backbone = Literal["features", "inception"]


@dataclass(frozen=True)
class BackboneFacts:
    """What the pyramid must know of an encoder.

    lateral_padding: reflection padding (left, right, top, bottom) of each level's lateral map, finest first.
    levels: for each level the encoder's modules whose copies a file has under `fpn.enc<level>.0`, `.1` and so on, or
        under `fpn.enc<level>` itself where there is just one.
    tail: first names of what the file has and the generator never runs.
    deepest: the module whose output is the last level.
    """

    lateral_padding: tuple[tuple[int, int, int, int] | None, ...]
    levels: tuple[tuple[str, ...], ...]
    tail: tuple[str, ...]
    deepest: str


BACKBONES: dict[str, BackboneFacts] = {
    "features": BackboneFacts(
        lateral_padding=(None,) * 5,
        levels=tuple(
            tuple(str(block) for block in range(first, last + 1))
            for first, last in zip((0, 2, 4, 7, 11), mobilenet_v2.LEVEL_ENDS, strict=True)
        ),
        tail=("16", "17", "18"),
        deepest="15",
    ),
    "inception": BackboneFacts(
        lateral_padding=((0, 1, 0, 1), (1, 1, 1, 1), (1, 2, 1, 2), (1, 1, 1, 1), (1, 1, 1, 1)),
        levels=(
            ("conv2d_1a",),
            ("conv2d_2a", "conv2d_2b"),
            ("conv2d_3b", "conv2d_4a"),
            ("mixed_5b", "repeat", "mixed_6a"),
            ("repeat_1", "mixed_7a"),
        ),
        tail=("repeat_2", "block8", "conv2d_7b", "last_linear"),
        deepest="mixed_7a",
    ),
}


@dataclass(frozen=True)
class V2Config:
    """filters: width of the heads: 64 in upstream's MobileNet, 128 in its Inception; the pyramid is twice as wide."""

    backbone: Backbone = "features"
    filters: int = 64

    @property
    def pyramid(self) -> int:
        return 2 * self.filters


class FeaturePyramid(nn.Module):
    """Encoder levels, 1x1 lateral convolutions, and the way back up by nearest upsampling and addition."""

    def __init__(self, config: V2Config):
        super().__init__()
        width, mobile = config.pyramid, config.backbone == "features"
        channels = (mobilenet_v2 if mobile else inception_resnet_v2).LEVEL_CHANNELS
        self.backbone = config.backbone
        encoder = mobilenet_v2.MobileNetEncoder() if mobile else inception_resnet_v2.InceptionEncoder()
        self.add_module(config.backbone, encoder)
        self.td1, self.td2, self.td3 = (_smooth(width, width) for _ in range(3))
        for level in (4, 3, 2, 1):
            self.add_module(f"lateral{level}", nn.Conv2d(channels[level], width, 1, bias=False))
        self.lateral0 = nn.Conv2d(channels[0], config.filters, 1, bias=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        levels = self.get_submodule(self.backbone)(image)
        padding = BACKBONES[self.backbone].lateral_padding
        lateral = [self.get_submodule(f"lateral{index}")(level) for index, level in enumerate(levels)]
        lateral = [x if pad is None else F.pad(x, pad, "reflect") for x, pad in zip(lateral, padding, strict=True)]
        map3 = self.td1(lateral[3] + _upsample(lateral[4], 2))
        map2 = self.td2(lateral[2] + _upsample(map3, 2))
        map1 = self.td3(lateral[1] + _upsample(map2, 2))
        return [lateral[0], map1, map2, map3, lateral[4]]


class PyramidHead(nn.Module):
    """Two 3x3 convolutions without bias, each with ReLU."""

    def __init__(self, cin: int, cout: int):
        super().__init__()
        self.block0 = nn.Conv2d(cin, cout, 3, padding=1, bias=False)
        self.block1 = nn.Conv2d(cout, cout, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.block1(F.relu(self.block0(x))))


class PyramidGenerator(nn.Module):
    """[N, 3, H, W] in [-1, 1] -> the same shape in [-1, 1]; H and W in multiples of 32, Inception from 128 on."""

    def __init__(self, config: V2Config):
        super().__init__()
        self.config = config
        width = config.filters
        self.fpn = FeaturePyramid(config)
        self.head1, self.head2, self.head3, self.head4 = (PyramidHead(config.pyramid, width) for _ in range(4))
        self.smooth = _smooth(4 * width, width)
        self.smooth2 = _smooth(width, width // 2)
        self.final = nn.Conv2d(width // 2, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        map0, map1, map2, map3, map4 = self.fpn(image)
        heads = [_upsample(self.head4(map4), 8), _upsample(self.head3(map3), 4), _upsample(self.head2(map2), 2)]
        smoothed = self.smooth(torch.cat([*heads, self.head1(map1)], dim=1))
        smoothed = self.smooth2(_upsample(smoothed, 2) + map0)
        difference = torch.tanh(self.final(_upsample(smoothed, 2)))
        return torch.clamp(image + difference, -1, 1)


def bottleneck_name(config: V2Config) -> str:
    """The encoder's last module: 160 (Inception 2080) channels at 1/32 of the resolution."""
    return f"fpn.{config.backbone}.{BACKBONES[config.backbone].deepest}"


def _smooth(cin: int, cout: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1), Normalisation(cout, affine=False, stored=True), nn.ReLU())


def _upsample(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="nearest")
