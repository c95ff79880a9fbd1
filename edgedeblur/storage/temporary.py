"""Temporary files and folders whose names say which process they belong to.

    .edgedeblur-tmp-<machine>-<process id>-<start>-<random><suffix>

A process that is killed leaves its temporaries behind; the next one that writes to the same folder removes them. What
belongs to a process that is alive, or to another machine or container that shares the folder, stays.
"""

import contextlib
import functools
import hashlib
import os
import re
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

_PREFIX = ".edgedeblur-tmp-"
_NAME = re.compile(re.escape(_PREFIX) + r"([0-9a-f]{8})-(\d{1,9})-([0-9a-f]{8})-[0-9a-f]{8}(\..*)?")
_LONGEST_SUFFIX = 16  # bytes; a file may be called model.a-very-long-rest
_looked_through: set[tuple[int, str]] = set()
_lock = threading.Lock()


def unmade(folder: Path, suffix: str = "") -> Path:
    """A path for a file or folder of this process in the folder. Whoever removes it at the end knows it before it is
    made: a signal may come as soon as it is there.

    Args:
        suffix: kept where it is short: libraries tell the format by it.
    """
    return folder / _name(suffix if len(os.fsencode(suffix)) <= _LONGEST_SUFFIX else "")


def new_file(path: Path) -> None:
    """An empty file of this process, with the permissions that the umask gives.

    Raises:
        OSError: it cannot be made.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for this user alone in the system's folder for temporary files, removed when the block ends."""
    place = Path(tempfile.gettempdir())
    remove_leftovers(place)
    folder = unmade(place)
    try:
        folder.mkdir(0o700)
        yield folder
    finally:
        remove(folder)


def remove(path: Path) -> None:
    """Removes a file, a link or a folder; what cannot be removed stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes temporaries of this machine's processes that are no more; once per folder and process."""
    key = os.getpid(), os.path.abspath(folder)
    with _lock:
        if key in _looked_through:
            return
        _looked_through.add(key)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and _is_leftover(entry.name):
                remove(folder / entry.name)


def is_temporary(path: Path) -> bool:
    """Whether it is named as this file names temporaries, whosever it is."""
    return _NAME.fullmatch(path.name) is not None


def _name(suffix: str) -> str:
    process = os.getpid()
    return f"{_PREFIX}{_machine()}-{process}-{_start_of(process) or _short('')}-{secrets.token_hex(4)}{suffix}"


def _is_leftover(name: str) -> bool:
    found = _NAME.fullmatch(name)
    return found is not None and found[1] == _machine() and not _is_alive(int(found[2]), found[3])


def _is_alive(process: int, start: str) -> bool:
    now = _start_of(process)
    if now is not None:
        return now == start  # else the number was given to another process
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # another user's, and /proc hides it
    return True


def _start_of(process: int) -> str | None:
    """When a process began, as a short digest; None where the system does not tell, or it has ended."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        fields = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return _short("ended") if fields[0] in "ZX" else _short(boot + fields[19])  # proc(5): state, starttime


@functools.cache
def _machine() -> str:
    """This machine, and which of its containers, as a short digest."""
    facts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        facts.append(Path("/etc/machine-id").read_text())
    with contextlib.suppress(OSError):
        facts.append(os.readlink("/proc/self/ns/pid"))
    return _short("\n".join(facts))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
