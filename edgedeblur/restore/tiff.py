"""TIFF of 8 or 16 bits, grey or RGB, with or without alpha, with all properties: Pillow writes no 16-bit colour.

Strips are packed by Deflate with horizontal differencing (TIFF 6.0 section 14; Adobe's compression 8).
"""

import zlib
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin

from edgedeblur.restore.properties import TIFF_LAYOUT, Properties

_STRIP_BYTES = 1 << 20
_SUB_DIRECTORIES = (0x8769, 0x8825)  # EXIF, GPS
_SHORT, _LONG, _RATIONAL, _UNDEFINED, _BYTE = 3, 4, 5, 7, 1


def write_tiff(path: Path, samples: np.ndarray, alpha: bool, properties: Properties) -> None:
    """Write uint8 or uint16 [H, W, channels]; `alpha`: the last channel is one, not multiplied into the others."""
    height, width, channels = samples.shape
    rows = max(1, _STRIP_BYTES // (width * channels * samples.itemsize))
    strips = [_packed(samples[top : top + rows]) for top in range(0, height, rows)]
    sizes = [len(strip) for strip in strips]
    directory = _directory(properties)
    bits = 8 * samples.itemsize
    layout = {
        256: (_LONG, width),
        257: (_LONG, height),
        258: (_SHORT, (bits,) * channels),
        259: (_SHORT, 8),
        262: (_SHORT, 2 if channels > 2 else 1),
        273: (_LONG, (0, *accumulate(sizes[:-1]))),  # counted from the end of the directory
        277: (_SHORT, channels),
        278: (_LONG, rows),
        279: (_LONG, tuple(sizes)),
        284: (_SHORT, 1),
        317: (_SHORT, 2),
    }
    if alpha:
        layout[338] = (_SHORT, 2)
    for tag, (kind, value) in layout.items():
        directory.tagtype[tag] = kind
        directory[tag] = value
    with path.open("wb") as file:
        directory.save(file)
        file.writelines(strips)


def _directory(properties: Properties) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The first directory with everything but the layout of the pixels."""
    directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\x08\0\0\0")
    exif = Image.Exif()
    exif.load(properties.exif)
    for tag in exif:
        if tag not in TIFF_LAYOUT:
            directory[tag] = exif.get_ifd(tag) if tag in _SUB_DIRECTORIES else exif[tag]
    if properties.dpi is not None:
        directory[282], directory[283], directory[296] = *properties.dpi, 2
    for tag, kind, value in ((34675, _UNDEFINED, properties.icc), (700, _BYTE, properties.xmp)):
        if value:
            directory.tagtype[tag] = kind
            directory[tag] = value
    return directory


def _packed(strip: np.ndarray) -> bytes:
    differences = strip.copy()
    differences[:, 1:] -= strip[:, :-1]  # modulo 2^8 or 2^16, as the reader adds them up again
    return zlib.compress(differences.astype(strip.dtype.newbyteorder("<"), copy=False).tobytes(), 6)
