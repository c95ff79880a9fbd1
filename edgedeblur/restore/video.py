"""Video frame by frame through OpenCV: size and frame rate are kept, audio is not; frames that are missing are told."""

import contextlib
import mmap
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edgedeblur.data.open_image import MAX_PIXELS, content_name
from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin, read_start
from edgedeblur.storage.files import atomic_path

CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
READABLE = (*CODECS, ".webm", ".mpg", ".mpeg", ".3gp", ".ts")

_COUNTED = (".mp4", ".m4v", ".mov", ".3gp", ".avi")  # containers whose header counts the frames; others are estimates

# A sound track's declaration in MP4/MOV (ISO 14496-12, hdlr box), AVI (strh chunk) and Matroska (CodecID element).
_AUDIO = re.compile(rb"hdlr.{8}soun|strh.{4}auds|\x86.A_[A-Z]", re.DOTALL)

Restore = Callable[[np.ndarray], np.ndarray]


def is_video(path: Path) -> bool:
    """Whether the suffix is that of a video container."""
    return path.suffix.lower() in READABLE


def deblur_video(
    source: Path, destination: Path, restore: Restore, frame_done: Callable[[int], None]
) -> tuple[list[str], str | None]:
    """Restore every frame.

    Args:
        source: a video that OpenCV's FFmpeg reads.
        destination: .mp4, .m4v, .mov, .mkv (MPEG-4) or .avi (Motion JPEG).
        restore: uint8 [H, W, 3] RGB to the same shape.
        frame_done: called with the number of finished frames.

    Returns:
        Notes for the user (dropped audio, no frame rate or a changing one), and which frames are not in the output.

    Raises:
        UserError: not a video, a container that cannot be written, no frame in it, or a disk that is full.
    """
    import cv2

    if destination.suffix.lower() not in CODECS:
        raise UserError(f"cannot write video {destination}: its suffix must be one of {', '.join(CODECS)}", exit_code=2)
    _refuse_text(source)
    notes = ["the audio track is not copied"] if has_audio(source) else []
    with _capture(source) as capture, atomic_path(destination) as temporary:
        rate = capture.get(cv2.CAP_PROP_FPS)
        if not 0 < rate < 1000:
            rate = 30.0
            notes.append("no frame rate recorded, 30 taken")
        declared = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if source.suffix.lower() in _COUNTED else 0
        writer, shape, good, odd, seconds = None, (), 0, 0, 0.0
        for frame in _frames(source, capture):
            seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
            if writer is None:
                writer, shape = _writer(source, temporary, rate, frame.shape), frame.shape
            if frame.shape != shape:  # which the writer would drop without a word
                odd += 1
                continue
            restored = restore(np.ascontiguousarray(frame[:, :, ::-1]))
            writer.write(np.ascontiguousarray(restored[:, :, ::-1]))
            good += 1
            frame_done(good)
        if writer is None:
            raise UserError(f"{source} has no frame that can be read")
        writer.release()
        _require_whole(temporary, good)
    if abs(seconds - (good + odd - 1) / rate) > 2 / rate:
        notes.append(f"its frames are not evenly spaced in time; in the output they are, {rate:g} a second")
    return notes, _missing(declared, good, odd)


def _missing(declared: int, good: int, odd: int) -> str | None:
    reasons = []
    if declared > good + odd:
        reasons.append(f"{declared - good - odd} of {declared} frames cannot be read")
    if odd:
        reasons.append(f"{odd} frames have another size than the first")
    return f"{' and '.join(reasons)}; they are missing in the output" if reasons else None


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


def _refuse_text(source: Path) -> None:
    """FFmpeg takes text for a playlist, and opens what it names."""
    start = read_start(source, 64, Origin(str(source)))
    if content_name(start) == "text":
        raise UserError(f"{source} is text, not a video", f"readable are {', '.join(READABLE)}")


def _frames(source: Path, capture) -> Iterator[np.ndarray]:
    import cv2

    width, height = (int(capture.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MAX_PIXELS:
        raise UserError(f"{source} has frames of {width}x{height} pixels; allowed are at most {MAX_PIXELS:,} pixels")
    while True:
        try:
            good, frame = capture.read()
        except cv2.error as error:
            raise UserError(f"{source} cannot be read as a video: {' '.join(str(error).split())[:200]}") from error
        if not good:
            return
        yield frame


def _writer(source: Path, path: Path, rate: float, shape: tuple[int, ...]):
    import cv2

    height, width = shape[:2]
    codec = cv2.VideoWriter_fourcc(*CODECS[path.suffix.lower()])
    writer = cv2.VideoWriter(str(path), codec, rate, (width, height))
    if not writer.isOpened():
        told = f"{source}: OpenCV cannot write its {width}x{height} pixels at {rate:g} frames a second to {path.suffix}"
        raise UserError(told, "choose an .avi file" if path.suffix.lower() != ".avi" else "choose an .mp4 file")
    return writer
