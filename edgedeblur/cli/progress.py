"""Progress of long work: a bar on a terminal, otherwise a plain line now and then. Both go to stderr; with -q there is
neither, with -v a line for every piece."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from edgedeblur.cli.output import PlainConsole, plain_line
from edgedeblur.cli.verbosity import is_quiet, is_verbose, say

__all__ = ["Progress", "say", "training_console"]
_SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Call it with (what, done, total) after each piece of work; total None where it is not known."""

    def __init__(self, title: str):
        self.title = title
        self._console = PlainConsole(stderr=True, quiet=is_quiet())
        self._every = is_verbose()
        self._last_line = time.monotonic()
        self._bars: Bars | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if self._console.is_terminal and not self._every:
            self._draw(what, done, total)
        elif self._every or time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            say(f"{self.title} {plain_line(what)}: {done}" + (f" of {total}" if total else ""))

    def _draw(self, what: str, done: int, total: int | None) -> None:
        """The bar stands only while there is work, so that other work can draw its own."""
        if self._bars is None:
            named = TextColumn("{task.description}", markup=False)
            columns = (named, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bars = Bars(*columns, console=self._console, transient=True)
            self._task = self._bars.add_task(self.title, total=None)
            self._bars.start()
        self._bars.update(self._task, completed=done, total=total, description=f"{self.title} {plain_line(what)}")
        if done == total:
            self._stop()

    def _stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def training_console() -> Console:
    """Where training reports: stderr, as everything about the work."""
    return PlainConsole(stderr=True, quiet=is_quiet())
