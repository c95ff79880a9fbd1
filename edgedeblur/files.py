"""Outputs appear whole or not at all: written under a temporary name, then renamed."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgedeblur.errors import UserError


@contextlib.contextmanager
def atomic_path(destination: str | Path) -> Iterator[Path]:
    """A temporary path beside `destination`, renamed onto it when the block ends without an error.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    destination = Path(destination)
    temporary = None
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{destination.stem}.", suffix=destination.suffix, dir=destination.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(destination)
    except OSError as error:
        raise _cannot_write(destination, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(destination: str | Path) -> Iterator[Path]:
    """As `atomic_path` for a whole folder; an existing folder of that name is replaced at the end."""
    destination = Path(destination)
    temporary = None
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        old = None
        if destination.exists():
            old = temporary.with_name(temporary.name + ".old")
            destination.rename(old)
        temporary.rename(destination)
        if old is not None:
            shutil.rmtree(old)
    except OSError as error:
        raise _cannot_write(destination, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(destination: str | Path, data: bytes | memoryview) -> None:
    with atomic_path(destination) as path:
        path.write_bytes(data)


def write_text(destination: str | Path, text: str) -> None:
    write_bytes(destination, text.encode())


def write_json(destination: str | Path, value: object) -> None:
    """JSON values, indented; NaN and infinity are refused (ValueError), since JSON has none."""
    write_text(destination, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _cannot_write(destination: Path, error: OSError) -> UserError:
    reason = error.strerror or str(error)
    return UserError(
        f"cannot write {destination}: {reason}", "free some room or choose another --workdir / output path"
    )
