"""Video frame by frame through OpenCV: size and frame rate are kept, audio is not."""

import contextlib
import mmap
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.files import atomic_path

CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
READABLE = (*CODECS, ".webm", ".mpg", ".mpeg", ".3gp", ".ts")

# A sound track's declaration in MP4/MOV (ISO 14496-12, hdlr box), AVI (strh chunk) and Matroska (CodecID element).
_AUDIO = re.compile(rb"hdlr.{8}soun|strh.{4}auds|\x86.A_[A-Z]", re.DOTALL)

Restore = Callable[[np.ndarray], np.ndarray]


def is_video(path: Path) -> bool:
    """Whether the suffix is that of a video container."""
    return path.suffix.lower() in READABLE


def deblur_video(source: Path, destination: Path, restore: Restore, frame_done: Callable[[int], None]) -> list[str]:
    """Restore every frame.

    Args:
        source: a video that OpenCV's FFmpeg reads.
        destination: .mp4, .m4v, .mov, .mkv (MPEG-4) or .avi (Motion JPEG).
        restore: uint8 [H, W, 3] RGB to the same shape.
        frame_done: called with the number of finished frames.

    Returns:
        Notes for the user: dropped audio, an unknown frame rate.

    Raises:
        UserError: not a video, a container that cannot be written, no frame in it, or a disk that is full.
    """
    import cv2

    if destination.suffix.lower() not in CODECS:
        raise UserError(f"cannot write video {destination}: its suffix must be one of {', '.join(CODECS)}", exit_code=2)
    notes = [f"{source.name}: the audio track is not copied"] if has_audio(source) else []
    with _capture(source) as capture, atomic_path(destination) as temporary:
        rate = capture.get(cv2.CAP_PROP_FPS)
        if not 0 < rate < 1000:
            rate = 30.0
            notes.append(f"{source.name}: no frame rate recorded, 30 taken")
        writer = None
        count = 0
        for count, frame in enumerate(_frames(capture), start=1):
            if writer is None:
                writer = _writer(temporary, rate, frame.shape)
            restored = restore(np.ascontiguousarray(frame[:, :, ::-1]))
            writer.write(np.ascontiguousarray(restored[:, :, ::-1]))
            frame_done(count)
        if writer is None:
            raise UserError(f"{source} has no frame that can be read")
        writer.release()
        _require_whole(temporary, count)
    return notes


def _require_whole(path: Path, frames: int) -> None:
    """OSError where the file has fewer frames: OpenCV says nothing of a disk that is full."""
    found = 0
    with contextlib.suppress(UserError), _capture(path) as capture:  # nothing can be read where the index is missing
        while capture.grab():
            found += 1
    if found < frames:
        raise OSError(f"{found} of {frames} frames were written")


def has_audio(path: Path) -> bool:
    """Whether the container declares a sound track."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _AUDIO.search(content) is not None


@contextmanager
def _capture(source: Path) -> Iterator:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg's own lines about bad files, which we report
    import cv2

    capture = cv2.VideoCapture(str(source))
    try:
        if not capture.isOpened():
            raise UserError(f"{source} is not a video that OpenCV can read", f"readable are {', '.join(READABLE)}")
        yield capture
    finally:
        capture.release()


def _frames(capture) -> Iterator[np.ndarray]:
    while True:
        good, frame = capture.read()
        if not good:
            return
        yield frame


def _writer(path: Path, rate: float, shape: tuple[int, ...]):
    import cv2

    height, width = shape[:2]
    codec = cv2.VideoWriter_fourcc(*CODECS[path.suffix.lower()])
    writer = cv2.VideoWriter(str(path), codec, rate, (width, height))
    if not writer.isOpened():
        raise UserError(f"OpenCV cannot write {width}x{height} video to {path.suffix}", "choose an .avi file")
    return writer
