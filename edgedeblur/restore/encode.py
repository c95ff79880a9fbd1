"""A restored photograph to a file of the format that its suffix names, with all that the format holds of it."""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from edgedeblur.errors import UserError
from edgedeblur.restore.properties import DAMAGED, Properties, png_chunks
from edgedeblur.restore.tiff import write_tiff
from edgedeblur.storage.files import atomic_path

_QUALITY = 95
_SEGMENT = 65533  # bytes that a segment of JPEG holds
_XMP_SEGMENT = _SEGMENT - len(b"http://ns.adobe.com/xap/1.0/\0")
_SPOKEN = {"exif": "EXIF", "icc": "colour profile", "xmp": "XMP", "dpi": "resolution"}

Write = Callable[[Path, np.ndarray, bool, Properties], None]


@dataclass(frozen=True)
class Format:
    """write: to a path, samples [H, W, channels] and whether the last is alpha. deep: holds 16 bits a sample. alpha:
    holds transparency. holds: fields of Properties."""

    name: str
    write: Write
    deep: bool
    alpha: bool
    holds: tuple[str, ...]


def check_writable(path: Path) -> None:
    """Raises UserError where the suffix names no format that is written."""
    if path.suffix.lower() not in FORMATS:
        allowed = f"images are written as files ending in {', '.join(FORMATS)}"
        raise UserError(f"cannot write images as {path.suffix or 'a file without suffix'!r}", allowed, exit_code=2)


def write_photograph(path: Path, samples: np.ndarray, alpha: np.ndarray | None, properties: Properties) -> list[str]:
    """Write a photograph, whole or not at all.

    Args:
        path: its suffix is the format.
        samples: uint8 or uint16, grey [H, W] or RGB [H, W, 3].
        alpha: of the same type [H, W], or None.

    Returns:
        What the format could not hold.

    Raises:
        UserError: an unknown suffix, or the file cannot be written.
    """
    check_writable(path)
    chosen = FORMATS[path.suffix.lower()]
    properties, notes = _that_fit(properties, chosen)
    if samples.dtype == np.uint16 and not chosen.deep:
        notes.append(f"{chosen.name} holds 8 bits a sample: written with 8 of 16")
        samples = to_8_bit(samples)
    if alpha is not None and not chosen.alpha:
        notes.append(f"{chosen.name} holds no transparency: left out")
        alpha = None
    if alpha is not None and alpha.dtype != samples.dtype:
        alpha = to_8_bit(alpha)
    channels = samples[..., None] if samples.ndim == 2 else samples
    stacked = channels if alpha is None else np.dstack([channels, alpha])
    with atomic_path(path) as temporary:
        try:
            chosen.write(temporary, stacked, alpha is not None, properties)
        except DAMAGED as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk
            if not properties.exif:
                raise
            notes.append(f"its EXIF cannot be written as {chosen.name} ({type(error).__name__}) and is left out")
            chosen.write(temporary, stacked, alpha is not None, replace(properties, exif=b""))
    return notes


def to_8_bit(values: np.ndarray) -> np.ndarray:
    """uint16 to uint8: divided by 257, rounded to nearest."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _that_fit(properties: Properties, chosen: Format) -> tuple[Properties, list[str]]:
    notes = []
    lost = [name for name in _SPOKEN if name not in chosen.holds and getattr(properties, name)]
    spoken = [_SPOKEN[name] for name in lost if not (name == "dpi" and properties.exif and "exif" in chosen.holds)]
    if spoken:
        notes.append(f"{chosen.name} holds no {', '.join(spoken)}: left out")
    if chosen.name != "PNG" and not properties.icc and any(kind == b"cICP" for kind, _ in properties.png_chunks):
        notes.append(f"{chosen.name} holds no cICP (the PNG's colour space): left out")
    kept = replace(properties, **{name: None if name == "dpi" else b"" for name in lost})
    if chosen.name == "JPEG":
        for name, limit in (("exif", _SEGMENT - 6), ("xmp", _XMP_SEGMENT), ("comment", _SEGMENT)):
            if len(getattr(kept, name)) > limit:
                notes.append(f"its {_SPOKEN.get(name, name)} is longer than JPEG holds: left out")
                kept = replace(kept, **{name: b""})
    return kept, notes


def _write_png(path: Path, samples: np.ndarray, alpha: bool, properties: Properties) -> None:
    """The coding library's pixels, and chunks of ours: it would keep neither texts nor cICP, nor 16-bit colour."""
    chunks = list(properties.png_chunks)
    if properties.icc:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(properties.icc)))
    if properties.exif:
        chunks.append((b"eXIf", properties.exif))
    if properties.dpi is not None:
        across, down = (round(value / 0.0254) for value in properties.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    if properties.xmp:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + properties.xmp))
    head, *pixels = [(kind, data) for kind, data in png_chunks(_png_pixels(samples)) if kind[:1].isupper()]
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in (head, *chunks, *pixels):
            file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


def _png_pixels(samples: np.ndarray) -> bytes:
    """A PNG without anything else. 16-bit grey with alpha becomes RGB with alpha: neither library writes it."""
    if samples.dtype == np.uint16:
        return _encoded_by_opencv(".png", samples)
    file = io.BytesIO()
    _image(samples).save(file, "PNG")
    return file.getvalue()


def _encoded_by_opencv(suffix: str, samples: np.ndarray) -> bytes:
    order = {1: [0], 2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[samples.shape[2]]
    done, data = cv2.imencode(suffix, np.ascontiguousarray(samples[..., order]))
    if not done:
        raise ValueError(f"OpenCV does not write {samples.shape[2]} channels of {samples.dtype} as {suffix}")
    return data.tobytes()


def _write_jpeg(path: Path, samples: np.ndarray, alpha: bool, properties: Properties) -> None:
    captions = properties.captions
    extra = b"\xff\xed" + struct.pack(">H", 2 + len(captions)) + captions if captions else b""
    given = _given(exif=b"Exif\0\0" + properties.exif if properties.exif else b"", icc_profile=properties.icc)
    given |= _given(xmp=properties.xmp, dpi=properties.dpi, comment=properties.comment, extra=extra)
    _image(samples).save(path, "JPEG", quality=_QUALITY, subsampling=0, **given)


def _write_webp(path: Path, samples: np.ndarray, alpha: bool, properties: Properties) -> None:
    given = _given(exif=properties.exif, icc_profile=properties.icc, xmp=properties.xmp)
    _image(samples).save(path, "WEBP", quality=_QUALITY, exact=True, **given)


def _write_bmp(path: Path, samples: np.ndarray, alpha: bool, properties: Properties) -> None:
    _image(samples).save(path, "BMP", **_given(dpi=properties.dpi))


def _write_ppm(path: Path, samples: np.ndarray, alpha: bool, properties: Properties) -> None:
    path.write_bytes(_encoded_by_opencv(".pgm" if samples.shape[2] == 1 else ".ppm", samples))


def _image(samples: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(samples[..., 0] if samples.shape[2] == 1 else samples))


def _given(**options: object) -> dict:
    return {name: value for name, value in options.items() if value}


_ALL = tuple(_SPOKEN)
_PNG = Format("PNG", _write_png, True, True, _ALL)
_JPEG = Format("JPEG", _write_jpeg, False, False, _ALL)
_TIFF = Format("TIFF", write_tiff, True, True, _ALL)
_WEBP = Format("WebP", _write_webp, False, True, ("exif", "icc", "xmp"))
_BMP = Format("BMP", _write_bmp, False, False, ("dpi",))
_PPM = Format("PPM", _write_ppm, True, False, ())
FORMATS = {".png": _PNG, ".jpg": _JPEG, ".jpeg": _JPEG, ".webp": _WEBP, ".bmp": _BMP} | {
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".ppm": _PPM,
}
