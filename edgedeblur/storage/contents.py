"""The content of a regular file, up to a limit: pipes and devices are refused before anything is read."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgedeblur.errors import UserError

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
_SIZELESS = 1 << 20  # bytes of a file in /proc or /sys, whose size is given as 0


@dataclass(frozen=True)
class Origin:
    """What is being read, for messages: `name` begins them; `fix` is the command or action that fixes it."""

    name: str
    fix: str | None = None
    exit_code: int = 1

    def error(self, message: str) -> UserError:
        return UserError(f"{self.name}: {message}", self.fix, self.exit_code)


def require_regular(path: Path, origin: Origin) -> int:
    """The size of a regular file in bytes.

    Raises:
        UserError: there is no such file, or it is a folder, a pipe, a device or a socket.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise _unreadable(path, error, origin) from None
    if stat.S_ISDIR(found.st_mode):
        raise UserError(f"{path} is a folder; a file is needed", origin.fix, origin.exit_code)
    special = special_kind(found.st_mode)
    if special is not None:
        message = f"{path} is {special}, not a regular file"
        raise UserError(message, "copy what it gives into a file, and name that", origin.exit_code)
    return found.st_size


def special_kind(mode: int) -> str | None:
    """What a file of this `st_mode` is where it is neither a regular file nor a folder."""
    return next((name for is_kind, name in _KINDS if is_kind(mode)), None)


def read_contents(path: Path, limit: int, origin: Origin) -> bytes:
    """All bytes of a regular file.

    Raises:
        UserError: it cannot be read, is not a regular file, or has more than `limit` bytes.
    """
    size = require_regular(path, origin)
    try:
        with open(path, "rb") as file:  # a read takes memory for all that it asks for, so it asks for what is there
            data = file.read(min(limit, max(size, _SIZELESS)) + 1)
    except OSError as error:
        raise _unreadable(path, error, origin) from None
    if max(size, len(data)) > limit:
        raise origin.error(f"it has more than the {limit:,} bytes that such a file may have")
    return data


def read_start(path: Path, count: int, origin: Origin) -> bytes:
    """The first `count` bytes of a regular file, fewer where it is shorter.

    Raises:
        UserError: it cannot be read, or is not a regular file.
    """
    require_regular(path, origin)
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        raise _unreadable(path, error, origin) from None


def _unreadable(path: Path, error: OSError | ValueError, origin: Origin) -> UserError:
    reason = getattr(error, "strerror", None) or str(error)
    return UserError(f"cannot read {path}: {reason}", origin.fix, origin.exit_code)
