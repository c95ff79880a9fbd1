"""The double-scale discriminator of DeblurGAN-v2 (Kupyn et al., ICCV 2019): one looks at patches, one at the image."""

import torch
from torch import nn

from edgedeblur.generators.networks.patchgan import PatchGan

LOCAL_LAYERS, GLOBAL_LAYERS = 3, 5


class DoubleScale(nn.Module):
    """A local discriminator, whose scores see 70x70 pixels, and a global one, whose scores see a whole 256x256 crop.

    They share nothing. `scales` are the two; a loss is the mean of what each gives alone.
    """

    def __init__(self, width: int = 64):
        super().__init__()
        self.patch = PatchGan(width, LOCAL_LAYERS)
        self.whole = PatchGan(width, GLOBAL_LAYERS)

    @property
    def scales(self) -> tuple[nn.Module, ...]:
        return (self.patch, self.whole)


def build_double_scale(width: int = 64, seed: int = 0) -> DoubleScale:
    """Both with fresh weights, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DoubleScale(width)
