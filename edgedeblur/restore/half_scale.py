"""Restoration at half the scale: there blur is half as long, so a network reaches blur twice as long.

What the network changed in the reduced picture is enlarged and added to the picture, which keeps its own fine detail.
The two scales are blended; docs/deblur.md has what that gains.
"""

from collections.abc import Callable

import cv2
import numpy as np

Restore = Callable[[np.ndarray], np.ndarray]


def restore_at_half_scale(image: np.ndarray, restore: Restore) -> np.ndarray:
    """uint8 [H, W, 3] RGB to the same shape; `restore` gets [ceil(H / 2), ceil(W / 2), 3]."""
    height, width = image.shape[:2]
    reduced = _reduce(image)
    change = restore(reduced).astype(np.float32) - reduced
    enlarged = cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(np.rint(image + enlarged), 0, 255).astype(np.uint8)


def reduce_region(wanted: np.ndarray) -> np.ndarray:
    """The pixels at half the scale that those that are wanted, bool [H, W], are enlarged from."""
    reduced = _reduce(wanted.astype(np.uint8) * 255)
    return cv2.dilate(reduced, np.ones((3, 3), np.uint8)) > 0


def _reduce(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W] or [H, W, 3] to half of both sides, rounded up."""
    height, width = image.shape[:2]
    return cv2.resize(image, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA)


def blend_scales(full: np.ndarray, half: np.ndarray, share: float) -> np.ndarray:
    """uint8: `share` (0 to 1) of the half scale, the rest of the full one."""
    return np.rint(full * (1 - share) + half * share).astype(np.uint8)
