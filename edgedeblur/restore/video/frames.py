"""Video frame by frame through OpenCV: frame rate and even sizes are kept, audio is not; what is missing is told."""

import itertools
import mmap
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.restore.video.decoder import READABLE, decoding
from edgedeblur.restore.video.encoder import CODECS, encoding
from edgedeblur.storage.files import atomic_path

# A sound track's declaration in MP4/MOV (ISO 14496-12, hdlr box), AVI (strh chunk) and Matroska (CodecID element).
_AUDIO = re.compile(rb"hdlr.{8}soun|strh.{4}auds|\x86.A_[A-Z]", re.DOTALL)

Restore = Callable[[np.ndarray, dict], tuple[np.ndarray, object]]


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
        restore: uint8 [H, W, 3] RGB, and its source, frame number and seconds, to the same shape and anything else.
        frame_done: called with the number of finished frames.

    Returns:
        Notes for the user (dropped audio, an odd row or column, no frame rate or a changing one), and which frames are
        not in the output.

    Raises:
        UserError: not a video, one that crashes its decoder, a container or size that cannot be written, no frame in
            it, or a disk that is full.
    """
    if destination.suffix.lower() not in CODECS:
        raise UserError(f"cannot write video {destination}: its suffix must be one of {', '.join(CODECS)}", exit_code=2)
    with decoding(source) as video, atomic_path(destination) as temporary:
        frames = video.frames()
        first = next(frames, None)
        if first is None:
            raise UserError(f"{source} has no frame that can be read")
        rate, shape = video.rate or 30.0, first[0].shape
        good, odd, seconds = 0, 0, 0.0
        with encoding(source, temporary, rate, *shape[:2]) as write:
            for frame, at in itertools.chain([first], frames):
                seconds = at
                if frame.shape != shape:  # of another size than the file's
                    odd += 1
                    continue
                place = {"source": source.name, "frame": good + odd, "seconds": round(at, 6)}
                write(restore(np.ascontiguousarray(frame[:, :, ::-1]), place)[0][:, :, ::-1])
                good += 1
                frame_done(good)
    steady = abs(seconds - (good + odd - 1) / rate) <= 2 / rate
    return _notes(source, video.rate, shape, steady), _missing(video.declared, good, odd)


def _notes(source: Path, rate: float | None, shape: tuple[int, ...], steady: bool) -> list[str]:
    """What of the video is not kept. rate: None for none. steady: whether its frames are evenly spaced."""
    notes = ["the audio track is not copied"] if has_audio(source) else []
    if rate is None:
        notes.append("no frame rate recorded, 30 taken")
    height, width = shape[:2]
    if height % 2 or width % 2:
        kept = f"{width // 2 * 2}x{height // 2 * 2}"
        notes.append(f"of its {width}x{height} pixels {kept} are written: the codec takes even sides")
    if not steady:
        notes.append(f"its frames are not evenly spaced in time; in the output they are, {rate or 30.0:g} a second")
    return notes


def _missing(declared: int, good: int, odd: int) -> str | None:
    reasons = []
    if declared > good + odd:
        reasons.append(f"{declared - good - odd} of {declared} frames cannot be read")
    if odd:
        reasons.append(f"{odd} frames have another size than the first")
    return f"{' and '.join(reasons)}; they are missing in the output" if reasons else None


def has_audio(path: Path) -> bool:
    """Whether the container declares a sound track."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _AUDIO.search(content) is not None
