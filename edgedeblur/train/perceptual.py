"""The perceptual loss of DeblurGAN: the distance of two images in VGG19's features (Johnson et al., ECCV 2016).

The weights come from a file of the user's in torchvision's format; nothing is downloaded, and torchvision is not used.
"""

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from edgedeblur.errors import UserError
from edgedeblur.train.borrowed import read_borrowed, take_weights

_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in torchvision's units
# channels of VGG19's convolutions up to conv3_3, None for a pooling; each convolution but the last has a ReLU
_CHANNELS = (64, 64, None, 128, 128, None, 256, 256, 256)
_VGG19 = {0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34}  # torchvision's numbers of the 16 convolutions
_FIX = "give torchvision's vgg19 weights (vgg19-*.pth, keys features.N.weight), or leave --vgg out"


class VggFeatures(nn.Module):
    """[N, 3, H, W] RGB in [-1, 1] -> [N, 256, H/4, W/4]: VGG19's conv3_3 (`features.14`) before its ReLU.

    Both DeblurGAN repositories take this layer. Images are normalised as VGG19 was trained, which of the two only v2
    does. Frozen.
    """

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = []
        width = 3
        for channels in _CHANNELS:
            if channels is None:
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU()]
            width = channels
        self.features = nn.Sequential(*layers[:-1])
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(_SPREAD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor) -> Tensor:
        return self.features(((image + 1) / 2 - self.mean) / self.spread)


def perceptual_loss(features: VggFeatures, restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean squared difference of the features; gradients flow to `restored` alone."""
    with torch.no_grad():
        wanted = features(sharp)
    return (features(restored) - wanted).float().square().mean()


def load_vgg(path: Path) -> VggFeatures:
    """VGG19 up to conv3_3 from torchvision's weight file, or from any file of tensors with its keys.

    Raises:
        UserError: no such file, not a file of tensors, or the weights of another network.
    """
    tensors = read_borrowed(path, "VGG19", _FIX)
    numbers = {int(found[1]) for name in tensors if (found := re.match(r"features\.(\d{1,4})\.", name))}
    if other := sorted(numbers - _VGG19):
        raise UserError(f"{path} has features.{other[0]}, which VGG19 does not have: weights of another network", _FIX)
    network = VggFeatures()
    take_weights(network, tensors, path, "VGG19", _FIX)
    return network
