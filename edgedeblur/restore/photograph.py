"""A photograph as its file holds it (grey or colour, 8 or 16 bits, alpha, properties), and its restoration in kind.

A network sees upright uint8 RGB and gives the same back. The photograph keeps what it was:

- Grey: the three equal channels are restored, and their luminance is taken, the integer form of ITU-R BT.601 that
  Pillow's conversion to grey is: (19595 R + 38470 G + 7471 B + 32768) >> 16. A network's tint cannot get through, and
  a network that changes nothing changes nothing. A colour file without any colour is treated alike.
- 16 bits: the difference at 8 bits is scaled to 16 and added to what the file holds, clipped: out = in + 257 (restored
  - in8). Where the network changes nothing, all 16 bits stay.
- Alpha stays as it was. The numbers are restored as they stand, in the file's own colour space, and the profile that
  says what they mean goes with them.
"""

import io
import re
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from edgedeblur.data.images import read_image
from edgedeblur.data.opencv_decode import decode_all_bits
from edgedeblur.errors import UserError
from edgedeblur.restore.encode import to_8_bit
from edgedeblur.restore.properties import DAMAGED, Properties, png_chunks, read_properties

_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "DIB", "TIFF", "PPM", "HEIF", "AVIF", "GIF")
_GREY_MODES = ("1", "L", "LA", "La", "I", "F")
_BITS_PER_SAMPLE = 258
_PPM_MAXIMUM = re.compile(rb"^P[56]\s+(?:#.*\s+)*\d+\s+(?:#.*\s+)*\d+\s+(?:#.*\s+)*(\d+)\s")


@dataclass(frozen=True)
class Photograph:
    """All arrays are upright.

    rgb: uint8 [H, W, 3], for the network. grey: whether the file holds grey. deep: the file's samples where it holds 16
    bits, uint16 [H, W] or [H, W, 3]. alpha: uint8 or uint16 [H, W]. notes: what of the file is not kept.
    """

    rgb: np.ndarray
    grey: bool
    deep: np.ndarray | None
    alpha: np.ndarray | None
    properties: Properties
    notes: tuple[str, ...]


def read_photograph(path: Path) -> Photograph:
    """A photograph with everything that is to be kept of it.

    Raises:
        UserError: as `read_image`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of damaged metadata; what is left out is noted
            rgb, file = read_image(path), path.read_bytes()
            with Image.open(io.BytesIO(file), formats=_readable()) as image:
                return _with_properties(rgb, image, file)
    except UnidentifiedImageError as error:
        raise UserError(f"{path} holds none of {', '.join(_readable())}", "convert it to one of them") from error
    except DAMAGED as error:
        raise UserError(f"{path} cannot be read as an image: {error}", "copy or make the file again") from error


def in_kind(photograph: Photograph, restored: np.ndarray) -> np.ndarray:
    """What is written: a network's output (uint8 [H, W, 3]) in the photograph's own kind and depth."""
    restored, before = restored.astype(np.int32), photograph.rgb
    colourless = photograph.grey or _colourless(before)
    if colourless:
        restored, before = luminance(restored), before[..., 0]
    if photograph.deep is not None:
        if colourless and photograph.deep.ndim == 3:
            restored, before = (np.repeat(values[..., None], 3, axis=2) for values in (restored, before))
        return np.clip(photograph.deep + 257 * (restored - before), 0, 65535).astype(np.uint16)
    if colourless and not photograph.grey:
        restored = np.repeat(restored[..., None], 3, axis=2)
    return restored.astype(np.uint8)


def luminance(rgb: np.ndarray) -> np.ndarray:
    """ITU-R BT.601's of int32 [H, W, 3] in 0 to 255, int32 [H, W]; of three equal values it is that value."""
    return (19595 * rgb[..., 0] + 38470 * rgb[..., 1] + 7471 * rgb[..., 2] + 32768) >> 16


def _with_properties(rgb: np.ndarray, image: Image.Image, file: bytes) -> Photograph:
    height, width = rgb.shape[:2]
    mode, pictures = image.mode, getattr(image, "n_frames", 1)
    colour_type = _png_header(file)[1] if image.format == "PNG" else None
    grey = mode in _GREY_MODES or mode.startswith("I;16") or colour_type in (0, 4)
    properties, notes = read_properties(image, file, (height, width), grey)
    samples = _deep_samples(image, file, rgb, notes)
    deep = None
    if samples is not None:
        deep = samples[..., 0] if grey else samples[..., :3]
        rgb = np.ascontiguousarray(np.broadcast_to(to_8_bit(samples[..., :3]), rgb.shape))
    alpha = _alpha(image, samples, notes)
    if pictures > 1:
        notes.append(f"only the first of the {pictures} pictures in the file is restored; the others are left out")
    if mode in ("P", "PA"):
        notes.append("its palette became RGB: restoring makes colours that are not in it")
    return Photograph(rgb, grey, deep, alpha, properties, tuple(notes))


def _alpha(image: Image.Image, samples: np.ndarray | None, notes: list[str]) -> np.ndarray | None:
    if samples is not None and samples.shape[2] in (2, 4):
        return samples[..., -1]
    if not image.has_transparency_data:
        return None
    try:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGBA").getchannel("A"))
    except ValueError:
        notes.append(f"transparency of {image.mode} pixels is not read: left out")
        return None


def _deep_samples(image: Image.Image, file: bytes, rgb: np.ndarray, notes: list[str]) -> np.ndarray | None:
    """uint16 [H, W, 1, 3 or 4] of a file with more than 8 bits a sample, upright; RGB, alpha last.

    Pillow keeps the upper 8 bits of 16-bit colour, OpenCV all. OpenCV turns TIFFs itself, whatever it is asked; so what
    is taken is what agrees with the picture at 8 bits.
    """
    if not _declares_more_than_8_bits(image, file):
        return None
    values = decode_all_bits(file)
    if values is not None and values.dtype == np.uint16:
        values = np.atleast_3d(values)
        samples = values[..., {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[values.shape[2]]]
        for candidate in (samples, _turned(samples, image.getexif().get(0x0112, 1))):
            if _agree(candidate, rgb):
                return np.ascontiguousarray(candidate)
    notes.append("its samples of more than 8 bits cannot be read as 16 bits: restored at 8")
    return None


def _agree(samples: np.ndarray, rgb: np.ndarray) -> bool:
    """Whether 16-bit samples are the picture; the upper byte alone is up to 1 below what is rounded."""
    if samples.shape[:2] != rgb.shape[:2]:
        return False
    return bool(np.all(np.abs(to_8_bit(samples[..., :3]).astype(np.int16) - rgb) <= 1))


def _declares_more_than_8_bits(image: Image.Image, file: bytes) -> bool:
    if image.format == "PNG":
        return _png_header(file)[0] == 16
    if image.format == "TIFF":
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, (1,))
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    if image.format == "PPM":
        maximum = _PPM_MAXIMUM.match(file[:4096])
        return maximum is not None and int(maximum[1]) > 255
    return False


def _png_header(file: bytes) -> tuple[int, int]:
    """(bits a sample, colour type)."""
    _, header = next(png_chunks(file), (b"", b""))
    return struct.unpack_from("BB", header, 8)


def _turned(samples: np.ndarray, orientation: int) -> np.ndarray:
    """EXIF orientation 1 to 8 undone: 5 to 8 are turned, and four of the eight are mirrored."""
    samples = np.rot90(samples, {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(orientation, 0))
    return samples[:, ::-1] if orientation in (2, 4, 5, 7) else samples


def _colourless(rgb: np.ndarray) -> bool:
    return bool(np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 1], rgb[..., 2]))


def _readable() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]
