"""Results on stdout: tables, not cut to 80 columns where there is no terminal, and the same as JSON by --json."""

import json
import sys
from pathlib import Path

import click
from rich.console import Console, RenderableType

_WIDTH_WITHOUT_TERMINAL = 160
_CHOSEN = "edgedeblur.json"
_STDOUT = Path("-")


def _remember(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.meta[_CHOSEN] = path


json_option = click.option(
    "--json",
    type=click.Path(path_type=Path, allow_dash=True),
    expose_value=False,
    callback=_remember,
    metavar="FILE",
    help="Also write the result as JSON to this file; with - to stdout, in place of the tables.",
)
"""For every command that ends in `show_result`."""


def show_result(document: object, *shown: RenderableType) -> None:
    """A command's result: tables (and lines of text) on stdout, and `document` where --json asks for it.

    Args:
        document: JSON values, units in the names.
    """
    path = click.get_current_context().meta.get(_CHOSEN)
    if path == _STDOUT:
        click.echo(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))
        return
    if path is not None:
        from edgedeblur.files import write_json

        write_json(path, document)
    show(*shown)


def show(*shown: RenderableType) -> None:
    """Print tables, and lines of text as they are, to stdout."""
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console = Console(file=sys.stdout, highlight=False, width=_WIDTH_WITHOUT_TERMINAL)
    for one in shown:
        if isinstance(one, str):
            click.echo(one)
        else:
            console.print(one)
