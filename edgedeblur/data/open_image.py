"""Opening an image file: only formats that are images here, only as many pixels as are allowed, one kind of error.

The content decides, not the name. Pillow is told which formats to try: left to itself it would start Ghostscript for
PostScript under any name.
"""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin, read_start

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM")  # Pillow's names
MAX_PIXELS = 178_956_970  # where Pillow itself refuses an image as a decompression bomb
MAX_SIDE = 65_535  # JPEG's limit; Pillow also takes memory for each row
# Bytes that a byte of a file becomes at most: 1032 by deflate (RFC 1951: 258 of 2 bits), a string of a whole table for
# 12 bits by LZW, 128 KiB for 4 bytes by Zstandard (RFC 8878), 64 samples of a block for 2 bits by JPEG, twice that with
# subsampled colours, 2,560 pixels of 1 bit for 12 bits by CCITT 1D (ITU-T T.4), about 7,100 by LZMA.
_DEFLATE = 1032
_MOST_EXPANDED = {
    "png": _DEFLATE,
    "tiff_adobe_deflate": _DEFLATE,
    "tiff_deflate": _DEFLATE,
    "tiff_lzw": 2731,
    "packbits": 64,
    "raw": 1,
    "jpeg": 512,
    "tiff_jpeg": 512,
    "zstd": 32768,
    "lzma": 8192,
    "tiff_ccitt": 214,
}
_A_BIT_A_ROW = ("group3", "group4")  # a row like the one before (ITU-T T.4, T.6)
_BITS_PER_SAMPLE, _SAMPLES_PER_PIXEL = 258, 277  # TIFF's tags
_NEEDED = f"images are {', '.join(FORMATS)}, and HEIC with pillow-heif"
_HEIC = "HEIC"
# The brand in the first box of ISO base media files (ISO 14496-12)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), _HEIC
)
_STARTS = (
    (b"DDS ", "DDS"),
    (b"%!PS", "PostScript (EPS)"),
    (b"\xc5\xd0\xd3\xc6", "PostScript (EPS)"),
    (b"%PDF", "PDF"),
    (b"GIF8", "GIF"),
    (b"8BPS", "PSD"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"qoif", "QOI"),
    (b"\0\0\1\0", "ICO"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"PK\3\4", "a zip archive"),
    (b"\x1a\x45\xdf\xa3", "a video (Matroska)"),
    (b"RIFF", "a RIFF file that is not WebP"),
)


@contextlib.contextmanager
def open_image(path: str | Path) -> Iterator[Image.Image]:
    """Pillow's image of a file, opened and not yet decoded; whatever fails while it is decoded in the block becomes a
    message too.

    Raises:
        UserError: the file is missing, no regular file, not an image, of a format that is not read (the message says
            which), cut short, or larger than 178,956,970 pixels or 65,535 on a side; HEIC without pillow-heif.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"no image file {path}", "check the path")
    start = read_start(path, 64, Origin(str(path), _NEEDED))
    formats = _formats(path, start)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on damaged tags, and on sizes whose limit is checked below
            with Image.open(path, formats=formats) as image:
                _check_size(path, *image.size)
                _check_claim(path, image)
                yield image
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(
            f"{path} needs more memory than is available", "cut it into parts, or close other programs"
        ) from error
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is not an image: it holds {content_name(start)}", _NEEDED) from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} has more than {MAX_PIXELS:,} pixels", "cut it into parts") from error
    except Exception as error:  # Pillow's decoders raise whatever damaged bytes lead to
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path} cannot be read as an image: {reason}", "copy or make the file again") from error


def content_name(start: bytes) -> str:
    """What a file holds, by its first 64 bytes: "AVIF", "text", "nothing (0 bytes)"."""
    if not start:
        return "nothing (0 bytes)"
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "a video (MP4)")
    for magic, name in _STARTS:
        if start.startswith(magic):
            return name
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return "text"
    return "no known format"


def _formats(path: Path, start: bytes) -> tuple[str, ...]:
    if content_name(start) != _HEIC:
        return FORMATS
    try:
        import pillow_heif
    except ImportError:
        raise UserError(f"{path} is HEIC, which is read with pillow-heif", "pip install 'edgedeblur[heic]'") from None
    pillow_heif.register_heif_opener()
    return ("HEIF",)


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise UserError(
            f"{path} has {width}x{height} pixels; allowed are at most {MAX_PIXELS:,} pixels, {MAX_SIDE:,} on a side",
            "cut it into parts",
        )


def _check_claim(path: Path, image: Image.Image) -> None:
    """Raises UserError, before memory is taken, where a damaged header claims pixels that the file cannot hold."""
    compression = "png" if image.format == "PNG" else image.info.get("compression") if image.format == "TIFF" else None
    held = path.stat().st_size
    if compression in _MOST_EXPANDED:
        possible = image.width * image.height * _least_bits(image) / 8 <= held * _MOST_EXPANDED[compression] + 4096
    else:
        possible = compression not in _A_BIT_A_ROW or image.height <= 8 * held
    if not possible:
        raise UserError(
            f"{path} claims {image.width}x{image.height} pixels, more than its {held:,} bytes can hold",
            "copy or make the file again",
        )


def _least_bits(image: Image.Image) -> float:
    """Of a pixel in the file, before it is compressed; colours may be subsampled."""
    if image.format != "TIFF":
        return 8 * len(image.getbands()) if image.mode.startswith("RGB") else 1
    bits, samples = image.tag_v2.get(_BITS_PER_SAMPLE, 1), image.tag_v2.get(_SAMPLES_PER_PIXEL, 1)
    bits = bits if isinstance(bits, tuple) else (bits,)
    total = sum(bits) if len(bits) == samples else bits[0] * samples
    return total if image.mode.startswith("RGB") else min(total, 8)
