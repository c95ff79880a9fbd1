"""A page that needs no other file and no network: before and after, brush, and export of the mask."""

import base64
import io
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from edgedeblur.errors import UserError
from edgedeblur.storage.files import write_text

MAX_PIXELS = 4096 * 4096  # what browsers on phones take as one canvas
_MAX_SIDE = 16383  # of WebP
_QUALITY = 95
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class View:
    """What is shown.

    name: of the picture's file. command: words of a command that restores it, to which the page adds the mask.
    model: what restored it. before, full, half: uint8 [H, W, 3] RGB: the picture, restored at full scale and at half.
    icc: their colour profile; empty for sRGB. network_script, network_data: of a network by which the page restores
    by itself (`export.web`), and the picture, which is then stored without loss; empty for a page without.
    """

    name: str
    command: tuple[str, ...]
    model: str
    before: np.ndarray
    full: np.ndarray
    half: np.ndarray
    icc: bytes = b""
    network_script: str = ""
    network_data: str = ""


def check_size(height: int, width: int) -> None:
    """Raises UserError for a picture that is too large for a page."""
    if height * width > MAX_PIXELS or max(height, width) > _MAX_SIDE:
        raise UserError(
            f"the picture has {width}x{height} pixels; a page takes at most {MAX_PIXELS:,} and {_MAX_SIDE:,} a side",
            "reduce the picture for the page: its mask fits the large one too, as a mask may have any scale",
            exit_code=2,
        )


def write_view(view: View, destination: Path) -> None:
    """Write the page.

    Raises:
        UserError: the file cannot be written, or as `check_size`.
    """
    import jinja2

    height, width = view.before.shape[:2]
    check_size(height, width)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((_HERE / "view.html.j2").read_text())
    page = template.render(
        view=view,
        width=width,
        height=height,
        pictures={
            "before": _data_url(view.before, view.icc, lossless=bool(view.network_script)),
            **{name: _data_url(getattr(view, name), view.icc) for name in ("full", "half")},
        },
        facts={
            "name": Path(view.name).stem,
            "command": " ".join(map(shlex.quote, view.command)),
            "words": view.command,
        },
        script=(_HERE / "view.js").read_text(),
        in_page=(_HERE / "in_page.js").read_text(),
    )
    write_text(destination, page + "\n")


def _data_url(pixels: np.ndarray, icc: bytes, lossless: bool = False) -> str:
    file = io.BytesIO()
    profile = {"icc_profile": icc} if icc else {}
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        file, "WEBP", quality=_QUALITY, method=2, lossless=lossless, **profile
    )
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
