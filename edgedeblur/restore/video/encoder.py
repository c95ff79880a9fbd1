"""Frames into a video file, encoded by OpenCV's FFmpeg in a process of its own, while the next frame is restored."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.restore.video.process import ChildFailed, forked

CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}

# OpenCV's FFmpeg writes behind the rows of narrow frames: at 3 pixels it corrupts its heap.
_LEAST_SIDE = 16
_NOT_OPENED, _NOT_WHOLE = 3, 4  # the child's exit status


@contextlib.contextmanager
def encoding(source: Path, path: Path, rate: float, height: int, width: int) -> Iterator[Callable[[np.ndarray], None]]:
    """What writes one frame, uint8 [height, width, 3] BGR; the file is finished when the block ends.

    An odd row and an odd column at the end are left out: neither codec stores them.

    Args:
        source: where the frames are from, for messages.
        path: its suffix, one of `CODECS`, says the codec.
        rate: frames per second.

    Raises:
        UserError: OpenCV cannot write this size or rate, or crashes over it.
        OSError: the file has fewer frames than were given; of a full disk OpenCV says nothing.
    """
    suffix = path.suffix.lower()
    told = f"{source}: OpenCV cannot write its {width}x{height} pixels at {rate:g} frames a second to {suffix}"
    if min(height, width) < _LEAST_SIDE:
        raise UserError(f"{told}: both sides must be at least {_LEAST_SIDE} pixels")
    with forked(lambda pipe: _encode(path, rate, height, width, pipe), sends=False) as child:
        try:
            yield lambda frame: child.write(memoryview(np.ascontiguousarray(frame)).cast("B"))
            if child.wait() == _NOT_WHOLE:
                raise OSError("not all frames were written")
            if child.wait() != 0:
                raise child.failure()
        except ChildFailed as failure:
            fix = f"choose an {'.avi' if suffix != '.avi' else '.mp4'} file"
            reason = "" if failure.status == _NOT_OPENED else f": its FFmpeg {failure}"
            raise UserError(told + reason, fix) from None


def _encode(path: Path, rate: float, height: int, width: int, pipe: int) -> int:
    """The child's life: frames until the pipe ends, then counted in the file."""
    import cv2

    codec = cv2.VideoWriter_fourcc(*CODECS[path.suffix.lower()])
    writer = cv2.VideoWriter(str(path), codec, rate, (width, height))
    if not writer.isOpened():
        return _NOT_OPENED
    frame, given = np.empty((height, width, 3), np.uint8), 0
    while fill(memoryview(frame).cast("B"), pipe) == frame.size:
        writer.write(frame)
        given += 1
    writer.release()
    capture, found = cv2.VideoCapture(str(path)), 0  # nothing can be read where the index is missing
    while capture.grab():
        found += 1
    return _NOT_WHOLE if found < given else 0


def fill(part: memoryview, pipe: int) -> int:
    """How many bytes came before the part was full or the pipe ended."""
    filled = 0
    while filled < len(part) and (size := os.readv(pipe, [part[filled:]])):
        filled += size
    return filled
