"""What happens to many pictures at once on their way into a file, with torch: `data.sensor` on a GPU."""

import functools
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

# The quantisation tables of ITU-T T.81 (JPEG), annex K.1, for brightness and colour.
_BRIGHTNESS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_COLOUR = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))  # the rest is 99
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def add_noise(images: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """Pixels [N, 3, H, W] in 0..255 with Gaussian noise of standard deviation sigma [N], rounded and clipped."""
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    return (images + noise * sigma[:, None, None, None]).round_().clamp_(0, 255)


def add_photon_noise(light: Tensor, at_white: Tensor, generator: torch.Generator) -> Tensor:
    """Light [N, 3, H, W] with noise that grows with it (`sensor.photon_noise`); at_white [N] in steps of 1/255."""
    noise = torch.randn(light.shape, generator=generator, device=light.device)
    return light + noise * light.clamp_min(0).sqrt() * (at_white / 255)[:, None, None, None]


def jpeg_all(images: Tensor, quality: Tensor) -> Tensor:
    """Pixels [N, 3, H, W] in 0..255 after JPEG compression (ITU-T T.81) at a quality [N] of 1 to 100, as libjpeg counts
    it, colours at half the resolution. Sides in multiples of 16."""
    to_ycc = torch.tensor(_TO_YCC, device=images.device)
    ycc = torch.einsum("cd,ndhw->nchw", to_ycc, images)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None] / 100
    brightness = _quantised(ycc[:, :1] - 128, scale, torch.tensor(_BRIGHTNESS, device=images.device)) + 128
    table = torch.full((8, 8), 99.0, device=images.device)
    table[:4, :4] = torch.tensor(_COLOUR, device=images.device)
    colours = _quantised(F.avg_pool2d(ycc[:, 1:], 2), scale, table)
    colours = F.interpolate(colours, scale_factor=2, mode="bilinear", align_corners=False)
    back = torch.linalg.inv(to_ycc)
    return torch.einsum("cd,ndhw->nchw", back, torch.cat([brightness, colours], 1)).round_().clamp_(0, 255)


def _quantised(planes: Tensor, scale: Tensor, table: Tensor) -> Tensor:
    """Planes [N, C, H, W] around 0 whose 8x8 cosine transforms are rounded to steps of table * scale."""
    n, c, h, w = planes.shape
    steps = (table * scale + 0.5).floor().clamp(1, 255)[:, None, None, None]
    transform = _cosines().to(planes.device)
    blocks = planes.reshape(n, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    spectrum = transform @ blocks @ transform.T
    blocks = transform.T @ ((spectrum / steps).round() * steps) @ transform
    return blocks.transpose(3, 4).reshape(n, c, h, w)


@functools.cache
def _cosines() -> Tensor:
    """The orthonormal 8-point DCT-II, [8, 8]."""
    frequency, place = np.mgrid[:8, :8]
    matrix = np.cos((2 * place + 1) * frequency * math.pi / 16) / 2
    matrix[0] /= math.sqrt(2)
    return torch.from_numpy(matrix.astype(np.float32))
