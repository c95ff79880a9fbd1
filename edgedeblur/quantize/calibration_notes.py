"""What may be wrong with calibration pictures, measured: sharp, few, nearly the same, or of few brightnesses.

Blur by the scale of Crete et al. ("The blur effect", SPIE 6492, 2007; scikit-image's `blur_effect`): how much of the
differences between neighbouring pixels is left when the picture is blurred once more, from 0 (sharp) to 1. Medians:
blurred GoPro frames 0.63, their sharp frames 0.37 to 0.41, photographs 0.35, the default calibration set 0.56.

Likeness by the correlation of the pictures' middles, as grey thumbnails of 16x16: two photographs have 0.0 to 0.3, two
frames of a video that moves little above 0.9.
"""

from collections.abc import Sequence

import cv2
import numpy as np

MAX_SIDE = 512  # of the middle that is looked at, as for calibration
SHARP_BELOW = 0.45  # median blur effect
FEW_BELOW = 8  # pictures that differ
SAME_ABOVE = 0.9  # correlation of two thumbnails
NARROW_BELOW = 128  # grey levels between the darkest and the brightest percent of all pixels
_THUMBNAIL = 16
_MIN_SIDE = 16
_HOW = "docs/quantization.md says how this is measured"


def calibration_notes(images: Sequence[np.ndarray]) -> list[str]:
    """A sentence for each thing that is wrong, with the number that says so; uint8 [H, W, 3] RGB images."""
    greys = [_grey_middle(image) for image in images]
    different, blur = count_different(greys), float(np.median([_blur_effect(grey) for grey in greys]))
    notes = []
    if blur < SHARP_BELOW:
        notes.append(
            f"the calibration pictures look sharp: median blur effect {blur:.2f} (0 sharp to 1; below {SHARP_BELOW:g} "
            f"counts as sharp); calibrate with pictures that are blurred as those to restore; {_HOW}"
        )
    if different < FEW_BELOW:
        notes.append(f"only {different} different calibration pictures of {len(images)}; give {FEW_BELOW} or more")
    elif 2 * different < len(images):
        notes.append(
            f"the calibration pictures are nearly the same: {different} of {len(images)} differ (correlation of "
            f"thumbnails below {SAME_ABOVE:g}); give pictures of more scenes; {_HOW}"
        )
    span = grey_span(greys)
    if span < NARROW_BELOW:
        notes.append(
            f"the calibration pictures have a narrow histogram: all but the darkest and the brightest percent of their "
            f"pixels lie within {span} grey levels of 256 (below {NARROW_BELOW} counts as narrow); add darker or "
            f"brighter pictures; {_HOW}"
        )
    return notes


def grey_span(greys: Sequence[np.ndarray]) -> int:
    """Grey levels from the 1st to the 99th percentile, each picture counting the same whatever its size."""
    shares = np.zeros(256)
    for grey in greys:
        levels = np.clip(np.rint(grey), 0, 255).astype(np.int64).ravel()
        shares += np.bincount(levels, minlength=256) / levels.size
    cumulative = np.cumsum(shares) / len(greys)
    low, high = np.searchsorted(cumulative, [0.01, 0.99])
    return int(high - low)


def count_different(greys: Sequence[np.ndarray]) -> int:
    """How many pictures, taken in order, are like none of those counted before."""
    kept: list[np.ndarray] = []
    for thumbnail in map(_thumbnail, greys):
        if all(float(thumbnail @ other) <= SAME_ABOVE for other in kept):
            kept.append(thumbnail)
    return len(kept)


def _grey_middle(image: np.ndarray) -> np.ndarray:
    """Float32 [h, w] with sides of at most MAX_SIDE."""
    height, width = (min(side, MAX_SIDE) for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return cv2.cvtColor(image[top : top + height, left : left + width], cv2.COLOR_RGB2GRAY).astype(np.float32)


def _blur_effect(grey: np.ndarray) -> float:
    """1.0 too for what has no differences along a side, or is too small for the filter of 11 pixels."""
    from skimage.measure import blur_effect  # imports SciPy's parts: slow, and only needed here

    if min(grey.shape) < _MIN_SIDE:
        return 1.0
    with np.errstate(all="ignore"):
        blur = float(blur_effect(grey))
    return blur if np.isfinite(blur) else 1.0


def _thumbnail(grey: np.ndarray) -> np.ndarray:
    """Float32 of zero mean and length one; all zero for a picture of one colour."""
    side = min(grey.shape)
    top, left = (grey.shape[0] - side) // 2, (grey.shape[1] - side) // 2
    square = grey[top : top + side, left : left + side]
    small = cv2.resize(square, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).ravel()
    small = small - small.mean()
    length = float(np.linalg.norm(small))
    return small / length if length else small
