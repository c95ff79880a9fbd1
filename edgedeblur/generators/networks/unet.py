"""The U-Net generator: an encoder-decoder of the DeblurGAN line that trains on a CPU.

As in DeblurGAN (Kupyn et al., CVPR 2018): residual blocks with instance normalisation, tanh and a global skip, on
images in [-1, 1]: `y = clamp(x + tanh(net(x)), -1, 1)`. Different from it, so that the work per pixel is small: most
blocks run at 1/4 of the resolution and below, skips are added, not concatenated, and upsampling is sub-pixel (Shi et
al., CVPR 2016). Normalisation stands only inside residual branches, so the trunk keeps the image's own brightness and
contrast. Its statistics depend on how much is seen at once, so images larger than a training crop are restored in
overlapping tiles of about that size; whole frames gain less (compare Chu et al., ECCV 2022). The first convolution
works on plain pixels: a space-to-depth stem has to learn every filter once per phase, which costs more training than a
CPU gives.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgedeblur.generators.networks.tiles import in_tiles

TILE_OVERLAP = 32  # pixels
_LEVELS = range(2, 7)


@dataclass(frozen=True)
class UNetConfig:
    """widths: channels at full resolution, 1/2, 1/4 and so on. encoder_blocks: residual blocks per level on the way
    down, the last number being the bottleneck. decoder_blocks: on the way up, in the order of the levels, so the first
    number is full resolution. tile: largest side that is restored at once; about the side of a training crop."""

    widths: tuple[int, ...] = (16, 32, 64, 128, 192)
    encoder_blocks: tuple[int, ...] = (0, 0, 1, 1, 2)
    decoder_blocks: tuple[int, ...] = (0, 0, 1, 1)
    tile: int = 160

    def __post_init__(self) -> None:
        levels = len(self.widths)
        lengths = (len(self.encoder_blocks), len(self.decoder_blocks))
        counts = (*self.encoder_blocks, *self.decoder_blocks)
        widths_fit = levels in _LEVELS and all(2 <= width <= 1024 for width in self.widths)
        counts_fit = lengths == (levels, levels - 1) and all(0 <= count <= 64 for count in counts)
        tile_fits = 2 * TILE_OVERLAP < self.tile <= 1 << 16 and self.tile % 2 ** (levels - 1) == 0
        if not (widths_fit and counts_fit and tile_fits):
            raise ValueError(
                f"not a U-Net configuration: {self}; there are {_LEVELS[0]} to {_LEVELS[-1]} widths of 2 to 1024, as "
                "many numbers of encoder blocks and one fewer of decoder blocks, up to 64, and a tile above "
                f"{2 * TILE_OVERLAP} in multiples of the coarsest level"
            )

    @property
    def multiple(self) -> int:
        """Sides that the network takes are multiples of it."""
        return 2 ** (len(self.widths) - 1)

    def to_json(self) -> dict:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


class ResidualBlock(nn.Module):
    """x + conv(relu(norm(conv(x)))), with instance normalisation."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.InstanceNorm2d(channels, affine=True)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.norm(self.first(x)), inplace=True))


class UpSample(nn.Module):
    """Twice the size by a 1x1 convolution and pixel shuffle, plus the skip of that level."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.expand = nn.Conv2d(in_channels, 4 * out_channels, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return F.pixel_shuffle(self.expand(x), 2) + skip


class UNet(nn.Module):
    """[N, 3, H, W] in [-1, 1] -> the same shape in [-1, 1]. H and W in multiples of `multiple`.

    In training mode the whole input is seen at once and the output is not clamped, so that a pixel beyond the range
    still has a gradient towards it.
    """

    def __init__(self, config: UNetConfig | None = None):
        super().__init__()
        self.config = config or UNetConfig()
        widths = self.config.widths
        steps = list(zip(widths, widths[1:], strict=False))
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1, padding_mode="reflect")
        self.encoder = nn.ModuleList(map(_blocks, widths[:-1], self.config.encoder_blocks[:-1]))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in steps)
        self.bottleneck = _blocks(widths[-1], self.config.encoder_blocks[-1])
        self.up = nn.ModuleList(UpSample(coarse, fine) for fine, coarse in steps)
        self.decoder = nn.ModuleList(map(_blocks, widths[:-1], self.config.decoder_blocks))
        self.head = nn.Conv2d(widths[0], 3, 3, padding=1, padding_mode="reflect")
        nn.init.zeros_(self.head.weight)  # the network starts as the identity
        nn.init.zeros_(self.head.bias)

    @property
    def multiple(self) -> int:
        return self.config.multiple

    def forward(self, image: Tensor) -> Tensor:
        if self.training:
            return self._restore(image)
        return in_tiles(self._restore, image, self.config.tile, TILE_OVERLAP, self.multiple).clamp(-1, 1)

    def _restore(self, image: Tensor) -> Tensor:
        trunk, skips = self.stem(image), []
        for blocks, down in zip(self.encoder, self.down, strict=True):
            trunk = blocks(trunk)
            skips.append(trunk)
            trunk = F.relu(down(trunk))
        trunk = self.bottleneck(trunk)
        for level in reversed(range(len(skips))):
            trunk = self.decoder[level](self.up[level](trunk, skips[level]))
        return image + torch.tanh(self.head(F.relu(trunk)).float())


def build_unet(config: UNetConfig | None = None, seed: int = 0) -> UNet:
    """A U-Net with fresh weights, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(config)


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))
