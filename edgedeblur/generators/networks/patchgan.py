"""The discriminator of DeblurGAN (Kupyn et al., CVPR 2018): the 70x70 PatchGAN of pix2pix (Isola et al., CVPR 2017)."""

import torch
from torch import Tensor, nn

_MAX_WIDENING = 8


class PatchGan(nn.Module):
    """[N, 3, H, W] in [-1, 1] -> [N, 1, h, w] scores (logits, not probabilities); higher is more real.

    Convolutions 4x4 of C64-C128-C256-C512: `layers` of them with stride 2, doubling the width up to eight times the
    first, one more with stride 1, and a last one to one channel; leaky ReLU 0.2. Instance normalisation in the inner
    ones, which unlike batch normalisation allows a gradient penalty per image. Three layers see 70x70 pixels per score,
    five see 286x286. Padding is 2, as in both DeblurGAN repositories (pix2pix pads by 1): a 256x256 image gives 35x35
    scores from three layers and 11x11 from five, and small crops still give some.
    """

    def __init__(self, width: int = 64, layers: int = 3):
        super().__init__()
        widths = [width * min(2**level, _MAX_WIDENING) for level in range(layers + 1)]
        stages: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=2), nn.LeakyReLU(0.2)]
        for level in range(1, layers + 1):
            stride = 2 if level < layers else 1
            conv = nn.Conv2d(widths[level - 1], widths[level], 4, stride=stride, padding=2)
            stages += [conv, nn.InstanceNorm2d(widths[level]), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*stages, nn.Conv2d(widths[-1], 1, 4, padding=2))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)

    @property
    def scales(self) -> tuple[nn.Module, ...]:
        """The networks whose scores count one by one: this one alone."""
        return (self,)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


def build_patchgan(width: int = 64, seed: int = 0) -> PatchGan:
    """A discriminator with fresh weights, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PatchGan(width)
