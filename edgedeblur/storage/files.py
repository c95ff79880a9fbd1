"""Outputs appear whole or not at all: written under a temporary name, brought to the disk, then renamed.

Without `fsync` before the rename, a power cut may leave the new name with an empty file behind it.
"""

import contextlib
import ctypes
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

from edgedeblur.errors import UserError
from edgedeblur.storage.contents import special_kind
from edgedeblur.storage.failures import cannot_write
from edgedeblur.storage.temporary import new_file, remove, remove_leftovers, unmade

_CURRENT_FOLDER, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2(2)


@contextlib.contextmanager
def atomic_path(destination: str | Path) -> Iterator[Path]:
    """A temporary path beside `destination`, renamed onto it when the block ends without an error.

    A link stays one: what it leads to is written.

    Raises:
        UserError: the folder cannot be written, the name is too long, or the disk is full; a device or a pipe has that
            name, which the rename would replace.
    """
    destination, temporary = _followed(destination), None
    try:
        _prepare(destination)
        if destination.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        temporary = unmade(destination.parent, destination.suffix)
        new_file(temporary)
        yield temporary
        _sync(temporary)
        temporary.replace(destination)
        _sync(destination.parent)
    except OSError as error:
        raise _explained(destination, error, temporary) from error
    finally:
        if temporary is not None:
            remove(temporary)


@contextlib.contextmanager
def atomic_folder(destination: str | Path) -> Iterator[Path]:
    """As `atomic_path` for a whole folder; an existing folder of that name is replaced at the end.

    The two change places in one step, where the file system can (those of Linux can, NFS cannot: there a process that
    is killed between two renames leaves neither). Links, devices and pipes as for `atomic_path`.
    """
    destination, temporary = _followed(destination), None
    try:
        _prepare(destination)
        temporary = unmade(destination.parent)
        temporary.mkdir()
        yield temporary
        for folder, _, names in os.walk(temporary):
            for name in names:
                _sync(Path(folder, name))
            _sync(Path(folder))
        if not os.path.lexists(destination):
            temporary.rename(destination)
        elif not _exchange(temporary, destination):
            old = unmade(destination.parent)
            old.mkdir()
            destination.rename(old)
            temporary.rename(destination)
            temporary = old
        _sync(destination.parent)
    except OSError as error:
        raise _explained(destination, error, None) from error
    finally:
        if temporary is not None:
            remove(temporary)


def require_writable(destination: str | Path) -> None:
    """Says before long work what would prevent its result from being written at the end.

    Raises:
        UserError: the folder cannot be made or written, the name is too long, or a device or a pipe has it.
    """
    destination = _followed(destination)
    try:
        _prepare(destination)
        trial = unmade(destination.parent)
        try:
            new_file(trial)
        finally:
            remove(trial)
    except OSError as error:
        raise cannot_write(destination, error) from error


def write_bytes(destination: str | Path, data: bytes | memoryview) -> None:
    with atomic_path(destination) as path:
        path.write_bytes(data)


def write_text(destination: str | Path, text: str) -> None:
    write_bytes(destination, text.encode())


def write_json(destination: str | Path, value: object) -> None:
    """JSON values, indented; NaN and infinity are refused (ValueError), since JSON has none."""
    write_text(destination, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def _followed(destination: str | Path) -> Path:
    """The path, or what it leads to where it is a link: a rename would replace the link itself."""
    return Path(os.path.realpath(destination) if os.path.islink(destination) else destination)


def _prepare(destination: Path) -> None:
    """Makes the folder, without leftovers of killed processes.

    Raises:
        OSError: the name is too long. UserError: it is a device's, a pipe's or a socket's.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(destination.parent)
    with contextlib.suppress(FileNotFoundError):
        special = special_kind(destination.lstat().st_mode)
        if special is not None:
            fix = "choose another output path; where there is --json, --json - writes to stdout"
            raise UserError(f"cannot write {destination}: it is {special}, not a regular file", fix)


def _sync(path: Path) -> None:
    """Waits until the file, or the folder's list of names, is on the disk.

    Raises:
        OSError: it does not get there; network file systems tell only now that the disk is full.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        return  # a folder may be written but not read
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):  # this file system has no such thing
            raise
    finally:
        os.close(handle)


def _exchange(one: Path, other: Path) -> bool:
    """Gives each the other's name in one step; False where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_CURRENT_FOLDER, os.fsencode(one), _CURRENT_FOLDER, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))


def _explained(destination: Path, error: OSError, temporary: Path | None) -> UserError | OSError:
    """The error as a message about the output, unless it names a file elsewhere."""
    if isinstance(error.filename, str | bytes):
        place = Path(os.path.abspath(os.fsdecode(error.filename)))
        folder = Path(os.path.abspath(destination.parent))
        if folder != place and folder not in place.parents and place not in folder.parents:
            return error
    return cannot_write(destination, error, temporary)
