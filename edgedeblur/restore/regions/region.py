"""Regions of interest: from a picture to a mask, uint8 [H, W]. 255 is restored, 0 stays, between is blended."""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedeblur.data.images import read_image
from edgedeblur.errors import UserError
from edgedeblur.restore.frames import spread_mask
from edgedeblur.restore.photograph import luminance

_FADE = 8  # pixels inside a rectangle over which it fades in
_SHAPE_TOLERANCE = 0.02  # of a mask's proportions


@dataclass(frozen=True)
class Region:
    """name: tells it from every other region. mask_of: of uint8 [H, W, 3] RGB, upright, the mask, uint8 [H, W]; raises
    UserError where the region does not fit the picture."""

    name: str
    mask_of: Callable[[np.ndarray], np.ndarray]


def rectangle(x: int, y: int, width: int, height: int) -> Region:
    """A rectangle in pixels of the upright picture; what of it lies outside is ignored. It fades in over 8 pixels, but
    not at the picture's own edges."""

    def region(picture: np.ndarray) -> np.ndarray:
        rows, columns = picture.shape[:2]
        if x >= columns or y >= rows or x + width <= 0 or y + height <= 0:
            raise UserError(
                f"the region {x},{y},{width},{height} lies outside of the picture, which has {columns}x{rows} pixels",
                "--roi takes x,y,width,height in pixels from the upper left corner",
                exit_code=2,
            )
        sides = (_fade(y, y + height, rows), _fade(x, x + width, columns))
        return np.rint(255 * np.minimum(sides[0][:, None], sides[1])).astype(np.uint8)

    return Region(f"{x},{y},{width},{height}", region)


def mask_file(path: Path) -> Region:
    """A grey picture of any size, laid over the whole picture as `ed_run_frame` lays it: white is restored.

    Raises:
        UserError: it cannot be read. The region itself: its proportions are not the picture's.
    """
    mask = luminance(read_image(path).astype(np.int32)).astype(np.uint8)

    @functools.lru_cache(maxsize=1)  # the frames of a video have one size
    def spread(rows: int, columns: int) -> np.ndarray:
        return spread_mask(mask, rows, columns)

    def region(picture: np.ndarray) -> np.ndarray:
        (rows, columns), (height, width) = picture.shape[:2], mask.shape
        if abs(height * columns / (width * rows) - 1) > _SHAPE_TOLERANCE:
            raise UserError(
                f"the mask {path} of {width}x{height} pixels does not have the proportions of the picture, "
                f"{columns}x{rows}",
                "a mask lies over the whole upright picture; it may be smaller or larger",
                exit_code=2,
            )
        return spread(rows, columns)

    return Region(f"mask {mask.shape} {hashlib.sha256(mask.tobytes()).hexdigest()}", region)


def _fade(start: int, end: int, length: int) -> np.ndarray:
    """Of one axis, float64 [length], 0 to 1."""
    position = np.arange(length) + 0.5
    rising = (position - start) / _FADE if start > 0 else np.ones(length)
    falling = (end - position) / _FADE if end < length else np.ones(length)
    inside = (position > start) & (position < end)
    return np.where(inside, np.clip(np.minimum(rising, falling), 1 / 255, 1), 0)
