"""PSNR and SSIM after alignment, as RealBlur's protocol has them (Rim et al., "Real-World Blur Dataset for Learning and
Benchmarking Deblurring Algorithms", ECCV 2020).

A blurred exposure covers an interval, and its sharp picture is one instant of it; which one, nothing in the blurred
picture says. A network that restores another instant is right about the picture and wrong about its place. So the
image is first brought to the sharp picture's brightness (least squares), a homography between the two grey images is
found by maximising their correlation (ECC, Evangelidis and Psarakis, IEEE TPAMI 2008: at most 100 iterations, smoothed
by a Gaussian of 5x5), the image is resampled through it (bicubic), and the two are compared where it covers the frame.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from edgedeblur.metrics import gaussian_ssim_map

ITERATIONS = 100
GAUSSIAN = 5  # pixels, the side of OpenCV's smoothing before ECC
_PART = 10  # iterations between looks at how far the estimate still moves
STILL_PX = 1e-3  # it has converged when a part moves no point of the frame by more
MOVING_PX = 0.05  # it has not when the last part moved some point by more
MIN_COVERED = 0.5  # of the frame; a homography that leaves less of it has not found the picture
_SSIM_BORDER = 5  # half of SSIM's window of 11x11


@dataclass(frozen=True)
class Aligned:
    """An image against its sharp one after alignment; all numbers are None where it failed, and `failed` says why.

    displacement_px: by how much a point of the scene lies beside its place in the sharp image, mean over the frame.
    centre_x_px, centre_y_px: the same at the frame's centre, to the right and down.
    """

    psnr_db: float | None = None
    ssim: float | None = None
    displacement_px: float | None = None
    centre_x_px: float | None = None
    centre_y_px: float | None = None
    failed: str | None = None


class NotAligned(Exception):
    """No homography between two images was found; the message says why."""


def aligned_score(image: np.ndarray, sharp: np.ndarray) -> Aligned:
    """PSNR and SSIM of an image against its sharp one after alignment; both uint8 [H, W, 3] RGB of one size."""
    image, sharp = (np.asarray(one, np.float32) / 255 for one in (image, sharp))
    energy = float(np.sum(np.square(image, dtype=np.float64)))
    if energy == 0:
        return Aligned(failed="the image is black")
    image = image * np.float32(np.sum(image * sharp, dtype=np.float64) / energy)
    try:
        homography = find_homography(image, sharp)
    except NotAligned as error:
        return Aligned(failed=str(error))
    moved, covered = _warp(image, homography)
    if covered.mean() < MIN_COVERED:
        return Aligned(failed=f"the homography leaves {100 * covered.mean():.0f} % of the frame")
    points, middle = _grid(sharp.shape), _centre(sharp.shape)
    displaced, centre = (_through(homography, some) - some for some in (points, middle))
    return Aligned(
        _psnr(moved, sharp, covered),
        _ssim(moved, sharp, covered),
        float(np.linalg.norm(displaced, axis=1).mean()),
        float(centre[0, 0]),
        float(centre[0, 1]),
    )


def find_homography(image: np.ndarray, sharp: np.ndarray) -> np.ndarray:
    """The 3x3 float32 matrix that takes a point of `sharp` to its place in `image`, float32 [H, W, 3] RGB both.

    ECC goes from step to step without memory, so ten times ten iterations are a hundred; what does not move any more is
    not iterated to the end, which takes a fifth of the time.

    Raises:
        NotAligned: OpenCV gives up, or the estimate still moves after 100 iterations.
    """
    greys = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (sharp, image)]
    if any(grey.std() == 0 for grey in greys):
        raise NotAligned("an image of one colour has nothing to align")
    found, moved = np.eye(3, dtype=np.float32), math.inf
    end = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _PART, 0)
    points = _grid(sharp.shape)
    for _ in range(ITERATIONS // _PART):
        before = _through(found, points)
        try:
            _, found = cv2.findTransformECC(*greys, found.copy(), cv2.MOTION_HOMOGRAPHY, end, None, GAUSSIAN)
        except cv2.error as error:
            raise NotAligned(f"ECC: {' '.join(str(error.err or error).split())}") from error
        with np.errstate(all="ignore"):
            moved = float(np.abs(_through(found, points) - before).max())
        if not math.isfinite(moved):
            raise NotAligned("ECC: the homography is not finite")
        if moved <= STILL_PX:
            break
    if moved > MOVING_PX:
        raise NotAligned(f"ECC did not converge: it still moved by {moved:.2f} px after {ITERATIONS} iterations")
    return found


def _warp(image: np.ndarray, homography: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The image at the sharp one's places, and bool [H, W]: where there was something to take."""
    size = image.shape[1::-1]
    backwards = cv2.WARP_INVERSE_MAP
    moved = cv2.warpPerspective(
        image, homography, size, flags=cv2.INTER_CUBIC + backwards, borderMode=cv2.BORDER_REFLECT
    )
    ones = np.ones(image.shape[:2], np.float32)
    covered = cv2.warpPerspective(ones, homography, size, flags=cv2.INTER_NEAREST + backwards)
    return moved, covered > 0


def _psnr(image: np.ndarray, sharp: np.ndarray, covered: np.ndarray) -> float:
    error = float(np.square(image[covered] - sharp[covered], dtype=np.float64).mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def _ssim(image: np.ndarray, sharp: np.ndarray, covered: np.ndarray) -> float:
    """The mean of the SSIM map over what is covered, without a border of half a window."""
    mask = covered[..., None].astype(np.float32)
    values = gaussian_ssim_map(sharp * mask, image * mask, 1.0)
    inside = slice(_SSIM_BORDER, -_SSIM_BORDER), slice(_SSIM_BORDER, -_SSIM_BORDER)
    return float(values[covered[inside]].mean())


def _grid(shape: tuple[int, ...]) -> np.ndarray:
    """Points over the whole frame, its corners among them: float64 [N, 2], x and y."""
    height, width = shape[:2]
    x, y = np.meshgrid(np.linspace(0, width - 1, 33), np.linspace(0, height - 1, 33))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _centre(shape: tuple[int, ...]) -> np.ndarray:
    return np.array([[(shape[1] - 1) / 2, (shape[0] - 1) / 2]])


def _through(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [N, 2] through a homography."""
    lifted = np.column_stack([points, np.ones(len(points))]) @ homography.astype(np.float64).T
    return lifted[:, :2] / lifted[:, 2:]
