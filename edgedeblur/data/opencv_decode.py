"""Samples of more than 8 bits, of which Pillow keeps the upper 8: OpenCV keeps all."""

import struct
from collections.abc import Iterator

import cv2
import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = (b"PLTE", b"tRNS", b"IDAT")
_END = b"\0\0\0\0IEND\xaeB`\x82"


def decode_all_bits(file: bytes) -> np.ndarray | None:
    """The samples of an image file as they are stored, [H, W] or [H, W, 3 or 4] BGR; None where OpenCV cannot.

    Of a PNG it gets only the whole chunks that the pixels are made of: it takes as much memory for a chunk as the
    chunk's length says, however little of it is there.
    """
    if file.startswith(_SIGNATURE):
        file = _SIGNATURE + b"".join(_pixel_chunks(file)) + _END
    try:
        return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None


def _pixel_chunks(file: bytes) -> Iterator[bytes]:
    """The header and the whole chunks behind it that hold pixels, up to where the file is cut short."""
    at = len(_SIGNATURE)
    while at + 12 <= len(file):
        length, kind = struct.unpack_from(">I4s", file, at)
        end = at + 12 + length
        if end > len(file):
            return
        if kind in _PIXELS or at == len(_SIGNATURE):
            yield file[at:end]
        at = end
