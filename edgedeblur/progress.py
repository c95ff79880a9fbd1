"""How long work tells of its progress; the command line draws it."""

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""(what, done, total); total None where it is not known."""


def silent(what: str, done: int, total: int | None) -> None:
    """Tells nobody."""
