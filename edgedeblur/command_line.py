"""The command that is running, as the user can type it again; who calls edgedeblur as a library has none."""

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_RESUMABLE = ("train", "distill")  # commands with --resume; `run` resumes by itself
_words: list[str] | None = None


@contextlib.contextmanager
def running(words: Sequence[str]) -> Iterator[None]:
    """Within the block the command is `edgedeblur` with these words."""
    global _words
    before, _words = _words, list(words)
    try:
        yield
    finally:
        _words = before


def words() -> list[str] | None:
    """What follows the program's name; None in library use, and where torchrun started the program."""
    return None if _words is None or "TORCHELASTIC_RUN_ID" in os.environ else list(_words)


def typed(words: Sequence[str] | None, *more: str) -> str | None:
    """The shell command of these words, and `more` where they are not among them; None of None."""
    if words is None:
        return None
    return shlex.join([*_program(), *words, *(word for word in more if word not in words)])


def resuming(words: Sequence[str] | None) -> str | None:
    """The shell command that resumes what these words began."""
    if words is None:
        return None
    name = next((word for word in words if not word.startswith("-")), "")
    return typed(words, "--resume") if name in _RESUMABLE else typed(words)


def how_to_resume() -> str:
    """How to resume this command where its state was saved."""
    if _words is None:
        return "the same call with resume=True resumes from there"
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "the same torchrun command with --resume resumes from there"
    return f"to resume: {resuming(_words)}"


def _program() -> list[str]:
    """The program as the user called it: by name where the shell finds it, else by path, or as a module."""
    called = Path(sys.argv[0])
    if called.name == "main.py" and called.parent.name == "cli":
        return [sys.executable, "-m", "edgedeblur.cli.main"]
    found = shutil.which("edgedeblur")
    if called.name != "edgedeblur" or not called.exists() or (found is not None and called.samefile(found)):
        return ["edgedeblur"]
    return [str(called)]
