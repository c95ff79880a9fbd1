"""How long-running work reports progress; the command line draws it."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")

Progress = Callable[[str, int, int | None], None]
"""(what, done, total); total None where it is not known."""


Log = Callable[[str], None]
"""Told a line about the work now and then."""


def watched(items: Sequence[Item], what: str, progress: Progress) -> Iterator[Item]:
    """The items in order; after each has been worked on, `progress` is told."""
    for done, item in enumerate(items, start=1):
        yield item
        progress(what, done, len(items))


def unheard(line: str) -> None:
    """Tells nobody."""


def silent(what: str, done: int, total: int | None) -> None:
    """Tells nobody."""
