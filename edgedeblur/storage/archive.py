"""Zip archives: no member is unpacked beyond its limit, and damage of any kind is one message."""

import contextlib
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from edgedeblur.storage.contents import Origin, require_regular

# What the zipfile module and its decompressors raise for damaged bytes: encryption and unknown methods (RuntimeError,
# NotImplementedError), names that are not in their encoding (UnicodeDecodeError, a ValueError), sizes beyond the file.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    KeyError,
    IndexError,
    OverflowError,
    OSError,
)


class Archive:
    """An open zip archive. names: of its members. declared: bytes that they say they unpack to."""

    def __init__(self, file: zipfile.ZipFile, origin: Origin):
        self._file, self._origin = file, origin
        self.names = tuple(file.namelist())
        self.declared = sum(entry.file_size for entry in file.infolist())

    def read(self, name: str, limit: int) -> bytes:
        """A member's bytes; never more than `limit` are unpacked, whatever the archive claims.

        Raises:
            UserError: no such member, larger than that, or damaged.
        """
        if name not in self.names:
            raise self._origin.error(f"{name} is missing")
        with _damage(self._origin), self._file.open(name) as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise self._origin.error(f"{name} is larger than the {limit:,} bytes it may have")
        return data


@contextlib.contextmanager
def open_archive(path: Path, limit: int, origin: Origin) -> Iterator[Archive]:
    """The archive in a file of at most `limit` bytes.

    Raises:
        UserError: it cannot be read, is not a zip archive, or its directory is damaged.
    """
    size = require_regular(path, origin)
    if size > limit:
        raise origin.error(f"it has {size:,} bytes; allowed are {limit:,}")
    with contextlib.ExitStack() as stack:
        with _damage(origin):
            archive = Archive(stack.enter_context(zipfile.ZipFile(path)), origin)
        yield archive


@contextlib.contextmanager
def _damage(origin: Origin) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__
        raise origin.error(f"not a zip archive, or truncated or damaged ({reason})") from None
