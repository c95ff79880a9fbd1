"""Where caches lie, also for users without a home: containers run with user ids that no passwd file knows."""

import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgedeblur.errors import UserError


def cache_folder() -> Path:
    """The first of $XDG_CACHE_HOME, ~/.cache and the system's folder for temporary files that can be written.

    Raises:
        UserError: none of them.
    """
    tried = []
    for folder in _candidates():
        tried.append(str(folder))
        try:
            folder.mkdir(0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK) and _is_safe(folder):
            return folder
    raise UserError(f"no folder for caches can be written: {', '.join(tried)}", "set XDG_CACHE_HOME to one that can")


def settle_without_home() -> None:
    """Gives libraries that ask for the user's home and name an answer where the system has none."""
    if _home() is None:
        os.environ["HOME"] = str(cache_folder())
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("LOGNAME", f"uid{os.getuid()}")


def _candidates() -> Iterator[Path]:
    if named := os.environ.get("XDG_CACHE_HOME"):
        yield Path(named) / "edgedeblur"
    if (home := _home()) is not None:
        yield home / ".cache" / "edgedeblur"
    yield Path(tempfile.gettempdir()) / f"edgedeblur-{os.getuid()}"


def _home() -> Path | None:
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and no entry in passwd
        return None
    return home if home.is_absolute() else None


def _is_safe(folder: Path) -> bool:
    """In a folder that all share, another user may have made ours, and the cache holds code that programs link."""
    if folder.parent != Path(tempfile.gettempdir()):
        return True
    facts = folder.lstat()
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o022
