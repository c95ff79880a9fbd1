"""Restore an image, a folder of images or a video into files; what was not restored is listed at the end."""

import contextlib
import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import edgedeblur
from edgedeblur.errors import UserError
from edgedeblur.progress import Progress
from edgedeblur.restore.each_frame import FrameRestorer, gate_with_log
from edgedeblur.restore.encode import FORMATS, check_writable, write_photograph
from edgedeblur.restore.folder import images_and_others
from edgedeblur.restore.gate.gate import GateLimits
from edgedeblur.restore.open import Restorer
from edgedeblur.restore.photograph import in_kind, read_photograph
from edgedeblur.restore.regions.region import Region
from edgedeblur.restore.video.frames import VideoOptions, deblur_video, is_video
from edgedeblur.restore.video.parts import has_parts
from edgedeblur.restore.video.stream import VideoResult
from edgedeblur.storage.contents import Origin, require_regular
from edgedeblur.storage.files import write_bytes

_LONG_SECONDS = 60.0  # in the model, after which a word is worth it
_FRAMES_AT_LEAST = 10  # of a video, before its length is known
_NO_MORE_WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class _NothingCanBeWritten(UserError):
    """A full disk, or a folder that cannot be written: the next file would fail like this one."""


@dataclass(frozen=True)
class DeblurOptions:
    """gate: None restores every frame. gate_log: the gate's lines; None for a name beside the output. region: what of
    each frame is restored; None: all of it. half_scale: share of a restoration at half the scale, 0 to 1.
    realtime: a video's frames come at their times."""

    gate: GateLimits | None = None
    gate_log: Path | None = None
    region: Region | None = None
    half_scale: float = 0.0
    realtime: bool = False


@dataclass
class DeblurResult:
    """written: output files. failed: (input, why). left_out: files that are no pictures by their names, and why. notes:
    (input, what of it is not kept). images, pixels, seconds: restored images or frames, and the time in the model.
    to_come: as many as are known to be left. marked: how many of the pixels were in the region. gate, gate_log: what
    the gate found, in a sentence, and where its lines are; None without one. video: how fast a video was, in a
    sentence."""

    written: list[Path] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[tuple[Path, str]] = field(default_factory=list)
    images: int = 0
    pixels: int = 0
    seconds: float = 0.0
    to_come: int = 1
    marked: int = 0
    gate: str | None = None
    gate_log: Path | None = None
    video: str | None = None

    def timed(
        self, restore: Callable[[np.ndarray], np.ndarray], load_for: Callable[[np.ndarray, int], None]
    ) -> Callable[[np.ndarray], np.ndarray]:
        """`restore`, counted in images, pixels and seconds; `load_for`, called before, is not."""

        def run(image: np.ndarray) -> np.ndarray:
            load_for(image, self.to_come)
            start = time.perf_counter()
            restored = restore(image)
            self.seconds += time.perf_counter() - start
            self.images += 1
            self.pixels += image.shape[0] * image.shape[1]
            return restored

        return run


def deblur(
    source: Path, destination: Path, restorer: Restorer, progress: Progress, options: DeblurOptions | None = None
) -> DeblurResult:
    """Restore `source` into `destination`.

    Args:
        source: an image, a video or a folder of images.
        destination: for a folder: a folder, where outputs keep the names of the inputs (JPEG for a format that is only
            read). For a file: a file, or a folder (an existing one, or a name without suffix) that gets a file of the
            same name.
        restorer: the model.
        progress: called after each image or frame.
        options: None for the defaults.

    Raises:
        UserError: no such input, an output that is the input, no image in the folder, a single file that is unreadable.
    """
    options = options or DeblurOptions()
    if not source.exists():
        raise UserError(f"no image, folder or video {source}", "check the path")
    if options.realtime and (source.is_dir() or not is_video(source)):
        raise UserError(f"--realtime is for videos; {source} has no times", "leave it out", exit_code=2)
    if not source.is_dir():
        require_regular(source, Origin(str(source)))
        destination = _output_file(source, destination)
    _refuse_same(source, destination)
    result = DeblurResult()
    with _frame_restorer(source, destination, restorer, options, result) as restore:
        if source.is_dir():
            _deblur_folder(source, destination, restore, progress, result)
        elif is_video(source):
            _deblur_video(source, destination, restore, progress, options, restorer, result)
        else:
            check_writable(destination)
            _deblur_image(source, destination, restore, 0, result)
            progress(source.name, 1, 1)
    return result


@contextlib.contextmanager
def _frame_restorer(
    source: Path, destination: Path, restorer: Restorer, options: DeblurOptions, result: DeblurResult
) -> Iterator[FrameRestorer]:
    """What the options ask for; the result learns what the gate found."""

    def restore_region(frame: np.ndarray) -> np.ndarray:
        mask = options.region.mask_of(frame) if options.region else None
        result.marked += 0 if mask is None else np.count_nonzero(mask)
        return restorer.restore_region(frame, mask, options.half_scale)

    restore = result.timed(restore_region, restorer.load_for)
    if options.gate is None:
        yield FrameRestorer(restore)
        return
    beside = destination / "gate.jsonl" if source.is_dir() else destination.with_name(f"{destination.name}.gate.jsonl")
    log = options.gate_log or beside
    if not source.is_dir():
        _refuse_same(source, log)
    if destination.resolve() == log.resolve():
        raise UserError(f"the gate's log and the output have one name, {log}", "choose another --gate-log", exit_code=2)
    with gate_with_log(options.gate, log) as gate:
        yield FrameRestorer(restore, gate)
    result.gate, result.gate_log = gate.sentence(), log


def grouped(listed: list[tuple[Path, str]]) -> Iterator[str]:
    """A line for each text: the first file that it is about, how many more, and the text."""
    for text in dict.fromkeys(text for _, text in listed):
        first, *others = [path for path, other in listed if other == text]
        yield f"{first}{f' and {len(others)} more' if others else ''}: {text}"


def speed_sentence(result: DeblurResult, restorer: Restorer) -> str:
    """How fast which model was, and what computed it."""
    megapixels, images = result.pixels / 1e6, max(result.images, 1)
    seconds = max(result.seconds, 1e-9)
    return (
        f"{result.images} images, {megapixels:,.2f} megapixels in {result.seconds:,.1f} s: "
        f"{megapixels / seconds:,.2f} megapixels/s, {1e3 * seconds / images:,.0f} ms per image "
        f"(reading and writing not counted); {restorer.name} in {restorer.what_ran()}"
    )


def closing_lines(result: DeblurResult, restorer: Restorer, options: DeblurOptions) -> list[str]:
    """What was done and how fast, in a line each."""
    lines = [speed_sentence(result, restorer)] if result.images else []
    slow = restorer.engine and restorer.engine.slow_size()
    if slow and result.seconds > _LONG_SECONDS:
        size = "x".join(map(str, slow))
        command = f"edgedeblur compile {restorer.path} --size {size}"
        lines.append(
            f"note: most of it ran in pieces of {size}; compiled, these take a fraction of the time: {command}"
        )
    lines += [result.video] if result.video else []
    lines += [region_sentence(result)] if options.region and result.images else []
    return [*lines, f"{result.gate}; log: {result.gate_log}"] if result.gate else lines


def kept_parts(source: Path, destination: Path) -> bool:
    """Whether an interrupted restoration of a video left parts from which the same command goes on."""
    return source.is_file() and is_video(source) and has_parts(_output_file(source, destination))


def _output_file(source: Path, destination: Path) -> Path:
    if destination.is_dir() or not destination.suffix:
        return destination / (source.name if is_video(source) else output_name(source.name))
    return destination


def _deblur_video(
    source: Path,
    destination: Path,
    restore: FrameRestorer,
    progress: Progress,
    options: DeblurOptions,
    restorer: Restorer,
    result: DeblurResult,
) -> None:
    def frame_done(done: int, total: int | None) -> None:
        result.to_come = total - done if total else _FRAMES_AT_LEAST
        progress(source.name, done, total)

    start, result.to_come = time.perf_counter(), _FRAMES_AT_LEAST
    chosen = VideoOptions(_made_with(restorer, options), options.realtime)
    video = deblur_video(source, destination, restore, frame_done, chosen)
    result.notes += [(source, note) for note in video.notes]
    result.failed += [(source, video.failure)] if video.failure else []
    result.written.append(destination)
    result.video = video_sentence(video, time.perf_counter() - start)


def video_sentence(video: VideoResult, seconds: float) -> str:
    """How fast a video was with decoding and encoding, and what was not restored in this run."""
    resumed = f"; {video.resumed} more were restored before" if video.resumed else ""
    late = f"; {video.dropped} of {video.dropped + video.frames} were late and dropped" if video.dropped else ""
    rate = video.frames / max(seconds, 1e-9)
    return f"{video.frames} frames, {rate:,.2f} frames a second with decoding and encoding{resumed}{late}"


def _made_with(restorer: Restorer, options: DeblurOptions) -> str:
    """What a video's pixels depend on, beside the video."""
    model = (restorer.kind, restorer.sha256, restorer.multiple, restorer.fixed_size, restorer.notes)
    region = options.region and options.region.name
    return repr((edgedeblur.__version__, model, options.gate, region, options.half_scale))


def region_sentence(result: DeblurResult) -> str:
    """How much of the restored images was in the region."""
    return f"region: {result.marked / max(result.pixels, 1):.0%} of the pixels of {result.images} images"


def _deblur_image(source: Path, destination: Path, restore: FrameRestorer, number: int, result: DeblurResult) -> None:
    photograph = read_photograph(source)
    restored, action = restore(photograph.rgb, {"source": source.name, "frame": number, "seconds": None})
    untouched = action == "passed" and source.suffix.lower() == destination.suffix.lower()
    try:
        if untouched:  # also as JPEG, which would lose a little once more
            write_bytes(destination, source.read_bytes())
            result.written.append(destination)
            return
        samples = in_kind(photograph, restored)
        notes = write_photograph(destination, samples, photograph.alpha, photograph.properties)
    except UserError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_MORE_WRITES:
            raise _NothingCanBeWritten(error.message, error.fix, error.exit_code) from error
        raise
    result.notes += [(source, note) for note in (*photograph.notes, *notes)]
    result.written.append(destination)


def _deblur_folder(
    source: Path, destination: Path, restore: FrameRestorer, progress: Progress, result: DeblurResult
) -> None:
    if destination.exists() and not destination.is_dir():
        raise UserError(f"{source} is a folder, {destination} is a file", "give a folder for the output", exit_code=2)
    images, missed, result.left_out = images_and_others(source)
    result.failed += missed
    for index, path in enumerate(images):
        result.to_come = len(images) - index
        target = destination / output_name(path.name)
        try:
            _refuse_same(path, target)
            _deblur_image(path, target, restore, index, result)
        except Exception as error:  # a decoder may raise anything, and one picture does not end a folder
            result.failed.append((path, _reason(error)))
            if isinstance(error, _NothingCanBeWritten):
                result.failed += [(rest, "not tried: the output cannot be written") for rest in images[index + 1 :]]
                break
        progress(path.name, index + 1, len(images))


def _reason(error: Exception) -> str:
    if isinstance(error, UserError):
        return error.message
    if isinstance(error, MemoryError):
        return "out of memory"
    return f"{type(error).__name__}: {error}"


def output_name(name: str) -> str:
    """An output's name for an input's: the same where the format is written, else with .jpg behind it, so that `a.heic`
    and `a.jpg` in one folder get two outputs."""
    return name if Path(name).suffix.lower() in FORMATS else f"{name}.jpg"


def _refuse_same(source: Path, destination: Path) -> None:
    """An input is never overwritten: not under its own name, nor through a link to it."""
    same = source.resolve() == destination.resolve()
    if same or (destination.exists() and source.samefile(destination)):
        raise UserError(f"the output {destination} is the input itself", "choose another output", exit_code=2)
