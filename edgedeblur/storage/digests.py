"""SHA-256 of files and folders: whether something is still what it was."""

import hashlib
from pathlib import Path


def digest(path: Path) -> str | None:
    """Hexadecimal SHA-256 of a file's content, or of a folder's names and contents; None where there is nothing."""
    if path.is_dir():
        sums = [f"{file.relative_to(path)}={digest(file)}" for file in sorted(path.rglob("*")) if file.is_file()]
        return hashlib.sha256("\n".join(sums).encode()).hexdigest()
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stamp(path: Path | None) -> str | None:
    """As `digest` from names, sizes and times of change instead of contents, for data sets of many gigabytes."""
    if path is None or not path.exists():
        return None
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [(str(file.relative_to(path)), file.stat()) for file in files if file.is_file()]
    lines = [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
