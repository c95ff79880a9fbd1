"""Content losses: the distance of a restored image to the sharp one, in pixels and in frequencies."""

import torch
from torch import Tensor

_EPSILON = 1e-3
_NO_HARM = 1e-5


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Mean of |a - b|, as in pix2pix (Isola et al., CVPR 2017)."""
    return (a - b).float().abs().mean()


def mse(a: Tensor, b: Tensor) -> Tensor:
    """Mean of (a - b)^2, the pixel term of DeblurGAN-v2 (Kupyn et al., ICCV 2019)."""
    return (a - b).float().square().mean()


def charbonnier(a: Tensor, b: Tensor) -> Tensor:
    """Mean of sqrt((a - b)^2 + 1e-6): L1 that is smooth at zero (Charbonnier et al., ICIP 1994)."""
    return torch.sqrt((a - b).float().square() + _EPSILON**2).mean()


def log_mse(a: Tensor, b: Tensor) -> Tensor:
    """log10 of the mean of (a - b)^2 over the batch, 0 to -6 or so: -PSNR / 10, the loss of NAFNet (Chen et al., ECCV
    2022), there per image. Over the batch, a picture that is sharp already does not outweigh all others."""
    return torch.log10((a - b).float().square().mean() + _EPSILON**2)


def harm_loss(restored: Tensor, blurred: Tensor, sharp: Tensor) -> Tensor:
    """Mean over pictures [N, 3, H, W] of log10 of how much larger the squared error has become, 0 where it is smaller
    than before; what lies below 1e-5 (50 dB) is no error. Only pictures that are made worse have a gradient: sharp ones
    above all, which a small network else sharpens further."""
    before, after = ((image - sharp).float().square().mean((1, 2, 3)) for image in (blurred, restored))
    return torch.log10((after + _NO_HARM) / (before + _NO_HARM)).clamp_min(0).mean()


def frequency_loss(a: Tensor, b: Tensor) -> Tensor:
    """Mean L1 of the difference of the 2-D spectra, orthonormal (MIMO-UNet, Cho et al., ICCV 2021)."""
    spectrum = torch.view_as_real(torch.fft.rfft2((a - b).float(), norm="ortho"))
    return spectrum.abs().mean()
