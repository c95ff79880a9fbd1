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

# A record: its kind and three numbers. Opened, by OpenCV: frames declared, 0, frames per second; by PyAV: bytes of the
# JSON that follows. Frame: height, width, seconds or ticks. Failed: bytes of the text that follows.
_RECORD = struct.Struct("<cqqd")
OPENED, FRAME, END, NO_VIDEO, _FAILED = b"O", b"F", b"E", b"N", b"X"

Send = Callable[..., None]


class Video:
    """An opened video. rate: frames per second, None where none is recorded. declared: frames by the header, 0 where it
    does not count them."""

    def __init__(self, records: "Records", rate: float | None, declared: int):
        self.rate, self.declared, self._records = rate, declared, records

    def frames(self) -> Iterator[tuple[np.ndarray, float]]:
        """Each frame, uint8 [H, W, 3] BGR, and its time in seconds; sizes may differ.

        Raises:
            UserError: the decoder failed, crashed, or gave no frame within 120 s.
        """
        while True:
            kind, height, width, seconds = self._records.next()
            if kind != FRAME:
                return
            yield self._records.frame(height, width), seconds


@contextlib.contextmanager
def decoding(source: Path) -> Iterator[Video]:
    """A video whose decoder lives as long as the block.

    Raises:
        UserError: not a video, frames of more than 178,956,970 pixels, or a decoder that failed or crashed.
    """
    refuse_text(source)
    with forked(lambda pipe: send_records(source, pipe, _send_frames), sends=True) as child:
        records = Records(source, child, "OpenCV's FFmpeg")
        _, declared, _, rate = records.next()
        counted = source.suffix.lower() in _COUNTED
        yield Video(records, rate if 0 < rate < 1000 else None, declared if counted else 0)


class Records:
    """What a decoder sends. library: which decoder it is, for messages."""

    def __init__(self, source: Path, child: Child, library: str):
        self._source, self._child, self._library = source, child, library

    def next(self) -> tuple[bytes, int, int, float]:
        """Kind and numbers of the next record: of the opened video, a frame whose pixels follow, or the end."""
        record = bytearray(_RECORD.size)
        self.read_into(memoryview(record))
        kind, first, second, third = _RECORD.unpack(record)
        if kind == NO_VIDEO:
            raise not_a_video(self._source, f"is not a video that {self._library} can read")
        if kind == _FAILED:
            raise UserError(self.text(first))
        if kind == FRAME:
            check_size(self._source, second, first)
        return kind, first, second, third

    def frame(self, height: int, width: int) -> np.ndarray:
        """The pixels that follow a frame's record, uint8 [height, width, 3]."""
        frame = np.empty((height, width, 3), np.uint8)
        self.read_into(memoryview(frame).cast("B"))
        return frame

    def text(self, size: int) -> str:
        """The text of that many bytes that follows a record."""
        data = bytearray(min(size, _TEXT_BYTES))
        self.read_into(memoryview(data))
        return data.decode(errors="replace")

    def read_into(self, part: memoryview) -> None:
        try:
            self._child.read_into(part)
        except ChildFailed as failure:
            message = f"{self._source} cannot be read as a video: its decoder, {self._library}, {failure}"
            raise UserError(message, "make or copy the file again") from None


def refuse_text(source: Path) -> None:
    """Raises UserError for text: FFmpeg takes it for a playlist, and opens what it names."""
    if content_name(read_start(source, 64, Origin(str(source)))) == "text":
        raise not_a_video(source, "is text, not a video")


def send_records(source: Path, pipe: int, work: Callable[[Path, Send], None]) -> int:
    """A child's life: `work` gets the source and what sends a record (kind, three numbers, data); what goes wrong in it
    is sent as text."""
    with open(pipe, "wb", buffering=0) as output:

        def send(kind: bytes, first: float = 0, second: int = 0, third: float = 0, data: bytes | memoryview = b""):
            output.write(_RECORD.pack(kind, int(first), second, third))
            rest = memoryview(data)
            while rest:
                rest = rest[output.write(rest) :]

        try:
            work(source, send)
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
        send(NO_VIDEO)
        return
    declared = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    send(OPENED, declared if 0 < declared < 2**62 else 0, 0, capture.get(cv2.CAP_PROP_FPS))
    check_size(source, *(int(capture.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)))
    while (read := capture.read())[0]:
        frame = np.ascontiguousarray(read[1])
        seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
        send(FRAME, *frame.shape[:2], seconds, data=memoryview(frame).cast("B"))
    send(END)


def check_size(source: Path, width: int, height: int) -> None:
    if min(width, height) < 0 or width * height > MAX_PIXELS:
        raise UserError(f"{source} has frames of {width}x{height} pixels; allowed are at most {MAX_PIXELS:,} pixels")


def not_a_video(source: Path, what: str) -> UserError:
    return UserError(f"{source} {what}", f"readable are {', '.join(READABLE)}")
