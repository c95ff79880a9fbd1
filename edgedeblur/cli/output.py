"""Tables on stdout; not cut to 80 columns where there is no terminal."""

import sys

from rich.console import Console, RenderableType

_WIDTH_WITHOUT_TERMINAL = 160


def show(*renderables: RenderableType) -> None:
    """Print tables and text to stdout."""
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console = Console(file=sys.stdout, highlight=False, width=_WIDTH_WITHOUT_TERMINAL)
    for renderable in renderables:
        console.print(renderable)
