"""What an interrupted command says: how to resume, where there is something to resume from."""

from collections.abc import Callable

import click

from edgedeblur import command_line

_KEY = "edgedeblur.cli.interruption"


def goes_on_where(kept: Callable[[], bool | str]) -> None:
    """Tells what to say if this command is interrupted from now on.

    Args:
        kept: whether it has left something by then that the same command, typed again, resumes from; or a sentence on
            how to resume otherwise.
    """
    click.get_current_context().meta[_KEY] = kept


def interrupted_message(context: click.Context) -> str:
    """The line for an interrupted command."""
    kept = context.meta.get(_KEY, lambda: False)()
    if not kept:
        return "interrupted; there is nothing to resume from: the same command starts over"
    return f"interrupted; what is finished is kept; {kept if isinstance(kept, str) else command_line.how_to_resume()}"
