"""A folder's images, and why each other file in it is not restored."""

from pathlib import Path

from edgedeblur.data.images import list_images
from edgedeblur.restore.video.frames import is_video

# Suffixes of pictures that users have in folders of photographs.
_PICTURES = frozenset(
    (".heic", ".heif", ".hif", ".avif", ".gif", ".jxl", ".jp2", ".j2k", ".jfif", ".jpe", ".pgm", ".pbm", ".pnm", ".tga")
    + (".psd", ".exr", ".hdr", ".dds", ".svg", ".eps", ".pdf", ".apng", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw")
    + (".arw", ".srf", ".sr2", ".raf", ".orf", ".rw2", ".pef", ".srw", ".raw", ".3fr", ".iiq", ".x3f")
)

Reasons = list[tuple[Path, str]]


def images_and_others(folder: Path) -> tuple[list[Path], Reasons, Reasons]:
    """The images, the pictures and videos among the others, and what else there is; each other one with its reason.

    Hidden files belong to other programs and are not looked at.

    Raises:
        UserError: no image in the folder.
    """
    images = list_images(folder)
    known = set(images)
    missed, left_out = [], []
    for path in sorted(folder.iterdir()):
        if path in known or path.name.startswith("."):
            continue
        if path.is_dir():
            left_out.append((path, "a folder: give it by itself"))
        elif is_video(path):
            missed.append((path, "a video: give it by itself"))
        elif path.suffix.lower() in _PICTURES:
            missed.append((path, f"{path.suffix.lower()[1:].upper()} is not read; convert it to PNG, TIFF or JPEG"))
        elif not path.is_file():
            missed.append((path, "a link to nothing" if path.is_symlink() else "not a regular file"))
        else:
            left_out.append((path, "not a picture by its name"))
    return images, missed, left_out
