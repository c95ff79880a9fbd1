"""A video restored with all that its container holds: parts of pictures, then one file with the other tracks.

Timestamps are the source's, so a variable frame rate stays one. An interrupted restoration keeps its finished parts.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgedeblur.errors import Terminated, UserError
from edgedeblur.restore.each_frame import FrameRestorer
from edgedeblur.restore.video.description import Description
from edgedeblur.restore.video.pace import Pace
from edgedeblur.restore.video.parts import FRAMES, Done, Parts
from edgedeblur.restore.video.pyav_decoder import streaming
from edgedeblur.restore.video.pyav_encoder import encoding_part
from edgedeblur.restore.video.pyav_mux import join
from edgedeblur.storage.digests import stamp
from edgedeblur.storage.files import atomic_path
from edgedeblur.storage.locks import lock_of_file, locked

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
_FORMAT = "1"  # of the parts
_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273

FrameDone = Callable[[int, int | None], None]
Timed = tuple[int, np.ndarray, int]  # number, pixels, ticks


@dataclass
class VideoResult:
    """notes: what is not kept. failure: which frames are not in the output. frames: restored or passed in this run;
    resumed: that an earlier run had finished; dropped: in real time."""

    notes: list[str] = field(default_factory=list)
    failure: str | None = None
    frames: int = 0
    resumed: int = 0
    dropped: int = 0


def restore_stream(
    source: Path, destination: Path, restore: FrameRestorer, frame_done: FrameDone, made_with: str, realtime: bool
) -> VideoResult:
    """Restore a video through PyAV.

    Args:
        source: a video that PyAV's FFmpeg reads.
        destination: .mp4, .m4v, .mov or .mkv.
        restore: what is done with a frame, uint8 [H, W, 3] RGB, upright.
        frame_done: called with the number of finished frames, and of all where it is known.
        made_with: everything beside the source that the pixels depend on; finished parts of another run are taken where
            it is the same.
        realtime: frames come at their times and are dropped when they are late; nothing is kept of an interrupted run.

    Raises:
        UserError: not a video, one that crashes its decoder or encoder, a size that cannot be written, no frame in it,
            a disk that is full, or another process that writes this output.
    """
    described = f"{_FORMAT} {stamp(source)} {made_with} {realtime}"
    with locked(lock_of_file(destination), destination, "name another output"):
        return _restore_in_parts(source, destination, restore, frame_done, described, realtime)


def _restore_in_parts(
    source: Path, destination: Path, restore: FrameRestorer, frame_done: FrameDone, described: str, realtime: bool
) -> VideoResult:
    parts = Parts(destination, hashlib.sha256(described.encode()).hexdigest(), fresh=realtime)
    try:
        result = _StreamRun(source, destination, restore, frame_done, parts, Pace() if realtime else None).run()
    except BaseException as error:
        if realtime or not parts.done or not _may_be_resumed(error):
            parts.remove()
        raise
    parts.remove()
    return result


def _may_be_resumed(error: BaseException) -> bool:
    """An interruption or a full disk; not what would happen again."""
    return isinstance(error, KeyboardInterrupt | Terminated) or isinstance(error.__cause__, OSError)


@dataclass
class _StreamRun:
    source: Path
    destination: Path
    restore: FrameRestorer
    frame_done: FrameDone
    parts: Parts
    pace: Pace | None
    result: VideoResult = field(default_factory=VideoResult)
    odd: int = 0
    read: int = 0  # number of the last frame that came, and one

    def run(self) -> VideoResult:
        finished = sum(done.frames for done in self.parts.done)
        self.result.resumed = sum(done.written for done in self.parts.done)
        self.read = finished
        with streaming(self.source, max(finished - 1, 0)) as stream:
            described = stream.description
            frames = stream.frames()
            if finished:
                self._resume(next(frames, None), described)
            if self.pace:
                frames = self.pace.live(frames, lambda timed: float(timed[2] * described.seconds_per_tick))
            self.parts.begin()
            self._write_parts(self._fitting(frames, described), described)
        if not self.parts.done:
            raise UserError(f"{self.source} has no frame that can be read")
        pictures = [self.parts.pictures(index) for index in range(len(self.parts.done))]
        self.result.notes += _notes(described)
        with atomic_path(self.destination) as temporary:
            self.result.notes += join(self.source, pictures, temporary, described)
        self.result.dropped = self.pace.dropped if self.pace else 0
        self.result.failure = missing_frames(described.declared, self.read - self.odd, self.odd)
        return self.result

    def _resume(self, last: Timed | None, described: Description) -> None:
        """The gate's counts and lines of finished parts, and the frame that the next one is compared with."""
        gate = self.restore.gate
        if gate is None:
            return
        for index in range(len(self.parts.done)):
            gate.resume(self.parts.lines(index))
        if last is not None:
            gate.look_at(np.rot90(last[1], described.turns))

    def _fitting(self, frames: Iterable[Timed], described: Description) -> Iterator[Timed]:
        """Frames of the first one's size; the others are counted."""
        for timed in frames:
            self.read = timed[0] + 1
            if timed[1].shape[:2] == (described.height, described.width):
                yield timed
            else:
                self.odd += 1

    def _write_parts(self, frames: Iterator[Timed], described: Description) -> None:
        limit = None if self.pace else FRAMES  # the pause between two parts would drop frames
        while (first := next(frames, None)) is not None:
            begun = sum(done.frames for done in self.parts.done)
            gate = self.restore.gate
            if gate is not None:
                gate.begin_part()
            written = 0
            with (
                atomic_path(self.parts.pictures(len(self.parts.done))) as temporary,
                encoding_part(self.source, temporary, described) as write,
            ):
                for timed in _chained(first, frames, limit):
                    write(self._restored(timed, described), timed[2])
                    written += 1
            lines = gate.part_lines if gate is not None else []
            self.parts.finish(Done(self.read - begun, written), lines)

    def _restored(self, timed: Timed, described: Description) -> np.ndarray:
        """As it lies in the file; what is restored is upright."""
        number, frame, ticks = timed
        place = {"source": self.source.name, "frame": number}
        place["seconds"] = round(float(ticks * described.seconds_per_tick), 6)
        upright = np.ascontiguousarray(np.rot90(frame, described.turns))
        restored, _ = self.restore(upright, place)
        self.result.frames += 1
        total = described.declared or described.expected or None
        self.frame_done(self.result.resumed + self.result.frames, total)
        return np.rot90(restored, -described.turns)


def missing_frames(declared: int, good: int, odd: int) -> str | None:
    """Which frames are not in the output; None for none. odd: that have another size."""
    reasons = []
    if declared > good + odd:
        reasons.append(f"{declared - good - odd} of {declared} frames cannot be read")
    if odd:
        reasons.append(f"{odd} frames have another size than the first")
    return f"{' and '.join(reasons)}; they are missing in the output" if reasons else None


def cut_note(height: int, width: int) -> list[str]:
    """What of odd sides is not written."""
    if height % 2 == 0 and width % 2 == 0:
        return []
    kept = f"{width // 2 * 2}x{height // 2 * 2}"
    return [f"of its {width}x{height} pixels {kept} are written: the codec takes even sides"]


def _notes(described: Description) -> list[str]:
    notes = cut_note(described.height, described.width)
    if described.bits > 8:
        notes.append(f"it has {described.bits} bits a sample: written with 8")
    if described.transfer in _HDR:
        notes.append(f"its light is coded as {_HDR[described.transfer]} (HDR), which the network was not trained on")
    return notes


def _chained(first: Timed, frames: Iterator[Timed], limit: int | None) -> Iterator[Timed]:
    """The first and those behind it, at most `limit` together."""
    yield first
    count = 1
    while (limit is None or count < limit) and (following := next(frames, None)) is not None:
        yield following
        count += 1
