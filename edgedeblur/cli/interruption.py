"""What an interrupted command says: how to go on, where there is something to go on from."""

from collections.abc import Callable

import click

from edgedeblur import command_line

_KEY = "edgedeblur.cli.interruption"


def goes_on_where(kept: Callable[[], bool | str]) -> None:
    """Tells what to say if this command is interrupted from now on.

    Args:
        kept: whether it has left something by then that the same command, typed again, goes on from; or a sentence on
            how to go on otherwise.
    """
    click.get_current_context().meta[_KEY] = kept


def interrupted_message(context: click.Context) -> str:
    """The line for an interrupted command."""
    kept = context.meta.get(_KEY, lambda: False)()
    if not kept:
        return "interrupted; there is nothing to go on from: the same command begins anew"
    return f"interrupted; what is finished is kept; {kept if isinstance(kept, str) else command_line.how_to_resume()}"
