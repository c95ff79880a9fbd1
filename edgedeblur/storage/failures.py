"""Why a file cannot be written, and what helps: a full disk needs room, a missing permission does not."""

import errno
import os
from pathlib import Path

from edgedeblur.errors import UserError

_ELSEWHERE = "choose another --workdir or output path"
# errno: (reason, what helps); {folder} is the output's
_KNOWN = {
    errno.ENOSPC: ("the disk is full", f"free some room, or {_ELSEWHERE}"),
    errno.EDQUOT: ("your disk quota is used up", f"remove files of yours on that disk, or {_ELSEWHERE}"),
    errno.EFBIG: ("the file would be larger than is allowed here", f"raise the limit (ulimit -f), or {_ELSEWHERE}"),
    errno.EROFS: ("the file system is read-only", _ELSEWHERE),
    errno.EACCES: ("no permission to write to {folder}", f"chmod u+rwx {{folder}}, or {_ELSEWHERE}"),
    errno.EPERM: ("the system does not allow it", _ELSEWHERE),
    errno.ENAMETOOLONG: ("its name is too long", "choose a shorter name; most file systems take 255 bytes"),
    errno.ENOTDIR: ("a part of its path is a file", _ELSEWHERE),
    errno.EEXIST: ("a part of its path is a file", _ELSEWHERE),
    errno.EISDIR: ("it is a folder", "name a file"),
    errno.ENOENT: ("its folder is gone", _ELSEWHERE),
    errno.EIO: ("the disk reports an error", f"check the disk, or {_ELSEWHERE}"),
}
_PROBE = bytes(1 << 20)


def cannot_write(destination: Path, error: OSError, temporary: Path | None = None) -> UserError:
    """What to tell the user about a write that failed.

    Args:
        temporary: the file that was being written, if any: Pillow and OpenCV say that writing failed but not why.
    """
    number = error.errno or (_why(temporary) if temporary is not None else None)
    reason, fix = describe(number, destination.parent) or (error.strerror or str(error), _ELSEWHERE)
    return UserError(f"cannot write {destination}: {reason}", fix)


def describe(number: int | None, folder: Path) -> tuple[str, str] | None:
    """Reason and fix of an errno; None for one that is not known here."""
    known = _KNOWN.get(number)
    return known and (known[0].format(folder=folder), known[1].format(folder=folder))


def _why(temporary: Path) -> int | None:
    """The errno of one more write to the file."""
    try:
        with temporary.open("ab", buffering=0) as file:
            if file.write(_PROBE) < len(_PROBE):  # the disk took a part; the next byte fails
                file.write(_PROBE)
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno
    return None
