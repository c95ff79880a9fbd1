"""PSNR and SSIM against the formula and scikit-image."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from edgedeblur.errors import UserError
from edgedeblur.metrics import SSIM_KINDS, psnr, ssim, tensor_psnr


def noisy_pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    noise = rng.integers(-20, 21, image.shape)
    return image, np.clip(image + noise, 0, 255).astype(np.uint8)


def test_psnr_agrees_with_scikit_image():
    a, b = noisy_pair()
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-9)


def test_psnr_of_a_difference_of_one_everywhere_is_the_formula():
    a = np.full((8, 8, 3), 100, np.uint8)
    assert psnr(a, a + 1) == pytest.approx(20 * math.log10(255))
    assert psnr(a, a) == math.inf


def test_psnr_does_not_wrap_around_in_uint8():
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert psnr(black, white) == pytest.approx(0)


def test_tensor_psnr_is_the_psnr_of_the_written_images():
    a, b = noisy_pair(1)
    as_tensor = [torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255 for image in (a, b)]
    assert tensor_psnr(*as_tensor) == pytest.approx(psnr(a, b), abs=1e-6)


def test_images_of_different_sizes_are_refused():
    with pytest.raises(UserError, match="4x6 and 5x6"):
        psnr(np.zeros((6, 4, 3), np.uint8), np.zeros((6, 5, 3), np.uint8))


def test_ssim_is_the_formula_of_wang_et_al_with_an_11x11_gaussian():
    a, b = noisy_pair(2)
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2

    def blurred(values):
        return convolve2d(values, window, mode="valid")  # whole windows only, as the border is left out of the mean

    means = []
    for x, y in ((a[..., c].astype(float), b[..., c].astype(float)) for c in range(3)):
        mx, my = blurred(x), blurred(y)
        vx, vy, cov = blurred(x * x) - mx**2, blurred(y * y) - my**2, blurred(x * y) - mx * my
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        index = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
        means.append(index.mean())
    assert ssim(a, b) == pytest.approx(np.mean(means), abs=1e-6)


@pytest.mark.parametrize("size", [(11, 11), (40, 57)])
def test_gaussian_ssim_is_scikit_images(size):
    a, b = (image[: size[0], : size[1]] for image in noisy_pair())
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    assert ssim(a, b) == pytest.approx(structural_similarity(a, b, channel_axis=2, **options), abs=1e-12)


def test_ssim_refuses_images_smaller_than_its_window():
    tiny = np.zeros((10, 30, 3), np.uint8)
    with pytest.raises(UserError, match="11x11"):
        ssim(tiny, tiny)


def test_uniform_ssim_is_scikit_images_default():
    a, b = noisy_pair(3)
    assert ssim(a, b, "uniform7") == structural_similarity(a, b, channel_axis=2, data_range=255)


def test_complex_wavelet_ssim_is_its_formula_on_the_grey_line_of_pixels():
    """Written out with direct sums: Ricker wavelets of widths 1 to 30, ten widths long, on rows joined to one line."""
    a, b = (image[:9, :40] for image in noisy_pair(4))
    grey = [(image.astype(int) @ [19595, 38470, 7471] + 0x8000) >> 16 for image in (a, b)]  # ITU-R 601 times 2^16
    responses = []
    for line in (image.ravel() for image in grey):
        rows = []
        for width in range(1, 31):
            t = np.arange(min(10 * width, len(line))) - (min(10 * width, len(line)) - 1) / 2
            wavelet = (1 - (t / width) ** 2) * np.exp(-((t / width) ** 2) / 2) * 2 / (3 * width) ** 0.5 / np.pi**0.25
            rows.append(np.convolve(line, wavelet, mode="same"))
        responses.append(np.array(rows))
    x, y = responses
    first = (2 * (abs(x) * abs(y)).sum(0) + 0.01) / ((x**2).sum(0) + (y**2).sum(0) + 0.01)
    second = (2 * abs((x * y).sum(0)) + 0.01) / (2 * abs(x * y).sum(0) + 0.01)
    assert ssim(a, b, "complex-wavelet") == pytest.approx((first * second).mean(), abs=1e-9)


@pytest.mark.parametrize("kind", SSIM_KINDS)
def test_every_ssim_is_1_for_equal_images_and_less_for_others(kind):
    a, b = noisy_pair(5)
    assert ssim(a, a, kind) == pytest.approx(1, abs=1e-9)
    assert 0 < ssim(a, b, kind) < 0.99


def test_an_unknown_ssim_is_refused():
    with pytest.raises(UserError, match="no SSIM 'msssim'; there are gaussian"):
        ssim(*noisy_pair(), "msssim")
