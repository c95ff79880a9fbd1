"""Calibration pictures, and others that are kept apart from them to measure on what int8 costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgedeblur.data.default_set import DefaultSet, default_set
from edgedeblur.data.held_back import always_blurred
from edgedeblur.data.images import image_or_folder, read_image
from edgedeblur.data.pairs import Pair, find_pairs, has_pairs
from edgedeblur.data.sources import Photos

MOST_IMAGES = 64  # crops of the default photographs, and at most of a folder
MOST_HELD_BACK = 8
_CROP_SIZE = 256


@dataclass(frozen=True)
class HeldBack:
    """Pictures that calibration did not see: uint8 [H, W, 3] RGB. sharp: None where it is not known."""

    blurred: list[np.ndarray]
    sharp: list[np.ndarray] | None
    described: str


def calibration_images(folder: Path | None, seed: int) -> tuple[list[np.ndarray], str]:
    """Blurred images (uint8 [H, W, 3] RGB) and what they are; at most 64, spread evenly over a larger folder.

    Raises:
        UserError: no such folder, or nothing in it that is an image.
    """
    if folder is None:
        photos = default_set()
        source = Photos(photos.training, photos.blur)
        draws = (np.random.default_rng((seed, index)) for index in range(MOST_IMAGES))
        return [source.draw(rng, _CROP_SIZE)[0] for rng in draws], "default set"
    found = _found(folder)
    return [_blurred(one) for one in found[:: _stride(found)]], folder.name


def held_back_images(folder: Path | None, seed: int) -> HeldBack:
    """Up to eight pictures that `calibration_images` does not give: others of a folder of more than 64, with their
    sharp ones where it holds pairs; else crops of the default photographs that are held back, blurred.

    Raises:
        UserError: as `calibration_images`.
    """
    found = [] if folder is None else _found(folder)
    stride = _stride(found)
    rest = [one for index, one in enumerate(found) if index % stride]
    if not rest:
        return _default_held_back(default_set(), seed)
    rest = rest[:: -(-len(rest) // MOST_HELD_BACK)]
    if isinstance(rest[0], Pair):
        blurred, sharp = zip(*(pair.read() for pair in rest), strict=True)
        return HeldBack(list(blurred), list(sharp), f"pairs of {folder.name} that are not for calibration")
    return HeldBack([_blurred(one) for one in rest], None, f"pictures of {folder.name} that are not for calibration")


def _default_held_back(photos: DefaultSet, seed: int) -> HeldBack:
    source = always_blurred(Photos(photos.validation, replace(photos.blur, **vars(photos.held_back))))
    draws = (np.random.default_rng((seed, 0xE7, index)) for index in range(MOST_HELD_BACK))
    blurred, sharp = zip(*(source.draw(rng, _CROP_SIZE) for rng in draws), strict=True)
    return HeldBack(list(blurred), list(sharp), "crops of the default photographs that are held back")


def _found(folder: Path) -> Sequence[Pair | Path]:
    return find_pairs(folder) if folder.is_dir() and has_pairs(folder) else image_or_folder(folder)


def _blurred(one: Pair | Path) -> np.ndarray:
    return read_image(one.blur if isinstance(one, Pair) else one)


def _stride(found: Sequence) -> int:
    return max(1, -(-len(found) // MOST_IMAGES))
