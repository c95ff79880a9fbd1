"""A photograph and a model to the page on which the restoration is corrected by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.report.view.page import View, check_size, write_view
from edgedeblur.restore.half_scale import restore_at_half_scale
from edgedeblur.restore.open import Restorer
from edgedeblur.restore.photograph import Photograph, in_kind, read_photograph
from edgedeblur.restore.video.frames import is_video

SUFFIXES = (".html", ".htm")


def view_step(source: Path, output: Path, restorer: Restorer, command: tuple[str, ...]) -> None:
    """Restore a photograph at full and at half scale, and write the page.

    Args:
        source: an image; 16 bits and transparency are not shown.
        output: the page, .html or .htm.
        command: words of a command that restores the photograph, for the page.

    Raises:
        UserError: no image, a folder or a video, another suffix, or more pixels than a page takes.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise UserError(f"the page {output} must end in {' or '.join(SUFFIXES)}", exit_code=2)
    if source.is_dir() or is_video(source):
        raise UserError(f"{source} is a {'folder' if source.is_dir() else 'video'}", "give one picture", exit_code=2)
    photograph = read_photograph(source)
    check_size(*photograph.rgb.shape[:2])
    full = restorer.restore(photograph.rgb)
    half = restore_at_half_scale(photograph.rgb, restorer.restore)
    shown = [_shown(photograph, pixels) for pixels in (photograph.rgb, full, half)]
    model = f"{restorer.name} ({restorer.kind})"
    write_view(View(source.name, command, model, *shown, icc=_rgb_profile(photograph)), output)


def deblur_command(source: Path, options: list[str]) -> tuple[str, ...]:
    """Words of the `deblur` command with the same options, into a file beside the picture."""
    return ("edgedeblur", "deblur", str(source), str(source.with_name(f"{source.stem}-restored.png")), *options)


def _shown(photograph: Photograph, pixels: np.ndarray) -> np.ndarray:
    """As `deblur` writes it at 8 bits, but RGB: grey stays without a tint."""
    kept = in_kind(replace(photograph, deep=None), pixels)
    return np.repeat(kept[..., None], 3, axis=2) if kept.ndim == 2 else kept


def _rgb_profile(photograph: Photograph) -> bytes:
    """A profile of grey is not one of what is shown."""
    return b"" if photograph.grey else photograph.properties.icc
