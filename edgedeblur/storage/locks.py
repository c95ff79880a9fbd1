"""A lock on what a command writes: two processes on one work directory would mix their files.

The kernel holds it (flock(2)) and drops it when the process ends, however it ends. The file of the lock only says whose
it is, and is removed with it; one that a killed process left blocks nobody.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from edgedeblur import command_line
from edgedeblur.errors import UserError

_NAME = ".edgedeblur.lock"
_PATIENCE_S = 0.3  # between taking the lock and saying whose it is


def lock_of_folder(folder: Path) -> Path:
    return folder / _NAME


def lock_of_file(output: Path) -> Path:
    """Beside the output; a digest of its name, which may be as long as a name can be."""
    return output.parent / f".edgedeblur-{hashlib.sha256(os.fsencode(output.name)).hexdigest()[:16]}.lock"


@contextlib.contextmanager
def locked(path: Path, place: Path, another: str) -> Iterator[None]:
    """Holds the lock within the block. Where no lock can be made, because the folder cannot be written or its file
    system has no locks, the block runs without.

    Args:
        path: the lock's file. place: what it protects, and another: an option that names another one, for the message.

    Raises:
        UserError: another process holds it.
    """
    made = not path.parent.exists()
    handle = _take(path, place, another)
    try:
        yield
    finally:
        if handle is not None:
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(handle)
        if made:
            with contextlib.suppress(OSError):
                path.parent.rmdir()  # of a command that failed before it wrote anything


def _take(path: Path, place: Path, another: str) -> int | None:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise _busy(path, place, another) from None
        except OSError:
            os.close(handle)
            return None
        if _is_current(handle, path):
            _sign(handle)
            return handle
        os.close(handle)  # its owner removed it while we waited at the door


def _is_current(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False


def _sign(handle: int) -> None:
    command = command_line.words()
    name = "edgedeblur" if command is None else shlex.join(["edgedeblur", *command])
    text = json.dumps({"process": os.getpid(), "machine": socket.gethostname(), "command": name})
    with contextlib.suppress(OSError):  # a full disk
        os.ftruncate(handle, 0)
        os.pwrite(handle, text.encode(), 0)


def _busy(path: Path, place: Path, another: str) -> UserError:
    owner, end = _owner(path), time.monotonic() + _PATIENCE_S
    while owner is None and time.monotonic() < end:
        time.sleep(0.02)
        owner = _owner(path)
    if owner is None:
        return UserError(f"another process is working on {place}", f"wait for it, or {another}")
    process, machine, command = owner
    where = "" if machine == socket.gethostname() else f" on {machine}"
    return UserError(
        f"process {process}{where} is working on {place}: {command}",
        f"wait for it, end it with: kill {process}, or {another}",
    )


def _owner(path: Path) -> tuple[int, str, str] | None:
    try:
        content = json.loads(path.read_text(errors="replace")[:4096])
        return int(content["process"]), str(content["machine"]), str(content["command"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
