"""A region for each picture: blocks that are blurred and have detail, and faces where OpenCV can find them.

A network gains where there is something to sharpen: in even blocks (sky, walls) its result is the input, and sharp ones
need nothing. Text and number plates are detail, so they need no detector of their own; skin is not. What is kept of the
gain for how many pixels is measured by benchmarks/region.py.
"""

import functools
from pathlib import Path

import cv2
import numpy as np

from edgedeblur.restore.gate.measures import blur_parts, grey
from edgedeblur.restore.regions.region import Region

_BLOCK = 32
_DETAIL = 2.0  # mean difference of neighbours in grey levels, in the direction with more of it
_BLUR = 0.4  # score above which a block counts as blurred; more than the gate's for frames, as blocks vary more
_FACES = "haarcascade_frontalface_default.xml"  # in OpenCV 4's packages; OpenCV 5 has no such detector
_LEAST_FACE = 24


def automatic(picture: np.ndarray) -> np.ndarray:
    """The mask of a picture.

    Args:
        picture: uint8 [H, W, 3] RGB.

    Returns:
        uint8 [H, W], fading over a block of 32 pixels.
    """
    height, width = picture.shape[:2]
    luminance = grey(picture)
    wanted = paying_blocks(luminance)
    for x, y, columns, rows in find_faces(luminance):
        wanted[y // _BLOCK : -(-(y + rows) // _BLOCK), x // _BLOCK : -(-(x + columns) // _BLOCK)] = True
    rows, columns = wanted.shape
    large = cv2.resize(wanted.astype(np.uint8) * 255, (columns * _BLOCK, rows * _BLOCK), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(large[:height, :width])


def paying_blocks(luminance: np.ndarray) -> np.ndarray:
    """Which blocks of 32x32 pixels are worth restoring; bool [ceil(H / 32), ceil(W / 32)] for uint8 [H, W]."""
    height, width = luminance.shape
    below, right = -height % _BLOCK, -width % _BLOCK
    padded = cv2.copyMakeBorder(luminance, 0, below + 1, 0, right + 1, cv2.BORDER_REPLICATE)
    detail = np.zeros(((height + below) // _BLOCK, (width + right) // _BLOCK), np.float32)
    blur = np.zeros_like(detail)
    for axis in (0, 1):
        found, taken = (_block_means(part, detail.shape) for part in blur_parts(padded, axis))
        detail = np.maximum(detail, found / 9)
        blur = np.maximum(blur, (found - taken) / np.maximum(found, 1e-6))
    return (detail >= _DETAIL) & (blur >= _BLUR)


def find_faces(luminance: np.ndarray) -> list[tuple[int, int, int, int]]:
    """x, y, width and height of each; none where this OpenCV has no detector for them."""
    detector = _face_detector()
    if detector is None or min(luminance.shape) < _LEAST_FACE:
        return []
    found = detector.detectMultiScale(luminance, 1.1, 4, minSize=(_LEAST_FACE, _LEAST_FACE))
    return [tuple(int(value) for value in box) for box in found]


def finds_faces() -> bool:
    """Whether this OpenCV ships a detector of faces."""
    return _face_detector() is not None


@functools.cache
def _face_detector() -> "cv2.CascadeClassifier | None":
    path = Path(cv2.data.haarcascades) / _FACES
    if not hasattr(cv2, "CascadeClassifier") or not path.is_file():
        return None
    detector = cv2.CascadeClassifier(str(path))
    return None if detector.empty() else detector


def _block_means(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """float32 of that many whole blocks."""
    rows, columns = shape
    whole = np.ascontiguousarray(values[: rows * _BLOCK, : columns * _BLOCK]).astype(np.float32)
    return cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)


AUTOMATIC = Region("auto", automatic)
