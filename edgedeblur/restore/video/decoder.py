"""A video as frames, decoded by OpenCV's FFmpeg in a process of its own, one frame ahead of what the caller takes.

The child sends records: what was opened, each frame with its pixels, the end or a reason.
"""

import contextlib
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from edgedeblur.data.open_image import MAX_PIXELS, content_name
from edgedeblur.errors import UserError
from edgedeblur.restore.video.process import Child, ChildFailed, forked
from edgedeblur.storage.contents import Origin, read_start

READABLE = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".3gp", ".ts")

_COUNTED = (".mp4", ".m4v", ".mov", ".3gp", ".avi")  # containers whose header counts the frames; others are estimates
_TEXT_BYTES = 1 << 14

# A record: its kind and three numbers. Opened: frames declared, 0, frames per second. Frame: height, width, seconds.
# Failed: bytes of the text that follows.
_RECORD = struct.Struct("<cqqd")
_OPENED, _FRAME, _END, _NO_VIDEO, _FAILED = b"O", b"F", b"E", b"N", b"X"

Send = Callable[..., None]


class Video:
    """An opened video. rate: frames per second, None where none is recorded. declared: frames by the header, 0 where it
    does not count them."""

    def __init__(self, records: "_Records", rate: float | None, declared: int):
        self.rate, self.declared, self._records = rate, declared, records

    def frames(self) -> Iterator[tuple[np.ndarray, float]]:
        """Each frame, uint8 [H, W, 3] BGR, and its time in seconds; sizes may differ.

        Raises:
            UserError: the decoder failed, crashed, or gave no frame within 120 s.
        """
        while True:
            kind, height, width, seconds = self._records.next()
            if kind != _FRAME:
                return
            frame = np.empty((height, width, 3), np.uint8)
            self._records.read_into(memoryview(frame).cast("B"))
            yield frame, seconds


@contextlib.contextmanager
def decoding(source: Path) -> Iterator[Video]:
    """A video whose decoder lives as long as the block.

    Raises:
        UserError: not a video, frames of more than 178,956,970 pixels, or a decoder that failed or crashed.
    """
    if content_name(read_start(source, 64, Origin(str(source)))) == "text":
        raise _not_a_video(source, "is text, not a video")  # FFmpeg takes it for a playlist, and opens what it names
    with forked(lambda pipe: _send_all(source, pipe), sends=True) as child:
        records = _Records(source, child)
        _, declared, _, rate = records.next()
        counted = source.suffix.lower() in _COUNTED
        yield Video(records, rate if 0 < rate < 1000 else None, declared if counted else 0)


class _Records:
    """What a decoder sends."""

    def __init__(self, source: Path, child: Child):
        self._source, self._child = source, child

    def next(self) -> tuple[bytes, int, int, float]:
        """Kind and numbers of the next record: of the opened video, a frame whose pixels follow, or the end."""
        record = bytearray(_RECORD.size)
        self.read_into(memoryview(record))
        kind, first, second, third = _RECORD.unpack(record)
        if kind == _NO_VIDEO:
            raise _not_a_video(self._source, "is not a video that OpenCV can read")
        if kind == _FAILED:
            text = bytearray(min(first, _TEXT_BYTES))
            self.read_into(memoryview(text))
            raise UserError(text.decode(errors="replace"))
        if kind == _FRAME:
            _check_size(self._source, second, first)
        return kind, first, second, third

    def read_into(self, part: memoryview) -> None:
        try:
            self._child.read_into(part)
        except ChildFailed as failure:
            message = f"{self._source} cannot be read as a video: its decoder, OpenCV's FFmpeg, {failure}"
            raise UserError(message, "make or copy the file again") from None


def _send_all(source: Path, pipe: int) -> int:
    """The child's life; what goes wrong in it is sent as text."""
    with open(pipe, "wb", buffering=0) as output:

        def send(kind: bytes, first: float = 0, second: int = 0, third: float = 0, data: bytes | memoryview = b""):
            output.write(_RECORD.pack(kind, int(first), second, third))
            rest = memoryview(data)
            while rest:
                rest = rest[output.write(rest) :]

        try:
            _send_frames(source, send)
        except UserError as error:
            _send_text(send, error.message)
        except Exception as error:  # whatever damaged bytes lead to
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            _send_text(send, f"{source} cannot be read as a video: {reason}")
    return 0


def _send_text(send: Send, text: str) -> None:
    data = text.encode(errors="replace")[:_TEXT_BYTES]
    send(_FAILED, len(data), data=data)


def _send_frames(source: Path, send: Send) -> None:
    import cv2

    capture = cv2.VideoCapture(str(source))
    if not capture.isOpened():
        send(_NO_VIDEO)
        return
    declared = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    send(_OPENED, declared if 0 < declared < 2**62 else 0, 0, capture.get(cv2.CAP_PROP_FPS))
    _check_size(source, *(int(capture.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)))
    while (read := capture.read())[0]:
        frame = np.ascontiguousarray(read[1])
        seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
        send(_FRAME, *frame.shape[:2], seconds, data=memoryview(frame).cast("B"))
    send(_END)


def _check_size(source: Path, width: int, height: int) -> None:
    if min(width, height) < 0 or width * height > MAX_PIXELS:
        raise UserError(f"{source} has frames of {width}x{height} pixels; allowed are at most {MAX_PIXELS:,} pixels")


def _not_a_video(source: Path, what: str) -> UserError:
    return UserError(f"{source} {what}", f"readable are {', '.join(READABLE)}")
