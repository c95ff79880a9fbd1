"""Alignment against displacements that are known, phase correlation, and the published procedure written out."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import structural_similarity
from skimage.registration import phase_cross_correlation
from skimage.transform import ProjectiveTransform, warp

from edgedeblur.data.default_set import default_photos
from edgedeblur.data.pairs import PairInMemory
from edgedeblur.metrics import psnr
from edgedeblur.restore.evaluation.align import aligned_score
from edgedeblur.restore.evaluation.evaluate import (
    evaluate,
    evaluation_json,
    failed_alignments,
    group_means,
)
from edgedeblur.restore.evaluation.protocol import ALIGNED
from edgedeblur.restore.evaluation.tables import evaluation_table
from edgedeblur.restore.open import Restorer

SIDE, MARGIN = 160, 8


@pytest.fixture(scope="module")
def photograph():
    """A real one, with a margin around what is looked at."""
    whole = default_photos()[0]
    top, left = (whole.shape[0] - SIDE) // 2, (whole.shape[1] - SIDE) // 2
    return whole[top - MARGIN : top + SIDE + MARGIN, left - MARGIN : left + SIDE + MARGIN]


def middle(image):
    return np.ascontiguousarray(image[MARGIN:-MARGIN, MARGIN:-MARGIN])


def displaced(photograph, right, down):
    """What lies at x in the photograph lies at x + right here; by SciPy's splines."""
    moved = ndimage.shift(photograph.astype(float), (down, right, 0), order=3, mode="nearest")
    return middle(np.clip(np.rint(moved), 0, 255).astype(np.uint8))


@pytest.mark.parametrize(("right", "down"), [(1.7, -0.6), (-0.35, 0.8), (0.0, 0.0), (4.0, 2.5)])
def test_a_displacement_comes_back_and_phase_correlation_agrees(photograph, right, down):
    sharp, image = middle(photograph), displaced(photograph, right, down)
    found = aligned_score(image, sharp)
    assert (found.centre_x_px, found.centre_y_px) == pytest.approx((right, down), abs=0.05)
    assert found.displacement_px == pytest.approx(np.hypot(right, down), abs=0.05)
    window = np.outer(np.hanning(SIDE), np.hanning(SIDE))
    greys = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) * window for one in (sharp, image))
    shift, _, _ = phase_cross_correlation(*greys, upsample_factor=50)  # (rows, columns) that bring the image back
    assert (found.centre_x_px, found.centre_y_px) == pytest.approx((-shift[1], -shift[0]), abs=0.15)


def test_the_psnr_after_whole_pixels_is_that_of_the_overlap(photograph):
    noise = np.random.default_rng(0).normal(0, 6, photograph.shape)
    noisy = np.clip(np.rint(photograph + noise), 0, 255).astype(np.uint8)
    sharp, image = middle(photograph), middle(np.roll(noisy, (-1, 3), axis=(0, 1)))
    x, z = sharp.astype(float), image.astype(float)
    brightness = (x * z).sum() / (z * z).sum()  # by the protocol, and before alignment
    overlap = 10 * np.log10(255**2 / np.mean((brightness * z[:-1, 3:] - x[1:, :-3]) ** 2))
    found = aligned_score(image, sharp)
    assert found.psnr_db == pytest.approx(overlap, abs=0.05)
    assert overlap - psnr(image, sharp) > 5
    assert (found.centre_x_px, found.centre_y_px) == pytest.approx((3, -1), abs=0.02)


def test_a_homography_comes_back(photograph):
    """Some turning, a little zoom and perspective, made by scikit-image."""
    angle, whole = np.deg2rad(0.8), SIDE + 2 * MARGIN
    centre = np.array([[1, 0, (whole - 1) / 2], [0, 1, (whole - 1) / 2], [0, 0, 1.0]])
    turn = [[1.006 * np.cos(angle), -np.sin(angle), 0.9], [np.sin(angle), np.cos(angle), -1.2], [2e-5, -1e-5, 1]]
    matrix = centre @ np.array(turn) @ np.linalg.inv(centre)
    moved = warp(photograph, ProjectiveTransform(matrix).inverse, order=3, mode="edge", preserve_range=True)
    image, sharp = middle(np.clip(np.rint(moved), 0, 255).astype(np.uint8)), middle(photograph)
    y, x = np.mgrid[MARGIN : MARGIN + SIDE, MARGIN : MARGIN + SIDE].reshape(2, -1).astype(float)
    places = np.stack([x, y, np.ones_like(x)]).T @ matrix.T
    lengths = np.hypot(places[:, 0] / places[:, 2] - x, places[:, 1] / places[:, 2] - y)
    found = aligned_score(image, sharp)
    assert found.displacement_px == pytest.approx(lengths.mean(), abs=0.05)
    assert (found.centre_x_px, found.centre_y_px) == pytest.approx((0.9, -1.2), abs=0.05)
    assert found.psnr_db > psnr(image, sharp) + 10


def test_it_is_the_published_procedure_with_its_hundred_iterations(photograph):
    """Rim et al.'s steps in order: brightness, ECC on grey images, bicubic warp, mask, PSNR and SSIM over the mask."""
    blurred = ndimage.uniform_filter1d(photograph.astype(float), 7, axis=1)
    image = displaced(np.clip(blurred * 0.93, 0, 255), 1.3, 0.4)
    x, z = middle(photograph).astype(np.float32) / 255, image.astype(np.float32) / 255
    zs = ((x * z).sum() / (z * z).sum() * z).astype(np.float32)
    greys = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (x, zs)]
    end = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 0)
    _, matrix = cv2.findTransformECC(*greys, np.eye(3, dtype=np.float32), cv2.MOTION_HOMOGRAPHY, end, None, 5)
    inverse = cv2.WARP_INVERSE_MAP
    zr = cv2.warpPerspective(zs, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC + inverse, borderMode=cv2.BORDER_REFLECT)
    mask = cv2.warpPerspective(np.ones_like(zs), matrix, (SIDE, SIDE), flags=cv2.INTER_NEAREST + inverse)
    wanted = 10 * np.log10(mask.sum() / ((x * mask - zr * mask).astype(np.float64) ** 2).sum())
    options = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": 1.0, "channel_axis": 2}
    _, values = structural_similarity(x * mask, zr * mask, full=True, **options)
    inside = slice(5, -5), slice(5, -5)
    found = aligned_score(image, middle(photograph))
    assert found.psnr_db == pytest.approx(wanted, abs=0.01)
    assert found.ssim == pytest.approx((values * mask)[inside].sum() / mask[inside].sum(), abs=1e-3)


@pytest.mark.parametrize("what", ["one colour", "black", "noise"])
def test_what_cannot_be_aligned_says_so_and_has_no_number(photograph, what):
    noise = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    image = {"one colour": np.full((SIDE, SIDE, 3), 90, np.uint8), "black": noise * 0, "noise": noise}[what]
    found = aligned_score(image, middle(photograph))
    assert found.failed and (found.psnr_db, found.ssim, found.displacement_px) == (None, None, None)


def test_an_evaluation_has_both_and_leaves_pairs_out_of_every_mean_where_one_image_failed(photograph):
    def model(name, run):
        return Restorer(name, "student", Path(name), "", 1, None, 1, None, run)

    first, second = displaced(photograph, 1.5, 0.0), displaced(photograph, 0.0, 2.0)
    pairs = [PairInMemory("g", name, image, middle(photograph)) for name, image in (("1", first), ("2", second))]
    models = [model("fine", lambda x: x), model("flat", lambda x: x if np.array_equal(x, first) else x * 0 + 9)]
    evaluation = evaluate(pairs, models, lambda *call: None, ALIGNED)
    (means,) = group_means(evaluation)
    assert (means.pairs, means.aligned_pairs) == (2, 1)
    assert means.blurred.aligned.displacement_px == pytest.approx(1.5, abs=0.05)  # of the first pair alone
    assert means.blurred.psnr_db == pytest.approx(np.mean([psnr(pair.blur, pair.sharp) for pair in pairs]))
    assert failed_alignments(evaluation) == ["not aligned: g/2, flat: an image of one colour has nothing to align"]
    document = json.loads(json.dumps(evaluation_json(evaluation), allow_nan=False))
    assert list(document["means"][0]["blurred"])[:2] == ["psnr_db", "ssim"]
    assert document["pairs"][1]["models"][1]["aligned"]["psnr_db"] is None
    columns = [str(column.header) for column in evaluation_table(evaluation).columns]
    assert columns.index("PSNR dB") < columns.index("aligned\ndB") < columns.index("shift\npx")
