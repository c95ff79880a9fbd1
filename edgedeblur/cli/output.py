"""The one place that prints: lines and tables, with text from outside made harmless, and the same as JSON by --json.

File names, metadata of models and pictures, what a phone answers and the messages of libraries may hold escape
sequences, rich's markup or line breaks. Everything that a command prints goes through `tell`, `show` or a
`PlainConsole`: markup and emoji codes are off, and control characters are shown as `\\x1b`.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import click
from rich.console import Console, RenderableType
from rich.segment import Segment
from rich.text import Text

_WIDTH_WITHOUT_TERMINAL = 160
_CHOSEN = "edgedeblur.json"
_STDOUT = Path("-")

# C0 but line break and tab, DEL, C1; what changes the direction or ends a line in Unicode; bytes that are not UTF-8
# (file names hold them as lone surrogates).
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def plain(text: str) -> str:
    """The text with control characters shown as `\\x1b` or `\\u202e`; line breaks and tabs stay."""
    return _CONTROL.sub(lambda match: _shown(ord(match[0])), text)


def plain_line(text: object) -> str:
    """As `plain`, in one line: line breaks and tabs are shown as `\\n` and `\\t`."""
    return plain(str(text)).replace("\n", "\\n").replace("\t", "\\t")


def tell(line: object) -> None:
    """One line of a result on stdout."""
    _write(plain_line(line), sys.stdout)


def warn(line: object) -> None:
    """A line about the work on stderr, so that results on stdout can be piped; further lines of it are indented."""
    _write(_indented(str(line)), sys.stderr)


def tell_error(message: str, fix: str | None) -> None:
    """A failure on stderr, with what fixes it on the next line."""
    _write(_indented(f"error: {message}" + (f"\n{fix}" if fix else "")), sys.stderr)


def show(*renderables: RenderableType) -> None:
    """Print tables and lines of text to stdout; not cut to 80 columns where there is no terminal."""
    console = PlainConsole(file=sys.stdout)
    if not console.is_terminal:
        console = PlainConsole(file=sys.stdout, width=_WIDTH_WITHOUT_TERMINAL)
    for renderable in renderables:
        if isinstance(renderable, str):
            tell(renderable)
        else:
            console.print(renderable)


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
        _write(json.dumps(document, indent=2, allow_nan=False), sys.stdout)
        return
    if path is not None:
        from edgedeblur.storage.files import write_json

        write_json(path, document)
    show(*shown)


class PlainConsole(Console):
    """A rich console without markup, emoji codes and highlighting, which prints control characters as `plain` does."""

    def __init__(self, **options):
        super().__init__(**options, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options) -> Text:
        return super().render_str(plain(text), **options)

    def render(self, renderable: RenderableType, options=None) -> Iterable[Segment]:
        """Text that is styled already does not pass `render_str`; here it does."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)


def _indented(text: str) -> str:
    """All lines but the first by two spaces at least, so that no text from outside passes for a line of ours."""
    first, *others = plain(text).split("\n")
    return "\n".join([first, *(line if line.startswith("  ") else f"  {line}" for line in others)])


def _shown(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _write(text: str, stream: TextIO) -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)
