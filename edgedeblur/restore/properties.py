"""What a photograph's file says beside its pixels: EXIF with GPS, colour profile, XMP, resolution, captions.

EXIF is kept byte for byte (a camera's maker notes hold addresses that a new layout would break), but for three things
that would be wrong of the upright, restored picture: the orientation becomes 1, the recorded width and height become
its own, and the preview of the picture as it was is unlinked. Of TIFF, whose EXIF is part of the file's own layout,
Pillow makes the structure.
"""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

# What Pillow raises for metadata that is not what it should be.
DAMAGED = (ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError) + (
    struct.error,
    SyntaxError,
    TypeError,
    ValueError,
)
_ORIENTATION, _EXIF_IFD = 0x0112, 0x8769
_WIDTHS, _HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)
_TRANSPOSED = (5, 6, 7, 8)
_PREFIX = re.compile(rb"^(Exif\0\0)+")
_XMP_ORIENTATION = re.compile(rb'(tiff:Orientation(?:="|>))[0-9]')
# Tags of TIFF that say how its own pixels are stored, and those that Properties holds by themselves (XMP, profile).
TIFF_LAYOUT = (
    *(*range(254, 267), 273, *range(277, 285), 292, 293, 296, 301, *range(317, 326), 330, 332, 334, 336),
    *(*range(338, 342), 347, *range(512, 533), 700, 34675),
)
# Chunks of PNG on what the numbers mean, and its texts; those about the coding of the pixels are not kept.
_PNG_CHUNKS = (b"cHRM", b"gAMA", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"tEXt", b"zTXt", b"iTXt")
_PNG_COLOUR = (b"cHRM", b"gAMA", b"sRGB")  # said again by a colour profile
_OWN_TEXTS = (b"XML:com.adobe.xmp\0", b"Raw profile type ")


@dataclass(frozen=True)
class Properties:
    """exif: a TIFF structure, without the prefix "Exif". icc: a profile for the pixels as they are written. dpi: across
    and down. comment, captions: JPEG's COM and APP13 (IPTC). png_chunks: (type, data) of PNG's colour and texts."""

    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    comment: bytes = b""
    captions: bytes = b""
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()


def read_properties(image: Image.Image, file: bytes, size: tuple[int, int], grey: bool) -> tuple[Properties, list[str]]:
    """The properties of an opened picture, and what of them is left out and why.

    Args:
        image: as Pillow opened it.
        file: its file.
        size: (height, width) of the picture turned upright.
        grey: whether it is written as grey.
    """
    notes: list[str] = []
    info = image.info
    exif, orientation = _read_exif(image, size, notes)
    jpeg = image.format in ("JPEG", "MPO")
    captions = [data for marker, data in getattr(image, "applist", []) if marker == "APP13"] if jpeg else []
    comment = info.get("comment", b"")
    properties = Properties(
        exif=exif,
        icc=_profile(info.get("icc_profile"), image.mode, grey, notes),
        xmp=_XMP_ORIENTATION.sub(rb"\g<1>1", _xmp(info)),
        dpi=_dpi(info.get("dpi"), orientation in _TRANSPOSED),
        comment=comment if jpeg and isinstance(comment, bytes) else b"",
        captions=captions[0] if captions else b"",
        png_chunks=tuple(_kept_chunks(file, bool(info.get("icc_profile")))) if image.format == "PNG" else (),
    )
    return properties, notes


def upright_exif(exif: bytes, height: int, width: int) -> bytes:
    """The structure with orientation 1, this width and height, and no preview; all else stays byte for byte.

    Raises:
        ValueError: not an EXIF structure.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        raise ValueError("it does not begin as EXIF does")
    data = bytearray(exif)
    (first,) = struct.unpack_from(order + "I", data, 4)
    end = _set_upright(data, order, first, height, width)
    struct.pack_into(order + "I", data, end, 0)  # the second directory is the preview's
    return bytes(data)


def png_chunks(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, data) of each chunk of a PNG, up to where it is cut short."""
    at = 8
    while at + 12 <= len(file):
        length, kind = struct.unpack_from(">I4s", file, at)
        yield kind, file[at + 8 : at + 8 + length]
        at += 12 + length


def _read_exif(image: Image.Image, size: tuple[int, int], notes: list[str]) -> tuple[bytes, int]:
    """The upright structure, and the orientation that it had."""
    try:
        exif = image.getexif()
        orientation = exif.get(_ORIENTATION, 1)
        kept = image.info.get("exif")
        if not kept:
            for tag in TIFF_LAYOUT:
                exif.pop(tag, None)
            kept = exif.tobytes() if len(exif) else b""
        kept = _PREFIX.sub(b"", kept)
        return (upright_exif(kept, *size) if kept else b""), orientation
    except DAMAGED as error:
        notes.append(f"its EXIF is damaged ({type(error).__name__}) and left out")
        return b"", 1


def _set_upright(data: bytearray, order: str, directory: int, height: int, width: int) -> int:
    """Set the tags of a directory and of the EXIF directory in it; gives where its link to the next one stands."""
    try:
        (count,) = struct.unpack_from(order + "H", data, directory)
        for index in range(count):
            at = directory + 2 + 12 * index
            tag, kind, _ = struct.unpack_from(order + "HHI", data, at)
            form = order + {3: "H", 4: "I"}.get(kind, "I")
            if tag == _ORIENTATION:
                struct.pack_into(form, data, at + 8, 1)
            elif tag in _WIDTHS and kind in (3, 4):
                struct.pack_into(form, data, at + 8, width)
            elif tag in _HEIGHTS and kind in (3, 4):
                struct.pack_into(form, data, at + 8, height)
            elif tag == _EXIF_IFD and (inner := struct.unpack_from(order + "I", data, at + 8)[0]) > directory:
                _set_upright(data, order, inner, height, width)
        end = directory + 2 + 12 * count
        struct.unpack_from(order + "I", data, end)
        return end
    except struct.error as error:
        raise ValueError(str(error)) from error


def _xmp(info: dict) -> bytes:
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    return xmp.encode() if isinstance(xmp, str) else bytes(xmp)


def _dpi(dpi: object, transposed: bool) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in dpi)
    except DAMAGED:
        return None
    if not all(math.isfinite(value) and 0 < value < 65536 for value in (across, down)):
        return None
    return (down, across) if transposed else (across, down)


def _profile(profile: bytes | None, mode: str, grey: bool, notes: list[str]) -> bytes:
    """The colour profile, where it is one for the pixels as they are written (ICC.1, bytes 16 to 19)."""
    if not profile:
        return b""
    space = bytes(profile[16:20])
    if len(profile) < 128 or profile[36:40] != b"acsp":
        notes.append("its colour profile is damaged and left out")
        return b""
    if space != b"RGB " and not (grey and space == b"GRAY"):
        name = space.decode("latin-1").strip()
        notes.append(f"its colour profile is for {name}; its {mode} pixels became RGB, so the profile is left out")
        return b""
    return bytes(profile)


def _kept_chunks(file: bytes, profile: bool) -> Iterator[tuple[bytes, bytes]]:
    for kind, data in png_chunks(file):
        again = (profile and kind in _PNG_COLOUR) or data.startswith(_OWN_TEXTS)
        if kind in _PNG_CHUNKS and not again:
            yield kind, data
