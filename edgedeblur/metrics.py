"""PSNR and SSIM by one protocol: RGB, full frame, uint8 values, no border cropped."""

import math

import numpy as np
from torch import Tensor

from edgedeblur.errors import UserError

SSIM_SIGMA = 1.5


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 HxWx3 images, peak 255; infinite for equal images.

    Raises:
        UserError: the images differ in size.
    """
    _require_same_shape(a, b)
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255.0**2 / error)


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two uint8 HxWx3 images (Wang et al., IEEE TIP 2004): Gaussian 11x11 of sigma 1.5, mean
    over the channels and the whole frame.

    Raises:
        UserError: the images differ in size or are smaller than the 11x11 window.
    """
    from skimage.metrics import structural_similarity  # imports SciPy's parts: slow, and only needed here

    _require_same_shape(a, b)
    if min(a.shape[:2]) < 11:
        raise UserError(f"SSIM needs images of at least 11x11 pixels, not {a.shape[1]}x{a.shape[0]}")
    return float(
        structural_similarity(
            a, b, channel_axis=2, data_range=255, gaussian_weights=True, sigma=SSIM_SIGMA, use_sample_covariance=False
        )
    )


def tensor_psnr(a: Tensor, b: Tensor) -> float:
    """PSNR in dB of float tensors in [0, 1], after rounding both to uint8 steps as a written image would be."""
    steps = (a.detach().clamp(0, 1) * 255).round() - (b.detach().clamp(0, 1) * 255).round()
    error = steps.double().square().mean().item()
    return math.inf if error == 0 else 10 * math.log10(255.0**2 / error)


def _require_same_shape(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise UserError(f"images of {a.shape[1]}x{a.shape[0]} and {b.shape[1]}x{b.shape[0]} cannot be compared")
