"""Blur/sharp pairs in GoPro's layout: files of the same name under `blur/` and `sharp/`, at any depth, or in the same
sub-folders of these, as in the layout of DeblurGAN-v2's scripts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedeblur.data.images import list_images, read_image
from edgedeblur.errors import UserError

_FIX = "pairs are files of the same name under blur/ and sharp/, as in GOPRO_Large"


@dataclass(frozen=True)
class Pair:
    """Two files of the same picture; `group` is the folder that holds blur/ and sharp/, relative to the root, with the
    sub-folder of these that holds the files."""

    blur: Path
    sharp: Path
    group: str

    @property
    def name(self) -> str:
        return self.blur.name

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """(blur, sharp), uint8 HxWx3 RGB.

        Raises:
            UserError: a file cannot be read, or the two differ in size.
        """
        blur, sharp = read_image(self.blur), read_image(self.sharp)
        if blur.shape != sharp.shape:
            sizes = f"{blur.shape[1]}x{blur.shape[0]} and {sharp.shape[1]}x{sharp.shape[0]}"
            raise UserError(f"{self.blur} and {self.sharp} differ in size: {sizes}", _FIX)
        return blur, sharp


@dataclass(frozen=True)
class PairInMemory:
    """A blurred and a sharp picture, uint8 [H, W, 3] RGB of one size, and the group whose mean they count in."""

    group: str
    name: str
    blur: np.ndarray
    sharp: np.ndarray

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        return self.blur, self.sharp


AnyPair = Pair | PairInMemory


def has_pairs(folder: str | Path) -> bool:
    """Whether a folder is laid out as pairs: it holds a `blur` folder with a `sharp` folder beside it."""
    return any((found.parent / "sharp").is_dir() for found in _blur_folders(Path(folder)))


def find_pairs(folder: str | Path) -> list[Pair]:
    """All pairs below a folder, sorted by path.

    Raises:
        UserError: no such folder, no pairs in it, or a blurred file without its sharp one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"no folder {folder}", "check the path")
    pairs = []
    for blurred in _blur_folders(folder):
        sharp_folder = blurred.parent / "sharp"
        if not sharp_folder.is_dir():
            continue
        for path in list_images(blurred, recursive=True):
            inside = path.relative_to(blurred)
            sharp = sharp_folder / inside
            if not sharp.is_file():
                raise UserError(f"{path} has no sharp picture {sharp}", _FIX)
            group = str((blurred.parent / inside.parent).relative_to(folder))
            pairs.append(Pair(path, sharp, folder.resolve().name if group == "." else group))
    if not pairs:
        raise UserError(f"no pairs in {folder}", _FIX)
    return pairs


def _blur_folders(folder: Path) -> list[Path]:
    return sorted(found for found in folder.rglob("blur") if found.is_dir()) if folder.is_dir() else []
