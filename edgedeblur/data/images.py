"""Reading and writing images: everything becomes uint8 HxWx3 RGB, and bad files become messages."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from edgedeblur.data.open_image import open_image
from edgedeblur.data.opencv_decode import decode_all_bits
from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin, require_regular
from edgedeblur.storage.files import atomic_path

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
HEIC_SUFFIXES = (".heic", ".heif")  # read, where pillow-heif is installed, and never written
READABLE = (*SUFFIXES, *HEIC_SUFFIXES)
_ORIENTATION_TAG = 0x0112
_FIX = f"images are files ending in {', '.join(SUFFIXES)}"


def read_image(path: str | Path) -> np.ndarray:
    """An image as uint8 HxWx3 RGB, turned upright as its EXIF orientation says.

    Grey is repeated in three channels; a palette is looked up; an alpha channel is dropped, keeping the colours under
    it; 16-bit values are divided by 257, rounded to nearest.

    Raises:
        UserError: as `open_image`; floating-point values, or integers beyond 16 bits.
    """
    path = Path(path)
    with open_image(path) as image:
        return _as_rgb(path, image)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 HxWx3 RGB in the format of the suffix (JPEG at quality 95, 4:4:4), whole or not at all.

    Raises:
        UserError: an unknown suffix, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"cannot write images as {path.suffix or 'a file without suffix'!r}", _FIX, exit_code=2)
    options = {"quality": 95, "subsampling": 0} if path.suffix.lower() in (".jpg", ".jpeg") else {}
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, **options)


def list_images(folder: str | Path, recursive: bool = False) -> list[Path]:
    """The images of a folder, sorted by path; hidden files are left out.

    Raises:
        UserError: no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"no folder {folder}", "check the path")
    found = folder.rglob("*") if recursive else folder.iterdir()
    images = sorted(p for p in found if p.suffix.lower() in READABLE and not p.name.startswith(".") and p.is_file())
    if not images:
        raise UserError(f"no images in {folder}", _FIX)
    return images


def image_or_folder(path: str | Path) -> list[Path]:
    """The one image a path names, or those of the folder it names.

    Raises:
        UserError: neither exists.
    """
    path = Path(path)
    if path.is_dir():
        return list_images(path)
    if not path.exists():
        raise UserError(f"no image or folder {path}", "check the path")
    require_regular(path, Origin(str(path)))
    return [path]


def _as_rgb(path: Path, image: Image.Image) -> np.ndarray:
    if image.format == "PNG" and image.mode in ("RGB", "RGBA") and _sixteen_bit_png(path):
        return _read_sixteen_bit(path, image.getexif().get(_ORIENTATION_TAG, 1))
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image)
        if image.mode == "F" or values.max(initial=0) > 65535 or values.min(initial=0) < 0:
            raise UserError(f"{path} holds {image.mode} values beyond 16 bits", "convert it to 8 or 16 bits")
        return np.repeat(_to_8_bit(values)[..., None], 3, axis=2)
    if image.mode == "P" or image.mode == "LA" or image.mode == "PA":
        image = image.convert("RGBA")
    array = np.asarray(image if image.mode in ("RGB", "RGBA") else image.convert("RGB"))
    return np.ascontiguousarray(array[..., :3])


def _sixteen_bit_png(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(25)[24] == 16  # the bit depth byte of IHDR


def _read_sixteen_bit(path: Path, orientation: int) -> np.ndarray:
    """Of a PNG."""
    values = decode_all_bits(path.read_bytes())
    if values is None or values.ndim != 3:
        raise UserError(f"{path} cannot be read as a 16-bit image", "copy or make the file again")
    return np.ascontiguousarray(_to_8_bit(_upright(values, orientation)[..., 2::-1]))


def _upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """EXIF orientation 1 to 8 undone: 5 to 8 are turned, and four of the eight are mirrored."""
    values = np.rot90(values, {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(orientation, 0))
    return values[:, ::-1] if orientation in (2, 4, 5, 7) else values


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
