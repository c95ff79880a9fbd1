"""A video restored: through PyAV with everything that it holds, else through OpenCV; what is missing is told."""

import itertools
import mmap
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.restore.each_frame import FrameRestorer
from edgedeblur.restore.video import pyav_encoder
from edgedeblur.restore.video.decoder import READABLE, decoding
from edgedeblur.restore.video.encoder import CODECS, encoding
from edgedeblur.restore.video.pace import Pace
from edgedeblur.restore.video.stream import SUFFIXES, VideoResult, cut_note, missing_frames, restore_stream
from edgedeblur.storage.files import atomic_path

# A sound track's declaration in MP4/MOV (ISO 14496-12, hdlr box), AVI (strh chunk) and Matroska (CodecID element).
_AUDIO = re.compile(rb"hdlr.{8}soun|strh.{4}auds|\x86.A_[A-Z]", re.DOTALL)


@dataclass(frozen=True)
class VideoOptions:
    """made_with: everything beside the source that the pixels depend on. realtime: frames are dropped when they are
    late."""

    made_with: str = ""
    realtime: bool = False


def is_video(path: Path) -> bool:
    """Whether the suffix is that of a video container."""
    return path.suffix.lower() in READABLE


def through_pyav(destination: Path) -> bool:
    """Whether PyAV writes this output: it is there, and the container is one that keeps what it reads."""
    return destination.suffix.lower() in SUFFIXES and pyav_encoder.can_encode()


def deblur_video(
    source: Path,
    destination: Path,
    restore: FrameRestorer,
    frame_done: Callable[[int, int | None], None],
    options: VideoOptions | None = None,
) -> VideoResult:
    """Restore every frame.

    Args:
        source: a video that FFmpeg reads.
        destination: .mp4, .m4v, .mov, .mkv (H.264 or HEVC with PyAV, else MPEG-4) or .avi (Motion JPEG, by OpenCV).
        restore: what is done with a frame.
        frame_done: called with the number of finished frames, and of all where it is known.
        options: None for the defaults.

    Raises:
        UserError: not a video, one that crashes its decoder, a container or size that cannot be written, no frame in
            it, or a disk that is full.
    """
    options = options or VideoOptions()
    if destination.suffix.lower() not in CODECS:
        raise UserError(f"cannot write video {destination}: its suffix must be one of {', '.join(CODECS)}", exit_code=2)
    if through_pyav(destination):
        return restore_stream(source, destination, restore, frame_done, options.made_with, options.realtime)
    return _through_opencv(source, destination, restore, frame_done, Pace() if options.realtime else None)


def _through_opencv(
    source: Path,
    destination: Path,
    restore: FrameRestorer,
    frame_done: Callable[[int, int | None], None],
    pace: Pace | None,
) -> VideoResult:
    result = VideoResult()
    with decoding(source) as video, atomic_path(destination) as temporary:
        frames = video.frames()
        if pace:
            frames = pace.live(frames, lambda timed: timed[1])
        first = next(iter(frames), None)
        if first is None:
            raise UserError(f"{source} has no frame that can be read")
        rate, shape = video.rate or 30.0, first[0].shape
        odd, seconds = 0, 0.0
        with encoding(source, temporary, rate, *shape[:2]) as write:
            for frame, at in itertools.chain([first], frames):
                seconds = at
                if frame.shape != shape:  # of another size than the file's
                    odd += 1
                    continue
                place = {"source": source.name, "frame": result.frames + odd, "seconds": round(at, 6)}
                write(restore(np.ascontiguousarray(frame[:, :, ::-1]), place)[0][:, :, ::-1])
                result.frames += 1
                frame_done(result.frames, video.declared or None)
    result.dropped = pace.dropped if pace else 0
    steady = abs(seconds - (result.frames + odd - 1) / rate) <= 2 / rate
    result.notes = _notes(source, destination, video.rate, shape, steady)
    result.failure = missing_frames(video.declared, result.frames + result.dropped, odd)
    return result


def _notes(source: Path, destination: Path, rate: float | None, shape: tuple[int, ...], steady: bool) -> list[str]:
    """What of the video is not kept. rate: None for none. steady: whether its frames are evenly spaced."""
    notes = []
    if has_audio(source):
        keeps = "an .mp4 or .mkv file keeps it" if destination.suffix.lower() not in SUFFIXES else ""
        notes.append(f"the audio track is not copied; {keeps or 'PyAV does it: pip install edgedeblur[video]'}")
    if rate is None:
        notes.append("no frame rate recorded, 30 taken")
    notes += cut_note(*shape[:2])
    if not steady:
        notes.append(f"its frames are not evenly spaced in time; in the output they are, {rate or 30.0:g} a second")
    return notes


def has_audio(path: Path) -> bool:
    """Whether the container declares a sound track."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _AUDIO.search(content) is not None
