"""Tables on stdout; not cut to 80 columns where there is no terminal."""

import json
import sys
from pathlib import Path

from rich.console import Console, RenderableType

from edgedeblur.files import write_text

_WIDTH_WITHOUT_TERMINAL = 160


def show(*renderables: RenderableType) -> None:
    """Print tables and text to stdout."""
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console = Console(file=sys.stdout, highlight=False, width=_WIDTH_WITHOUT_TERMINAL)
    for renderable in renderables:
        console.print(renderable)


def write_json(path: Path, value: object) -> None:
    """Write JSON that ends with a newline; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
