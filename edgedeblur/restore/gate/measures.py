"""What can be measured of one frame, and of one against the frame before it.

Blur is the no-reference measure of Crete et al., "The blur effect: perception and estimation with a new no-reference
perceptual blur metric" (SPIE 2007): blurring a frame once more takes little from it if it was blurred already. It is 0
for the sharpest and 1 for the most blurred frame, and depends less on the content than measures of contrast do.
"""

from dataclasses import dataclass

import cv2
import numpy as np

_TAPS = 9  # of the box filter, as in the paper
_THUMB = (32, 32)
_OVEREXPOSED = 250
_BLOCK = 8  # every codec's blocks are multiples of this
_SEGMENT = 16  # length of a block's side that is looked at
_STEP, _BLOCK_STEP = 10, 20  # grey levels by which a step exceeds its surroundings in a break
_NEAR = 16  # rows that a picture's own edge may move by from frame to frame
_BROKEN_SHARE = 0.6  # of a segment's pixels


@dataclass(frozen=True)
class Measures:
    """Of one frame; luminance is 0 to 255.

    blur: 0 sharp to 1 blurred. luminance: mean. bright: the 95th percentile. contrast: standard deviation of
    a 32x32 thumbnail. overexposed: share of pixels at 250 or more. tear: largest share of a row's columns that break
    from the row above. blocks: segments of 16 pixels that break on the grid of 8 pixels; natural_blocks: the same count
    on grids beside it, which a picture's own edges reach. change: mean absolute difference to the frame before, and
    likeness: correlation of the two thumbnails, -1 to 1; both None for a first frame, or one of another size.
    """

    blur: float
    luminance: float
    bright: float
    contrast: float
    overexposed: float
    tear: float
    blocks: int
    natural_blocks: float
    change: float | None
    likeness: float | None


def grey(rgb: np.ndarray) -> np.ndarray:
    """Luminance (ITU-R BT.601) of uint8 [H, W, 3] RGB, uint8 [H, W]."""
    return cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)


def measure(frame: np.ndarray, before: np.ndarray | None = None) -> Measures:
    """All measures of a frame.

    Args:
        frame: uint8 [H, W] luminance.
        before: the frame before it, of the same kind.
    """
    thumb = _thumb(frame)
    histogram = cv2.calcHist([frame], [0], None, [256], [0, 256]).ravel()
    shares = np.cumsum(histogram) / frame.size
    before = before if before is not None and before.shape == frame.shape else None
    blocks, natural = _block_breaks(frame)
    change, likeness = (None, None)
    if before is not None:
        change, likeness = float(cv2.absdiff(frame, before).mean()), _likeness(thumb, _thumb(before))
    return Measures(
        blur=blur_score(frame),
        luminance=float(frame.mean()),
        bright=float(np.searchsorted(shares, 0.95)),
        contrast=float(thumb.std()),
        overexposed=float(histogram[_OVEREXPOSED:].sum() / frame.size),
        tear=_tear(frame, before),
        blocks=blocks,
        natural_blocks=natural,
        change=change,
        likeness=likeness,
    )


def blur_score(frame: np.ndarray) -> float:
    """Blur of uint8 [H, W] luminance, the larger of the two directions'; 1.0 where nothing varies."""
    return max(_blur_along(frame, axis) for axis in (0, 1))


def blur_parts(frame: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Crete's two variations along an axis, times 9: the frame's, and what blurring takes of it; int16, one shorter.

    The score of a region is (sum of the first - sum of the second) / sum of the first.
    """
    taps = (1, _TAPS) if axis == 0 else (_TAPS, 1)
    sums = cv2.boxFilter(frame, cv2.CV_16S, taps, normalize=False, borderType=cv2.BORDER_REFLECT)
    after, here = _shifted(frame, axis)
    variation = cv2.multiply(cv2.absdiff(after, here), _TAPS, dtype=cv2.CV_16S)
    return variation, cv2.max(cv2.subtract(variation, cv2.absdiff(*_shifted(sums, axis))), 0)


def _shifted(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    return (values[1:], values[:-1]) if axis == 0 else (values[:, 1:], values[:, :-1])


def _blur_along(frame: np.ndarray, axis: int) -> float:
    if frame.shape[axis] < 2:
        return 1.0
    variation, taken = (cv2.sumElems(part)[0] for part in blur_parts(frame, axis))
    return (variation - taken) / variation if variation else 1.0


def _thumb(frame: np.ndarray) -> np.ndarray:
    return cv2.resize(frame, _THUMB, interpolation=cv2.INTER_AREA).astype(np.float32)


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation, which a change of exposure leaves alone; two even thumbnails are alike."""
    one, other = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / scale if scale else 1.0


def _breaks(frame: np.ndarray, step: int) -> np.ndarray:
    """Where a row breaks from the row above it: the step exceeds the steps beside it. uint8 0 or 255 [H - 3, W], for
    rows 2 to H - 2. An edge that a lens has drawn is spread over several rows and is none."""
    steps = cv2.absdiff(frame[1:], frame[:-1])
    beside = cv2.add(cv2.max(steps[:-2], steps[2:]), step)
    return cv2.compare(steps[1:-1], beside, cv2.CMP_GT)


def _tear(frame: np.ndarray, before: np.ndarray | None) -> float:
    """Rows next to a black bar count as whole."""
    if frame.shape[0] < 8:
        return 0.0
    broken = _broken_rows(frame)
    row = int(broken.argmax())
    others = np.delete(broken, slice(max(row - 1, 0), row + 2))
    same = 0.0 if before is None else _broken_rows(before)[max(row - _NEAR, 0) : row + _NEAR + 1].max()
    return float(broken[row]) - max(float(others.max()), float(same))


def _broken_rows(frame: np.ndarray) -> np.ndarray:
    """Share of each row that breaks from the row above, float32 [H - 3]."""
    broken = cv2.reduce(_breaks(frame, _STEP), 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel() / 255
    even = np.ptp(frame, axis=1) < _STEP
    broken[even[1:-2] | even[2:-1]] = 0  # the rows above and below the break
    return broken


def _block_breaks(frame: np.ndarray) -> tuple[int, float]:
    """Broken segments on the grid, and the mean number on five grids that lie between its lines."""
    counts = np.zeros(_BLOCK)
    for turned in (frame, cv2.transpose(frame)):
        if min(turned.shape) < 2 * _SEGMENT:
            continue
        broken = _breaks(turned, _BLOCK_STEP)
        segments = broken.shape[1] // _SEGMENT
        whole = np.ascontiguousarray(broken[:, : segments * _SEGMENT])
        shares = cv2.resize(whole, (segments, len(whole)), interpolation=cv2.INTER_AREA)
        rows = (np.arange(broken.shape[0]) + 2) % _BLOCK
        counts += np.bincount(rows, (shares >= 255 * _BROKEN_SHARE).sum(axis=1), _BLOCK)
    return int(counts[0]), float(counts[2:7].mean())
