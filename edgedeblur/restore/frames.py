"""Camera frames of any size through any network, all of them or where a mask says: what `ed_run_frame` of an artefact
computes, in NumPy. It is the definition of every byte; runtime/session.py has the same in C."""

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.restore.tiling import OVERLAP, RunExact, restore_any_size
from edgedeblur.runtime.frame import Frame, empty_frame, to_rgb, write_rgb

_FULL = 255  # a mask's value for "restored", 0 is "as it came"
_PART = 256  # of a mask's pixel: where it is read between its pixels
_BAND = 64  # rows


def restore_frame(
    frame: Frame,
    run: RunExact,
    multiple: int = 1,
    fixed_size: tuple[int, int] | None = None,
    *,
    rotation: int = 0,
    overlap: int = OVERLAP,
    mask: np.ndarray | None = None,
    out: Frame | None = None,
) -> Frame:
    """Restore a frame, turned upright first.

    Args:
        frame: of any format, height and width.
        run, multiple, fixed_size, overlap: as in `restore_any_size`.
        rotation: degrees clockwise that turn the frame upright: 0, 90, 180, 270.
        mask: uint8 [h, w] of any size, laid over the whole upright picture and interpolated: 255 is restored, 0 stays
            as it came (in every byte where the format and its colours stay too), values between blend the two.
        out: where to write it, of any format; None for a new frame of the input's.

    Returns:
        `out`, upright.

    Raises:
        UserError: another rotation, a mask of another type, an `out` of another size.
    """
    rgb = to_rgb(frame, rotation)
    restored = restore_any_size(rgb, run, multiple, fixed_size, overlap)
    outside = np.zeros(rgb.shape[:2], bool)
    if mask is not None:
        strength = spread_mask(mask, *rgb.shape[:2])
        outside = strength == 0
        share = strength.astype(np.int32)[:, :, None]
        restored = ((restored * share + rgb * (_FULL - share) + _FULL // 2) // _FULL).astype(np.uint8)
    out = out or empty_frame(frame, rotation)
    if out.size != rgb.shape[:2]:
        raise UserError(f"a result of {list(out.size)} for a frame that is {list(rgb.shape[:2])} upright")
    write_rgb(restored, out, frame, rotation, outside)
    return out


def spread_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask over a picture of that size, uint8 [height, width]: linear between the centres of its pixels, in steps of
    1/256 of them, and constant beyond the outer ones.

    Raises:
        UserError: not uint8 [h, w] with at least one pixel.
    """
    if mask.dtype != np.uint8 or mask.ndim != 2 or mask.size == 0:
        raise UserError(f"a mask is uint8 [h, w], not {mask.dtype} {list(mask.shape)}")
    values = mask.astype(np.int32)
    (top, below, down), (left, right, along) = (
        _places(*sides) for sides in zip(mask.shape, (height, width), strict=True)
    )
    spread = np.empty((height, width), np.uint8)
    for start in range(0, height, _BAND):  # so that memory is that of the result
        rows = slice(start, start + _BAND)
        upper, lower = (
            values[np.ix_(each[rows], left)] * (_PART - along) + values[np.ix_(each[rows], right)] * along
            for each in (top, below)
        )
        share = down[rows, None]
        spread[rows] = (upper * (_PART - share) + lower * share + _PART**2 // 2) // _PART**2
    return spread


def _places(of_mask: int, of_picture: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every pixel of an axis: the mask's pixels before and after it, and how far it is from the one to the other."""
    centres = 2 * np.arange(of_picture, dtype=np.int64) + 1
    place = centres * of_mask * _PART // (2 * of_picture) - _PART // 2
    place = np.clip(place, 0, (of_mask - 1) * _PART)
    before = place // _PART
    return before, np.minimum(before + 1, of_mask - 1), place % _PART
