"""Restore an image, a folder of images or a video into files; what was not restored is listed at the end."""

import contextlib
import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.progress import Progress
from edgedeblur.restore.each_frame import FrameRestorer, gate_with_log
from edgedeblur.restore.encode import FORMATS, check_writable, write_photograph
from edgedeblur.restore.folder import images_and_others
from edgedeblur.restore.gate.gate import GateLimits
from edgedeblur.restore.open import Restorer
from edgedeblur.restore.photograph import in_kind, read_photograph
from edgedeblur.restore.regions.region import Region
from edgedeblur.restore.video.frames import deblur_video, is_video
from edgedeblur.storage.contents import Origin, require_regular
from edgedeblur.storage.files import write_bytes

_NO_MORE_WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class _NothingCanBeWritten(UserError):
    """A full disk, or a folder that cannot be written: the next file would fail like this one."""


@dataclass(frozen=True)
class DeblurOptions:
    """gate: None restores every frame. gate_log: the gate's lines; None for a name beside the output. region: what of
    each frame is restored; None: all of it. half_scale: share of a restoration at half the scale, 0 to 1."""

    gate: GateLimits | None = None
    gate_log: Path | None = None
    region: Region | None = None
    half_scale: float = 0.0


@dataclass
class DeblurResult:
    """written: output files. failed: (input, why). left_out: files that are no pictures by their names, and why. notes:
    (input, what of it is not kept). images, pixels, seconds: restored images or frames, and the time in the model.
    marked: how many of the pixels were in the region. gate, gate_log: what the gate found, in a sentence, and where its
    lines are; None without one."""

    written: list[Path] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[tuple[Path, str]] = field(default_factory=list)
    images: int = 0
    pixels: int = 0
    seconds: float = 0.0
    marked: int = 0
    gate: str | None = None
    gate_log: Path | None = None

    def timed(self, restore: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        """`restore`, counted in images, pixels and seconds."""

        def run(image: np.ndarray) -> np.ndarray:
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
    if not source.exists():
        raise UserError(f"no image, folder or video {source}", "check the path")
    if not source.is_dir():
        require_regular(source, Origin(str(source)))
        if destination.is_dir() or not destination.suffix:
            destination = destination / (source.name if is_video(source) else output_name(source.name))
    _refuse_same(source, destination)
    result = DeblurResult()
    with _frame_restorer(source, destination, restorer, options or DeblurOptions(), result) as restore:
        if source.is_dir():
            _deblur_folder(source, destination, restore, progress, result)
        elif is_video(source):
            notes, failure = deblur_video(source, destination, restore, lambda done: progress(source.name, done, None))
            result.notes += [(source, note) for note in notes]
            result.failed += [(source, failure)] if failure else []
            result.written.append(destination)
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
        mask = options.region(frame) if options.region else None
        result.marked += 0 if mask is None else np.count_nonzero(mask)
        return restorer.restore_region(frame, mask, options.half_scale)

    restore = result.timed(restore_region)
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
        f"(reading and writing not counted); {restorer.name} in {restorer.runs_in}"
    )


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
