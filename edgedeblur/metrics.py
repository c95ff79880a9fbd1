"""PSNR and SSIM of RGB images: full frame, uint8 values, no border cropped."""

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edgedeblur.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

SSIM_SIGMA = 1.5
_GAUSSIAN_WINDOW, _UNIFORM_WINDOW = 11, 7
SSIM_KINDS = {
    "gaussian": "Gaussian 11x11 of sigma 1.5, mean over channels and frame (Wang et al., IEEE TIP 2004)",
    "uniform7": "uniform 7x7 with the sample covariance, scikit-image's default",
    "complex-wavelet": "complex-wavelet SSIM of grey images by pyssim's rule, as DeblurGAN-v2's scripts print",
}


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 HxWx3 images, peak 255; infinite for equal images.

    Raises:
        UserError: the images differ in size.
    """
    _require_same_shape(a, b)
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255.0**2 / error)


def ssim(a: np.ndarray, b: np.ndarray, kind: str = "gaussian") -> float:
    """Structural similarity of two uint8 HxWx3 images, as one of SSIM_KINDS says; 1 for equal images.

    Raises:
        UserError: no such kind, or images that differ in size or are smaller than the window.
    """
    _require_same_shape(a, b)
    if kind not in SSIM_KINDS:
        raise UserError(f"no SSIM {kind!r}; there are {', '.join(SSIM_KINDS)}", exit_code=2)
    if kind == "complex-wavelet":
        return complex_wavelet_ssim(a, b)
    window = _GAUSSIAN_WINDOW if kind == "gaussian" else _UNIFORM_WINDOW
    if min(a.shape[:2]) < window:
        size = f"{a.shape[1]}x{a.shape[0]}"
        raise UserError(f"SSIM needs images of at least {window}x{window} pixels, not {size}")
    if kind == "gaussian":
        channels = range(a.shape[2])  # one by one, for a third of the memory
        return float(np.mean([gaussian_ssim_map(a[..., one], b[..., one], 255.0).mean() for one in channels]))
    from skimage.metrics import structural_similarity  # imports SciPy's parts: slow, and only needed here

    return float(structural_similarity(a, b, channel_axis=2, data_range=255))


def gaussian_ssim_map(a: np.ndarray, b: np.ndarray, peak: float) -> np.ndarray:
    """SSIM by Wang et al. (IEEE TIP 2004) at every pixel whose window lies in the image: float64 [H - 10, W - 10, C] of
    two [H, W, C], or without channels. The same values as scikit-image's, in a third of its time."""
    import cv2  # only needed here

    border = _GAUSSIAN_WINDOW // 2

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(x, (_GAUSSIAN_WINDOW, _GAUSSIAN_WINDOW), SSIM_SIGMA)[border:-border, border:-border]

    x, y = (np.array(one, np.float64, order="C") for one in (a, b))  # sums in one order, however they lie
    mean_x, mean_y = mean(x), mean(y)
    squares, product = mean_x**2 + mean_y**2, mean_x * mean_y
    variances, covariance = mean(x * x + y * y) - squares, mean(x * y) - product
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    return (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))


def complex_wavelet_ssim(a: np.ndarray, b: np.ndarray, widths: int = 30, k: float = 0.01) -> float:
    """What pyssim's `cw_ssim_value` computes, the number that DeblurGAN and DeblurGAN-v2 print as SSIM: Sampat et al.
    (IEEE TIP 2009) on the grey image (ITU-R 601, uint8) read as one line of pixels, row after row, with Ricker wavelets
    of widths 1 to 30. These are real, so the phase that the paper compares comes down to the sign."""
    lines = [np.asarray(Image.fromarray(image).convert("L"), np.float64).ravel() for image in (a, b)]
    products, magnitudes, energy = (np.zeros_like(lines[0]) for _ in range(3))
    for width in range(1, widths + 1):
        one, other = (_wavelet_response(line, width) for line in lines)
        product = one * other
        products += product
        magnitudes += np.abs(product)
        energy += one**2 + other**2
    similarity = (2 * magnitudes + k) / (energy + k) * (2 * np.abs(products) + k) / (2 * magnitudes + k)
    return float(similarity.mean())


def _wavelet_response(line: np.ndarray, width: int) -> np.ndarray:
    """Convolution with a Ricker wavelet over ten widths, zero beyond the ends, as `scipy.signal.cwt` had it."""
    from scipy.signal import oaconvolve

    points = min(10 * width, len(line))
    x = (np.arange(points) - (points - 1) / 2) / width
    wavelet = 2 / (math.sqrt(3 * width) * math.pi**0.25) * (1 - x**2) * np.exp(-(x**2) / 2)
    return oaconvolve(line, wavelet, mode="same")


def tensor_psnr(a: "Tensor", b: "Tensor") -> float:
    """PSNR in dB of float tensors in [0, 1], after rounding both to uint8 steps as a written image would be."""
    steps = (a.detach().clamp(0, 1) * 255).round() - (b.detach().clamp(0, 1) * 255).round()
    error = steps.double().square().mean().item()
    return math.inf if error == 0 else 10 * math.log10(255.0**2 / error)


def _require_same_shape(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise UserError(f"images of {a.shape[1]}x{a.shape[0]} and {b.shape[1]}x{b.shape[0]} cannot be compared")
