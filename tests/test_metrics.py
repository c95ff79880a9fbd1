"""PSNR and SSIM against the formula, scikit-image and published measurements."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from skimage.metrics import peak_signal_noise_ratio

from edgedeblur.data.images import read_image
from edgedeblur.errors import UserError
from edgedeblur.metrics import psnr, ssim, tensor_psnr

PAIRS = Path(__file__).parents[2] / "shared" / "material" / "pairs"


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


def test_ssim_refuses_images_smaller_than_its_window():
    tiny = np.zeros((10, 30, 3), np.uint8)
    with pytest.raises(UserError, match="11x11"):
        ssim(tiny, tiny)


@pytest.mark.skipif(not PAIRS.is_dir(), reason="needs the reference pairs in ../shared")
@pytest.mark.parametrize("name", ["z213_istanbul-square.png", "z254_face.png", "z265_road.png"])
def test_blurred_pairs_measure_as_in_the_reference_table(name):
    rows = csv.DictReader((PAIRS / "REFERENCE.csv").open())
    reference = next(row for row in rows if row["group"] == "gopro256" and row["name"] == name)
    blur, sharp = (read_image(PAIRS / "gopro256" / side / name) for side in ("blur", "sharp"))
    assert psnr(blur, sharp) == pytest.approx(float(reference["psnr_blur"]), abs=0.01)
