"""The U-Net generator: an encoder-decoder of the DeblurGAN line that trains on a CPU in an hour.

As in DeblurGAN (Kupyn et al., CVPR 2018): residual blocks, instance normalisation, tanh and a global skip, on images in
[-1, 1]: `y = clamp(x + tanh(net(x)), -1, 1)`. Different from it, so that the work per pixel is small:

- the image is folded by space-to-depth 4, and nothing wide runs above 1/4 of the resolution;
- skips are added, not concatenated, and upsampling is sub-pixel (Shi et al., CVPR 2016);
- instance normalisation acts on half of the channels, and only in the blocks of the deepest level (the half-instance
  block of HINet, Chen et al., CVPRW 2021). Statistics of a training crop differ from those of a whole photograph; at
  finer levels this shifts colours and contrast, at the deepest level on half of the channels it does not.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FOLD = 4


@dataclass(frozen=True)
class UNetConfig:
    """widths: channels at 1/4, 1/8 and 1/16. encoder_blocks: residual blocks per level on the way down, the last number
    being the bottleneck. decoder_blocks: residual blocks at 1/8 and 1/4 on the way up."""

    widths: tuple[int, int, int] = (48, 96, 224)
    encoder_blocks: tuple[int, int, int] = (1, 1, 4)
    decoder_blocks: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        lengths = (len(self.widths), len(self.encoder_blocks), len(self.decoder_blocks))
        counts = (*self.encoder_blocks, *self.decoder_blocks)
        even = all(2 <= width <= 1024 and width % 2 == 0 for width in self.widths)
        if lengths != (3, 3, 2) or not even or not all(0 <= count <= 64 for count in counts):
            raise ValueError(
                f"not a U-Net configuration: {self}; there are three even widths up to 1024, "
                "three and two numbers of blocks up to 64"
            )

    def to_json(self) -> dict:
        return {name: list(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: dict) -> "UNetConfig":
        """Raises ValueError when the values are not a configuration."""
        try:
            return cls(**{name: tuple(int(number) for number in value) for name, value in values.items()})
        except TypeError as error:
            raise ValueError(f"not a U-Net configuration: {error}") from error


class ResidualBlock(nn.Module):
    """x + conv(relu(norm(conv(x)))); `normalise` puts instance normalisation on the first half of the channels."""

    def __init__(self, channels: int, normalise: bool):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.InstanceNorm2d(channels // 2, affine=True) if normalise else None

    def forward(self, x: Tensor) -> Tensor:
        inner = self.first(x)
        if self.norm is not None:
            half, rest = inner.chunk(2, dim=1)
            inner = torch.cat((self.norm(half), rest), dim=1)
        return x + self.second(F.relu(inner, inplace=True))


class UpSample(nn.Module):
    """Twice the size by a 1x1 convolution and depth-to-space, plus the skip of that level."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.expand = nn.Conv2d(in_channels, 4 * out_channels, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return F.pixel_shuffle(self.expand(x), 2) + skip


class UNet(nn.Module):
    """[N, 3, H, W] in [-1, 1] -> the same shape in [-1, 1]. H and W in multiples of `UNet.multiple`.

    In training mode the output is not clamped, so that a pixel beyond the range still has a gradient towards it.
    """

    multiple = 16

    def __init__(self, config: UNetConfig | None = None):
        super().__init__()
        self.config = config or UNetConfig()
        widths, encoder, decoder = self.config.widths, self.config.encoder_blocks, self.config.decoder_blocks
        colours = 3 * FOLD**2
        self.stem = nn.Conv2d(colours, widths[0], 3, padding=1, padding_mode="reflect")
        self.encoder0 = _blocks(widths[0], encoder[0])
        self.down1 = nn.Conv2d(widths[0], widths[1], 3, stride=2, padding=1)
        self.encoder1 = _blocks(widths[1], encoder[1])
        self.down2 = nn.Conv2d(widths[1], widths[2], 3, stride=2, padding=1)
        self.bottleneck = _blocks(widths[2], encoder[2], normalise=True)
        self.up1 = UpSample(widths[2], widths[1])
        self.decoder1 = _blocks(widths[1], decoder[0])
        self.up0 = UpSample(widths[1], widths[0])
        self.decoder0 = _blocks(widths[0], decoder[1])
        self.head = nn.Conv2d(widths[0], colours, 3, padding=1, padding_mode="reflect")
        self._initialise()

    def _initialise(self) -> None:
        """Residual branches start small and the head at zero: the network starts as the identity."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                module.second.weight.data.mul_(0.1)
        nn.init.zeros_(self.head.weight)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.encoder0(self.stem(F.pixel_unshuffle(image, FOLD)))
        middle = self.encoder1(self.down1(fine))
        deep = self.bottleneck(self.down2(middle))
        middle = self.decoder1(self.up1(deep, middle))
        fine = self.decoder0(self.up0(middle, fine))
        difference = torch.tanh(F.pixel_shuffle(self.head(fine), FOLD).float())
        restored = image + difference
        return restored if self.training else restored.clamp(-1, 1)


def build_unet(config: UNetConfig | None = None, seed: int = 0) -> UNet:
    """A U-Net with fresh weights, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(config)


def _blocks(channels: int, count: int, normalise: bool = False) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels, normalise) for _ in range(count)))
