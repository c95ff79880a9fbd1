"""What is made once for a whole run of the tests, though pytest-xdist runs them in several processes."""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_FOLDER = "EDGEDEBLUR_TESTS_FOLDER"


def shared_folder() -> Path:
    """The folder of this run, which its first process makes and removes, and names to those that it starts."""
    if _FOLDER not in os.environ:
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix="edgedeblur-tests-")
        atexit.register(_remove, Path(os.environ[_FOLDER]), os.getpid())
    return Path(os.environ[_FOLDER])


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not a fork of it
        shutil.rmtree(folder, ignore_errors=True)


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """A file or folder of that name: `make` is given its path by the process that comes first; others wait for it."""
    place, lock = shared_folder() / name, shared_folder() / f".{name}.lock"
    done = shared_folder() / f".{name}.done"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not done.exists():  # what a test that was ended has begun is made again
            make(place)
            done.touch()
    return place
