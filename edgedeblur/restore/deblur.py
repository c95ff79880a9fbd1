"""Restore an image, a folder of images or a video into files; unreadable ones are listed at the end."""

from dataclasses import dataclass, field
from pathlib import Path

from edgedeblur.data.images import list_images, read_image, writable_name, write_image
from edgedeblur.errors import UserError
from edgedeblur.progress import Progress
from edgedeblur.restore.open import Restorer
from edgedeblur.restore.video import deblur_video, is_video
from edgedeblur.storage.contents import Origin, require_regular


@dataclass(frozen=True)
class DeblurResult:
    """written: output files. failed: (input, why). notes: what the user should know, such as dropped audio."""

    written: list[Path] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def deblur(source: Path, destination: Path, restorer: Restorer, progress: Progress) -> DeblurResult:
    """Restore `source` into `destination`.

    Args:
        source: an image, a video or a folder of images.
        destination: for a folder: a folder, where outputs keep the names of the inputs. For a file: a file, or a
            folder (an existing one, or a name without suffix) that gets a file of the same name.
        restorer: the model.
        progress: called after each image or frame.

    Raises:
        UserError: no such input, an output that is the input, no image in the folder, a single file that is unreadable.
    """
    if not source.exists():
        raise UserError(f"no image, folder or video {source}", "check the path")
    if source.is_dir():
        return _deblur_folder(source, destination, restorer, progress)
    require_regular(source, Origin(str(source)))
    if destination.is_dir() or not destination.suffix:
        destination = destination / writable_name(source.name)
    _refuse_same(source, destination)
    if is_video(source):
        notes = deblur_video(source, destination, restorer.restore, lambda frames: progress(source.name, frames, None))
        return DeblurResult([destination], notes=notes)
    write_image(destination, restorer.restore(read_image(source)))
    progress(source.name, 1, 1)
    return DeblurResult([destination])


def _deblur_folder(source: Path, destination: Path, restorer: Restorer, progress: Progress) -> DeblurResult:
    if destination.exists() and not destination.is_dir():
        raise UserError(f"{source} is a folder, {destination} is a file", "give a folder for the output", exit_code=2)
    _refuse_same(source, destination)
    images = list_images(source)
    result = DeblurResult()
    for index, path in enumerate(images, start=1):
        target = destination / writable_name(path.name)
        try:
            image = read_image(path)
        except UserError as error:
            result.failed.append((path, error.message))
        else:
            _refuse_same(path, target)
            write_image(target, restorer.restore(image))
            result.written.append(target)
        progress(path.name, index, len(images))
    return result


def _refuse_same(source: Path, destination: Path) -> None:
    """An input is never overwritten: not under its own name, nor through a link to it."""
    same = source.resolve() == destination.resolve()
    if same or (destination.exists() and source.samefile(destination)):
        raise UserError(f"the output {destination} is the input itself", "choose another output", exit_code=2)
