"""A photograph and a model to the page on which the restoration is corrected by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from edgedeblur.artefact.folder import load_artefact
from edgedeblur.errors import UserError
from edgedeblur.quantize.edq import load_edq
from edgedeblur.report.view.page import View, check_size, write_view
from edgedeblur.restore.half_scale import restore_at_half_scale
from edgedeblur.restore.open import Restorer
from edgedeblur.restore.photograph import Photograph, in_kind, read_photograph
from edgedeblur.restore.video.frames import is_video

SUFFIXES = (".html", ".htm")
TILE = (512, 512)  # of a page that restores by itself


def view_step(
    source: Path, output: Path, restorer: Restorer, command: tuple[str, ...], in_page: tuple[int, int] | None = None
) -> None:
    """Restore a photograph at full and at half scale, and write the page.

    Args:
        source: an image; 16 bits and transparency are not shown.
        output: the page, .html or .htm.
        command: words of a command that restores the photograph, for the page.
        in_page: (height, width) of the tiles in which the page restores pictures by itself; None: it does not.

    Raises:
        UserError: no image, a folder or a video, another suffix, or more pixels than a page takes; of `in_page`, a
            model that is no int8 network.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise UserError(f"the page {output} must end in {' or '.join(SUFFIXES)}", exit_code=2)
    if source.is_dir() or is_video(source):
        raise UserError(f"{source} is a {'folder' if source.is_dir() else 'video'}", "give one picture", exit_code=2)
    photograph = read_photograph(source)
    check_size(*photograph.rgb.shape[:2])
    network = {} if in_page is None else _network_for_page(restorer, in_page)
    full = restorer.restore(photograph.rgb)
    half = restore_at_half_scale(photograph.rgb, restorer.restore)
    shown = [_shown(photograph, pixels) for pixels in (photograph.rgb, full, half)]
    model = f"{restorer.name} ({restorer.kind})"
    write_view(View(source.name, command, model, *shown, icc=_rgb_profile(photograph), **network), output)


def _network_for_page(restorer: Restorer, size: tuple[int, int]) -> dict[str, str]:
    """The fields of a View."""
    if restorer.kind not in ("quantised", "artefact"):
        raise UserError(
            f"{restorer.path} is a {restorer.kind}; a page restores with an int8 network",
            "name one with -m, or make it: edgedeblur quantize",
            exit_code=2,
        )
    from edgedeblur.export.web.page import embedded_network  # loads TVM

    path = restorer.path
    network = load_artefact(path).network() if restorer.kind == "artefact" else load_edq(path)
    made = embedded_network(network, *size)
    return {"network_script": made.script, "network_data": made.data}


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
