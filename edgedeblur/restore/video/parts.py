"""The finished parts of a video whose restoration may be interrupted: the same command goes on behind them.

They lie in a folder beside the output: pictures as NUT files, the gate's lines of each, and a digest of what they were
made of and with.
"""

import contextlib
import itertools
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin, read_contents
from edgedeblur.storage.documents import parse_json, read_json
from edgedeblur.storage.files import write_json, write_text
from edgedeblur.storage.records import Rules, read_record
from edgedeblur.storage.temporary import remove_leftovers

FRAMES = 240  # of a part
_STATE = "state.json"
_LINES_LIMIT = 16 << 20


@dataclass(frozen=True)
class Done:
    """A finished part. frames: that were read of the source for it; written: that are in it."""

    frames: int
    written: int


@dataclass(frozen=True)
class _State:
    made_of: str
    parts: list[Done] = field(default_factory=list)


class Parts:
    """Those of one output.

    Args:
        destination: the output.
        made_of: a digest of everything that the pixels depend on; parts of another are begun anew.
        fresh: all are begun anew.

    Raises:
        UserError: another folder has the name, or its state is damaged.
    """

    def __init__(self, destination: Path, made_of: str, fresh: bool = False):
        self.folder = parts_folder(destination)
        self._made_of, self.done = made_of, []
        if self.folder.exists():
            state = _read(self.folder)
            if state.made_of == made_of and not fresh:
                there = (self.pictures(index).is_file() for index in range(len(state.parts)))
                self.done = state.parts[: sum(itertools.takewhile(bool, there))]

    def pictures(self, index: int) -> Path:
        return self.folder / f"part-{index:05}.nut"

    def lines(self, index: int) -> list[dict]:
        """The gate's, of a finished part; none without a gate.

        Raises:
            UserError: the file is damaged.
        """
        path = self.folder / f"part-{index:05}.jsonl"
        if not path.is_file():
            return []
        origin = Origin(str(path), f"remove the folder {self.folder}")
        return [parse_json(line, origin) for line in read_contents(path, _LINES_LIMIT, origin).splitlines()]

    def finish(self, done: Done, lines: list[dict]) -> None:
        """The next part, whose pictures are written, is done."""
        index = len(self.done)
        if lines:
            write_text(self.folder / f"part-{index:05}.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        self.done.append(done)
        write_json(self.folder / _STATE, asdict(_State(self._made_of, self.done)))

    def begin(self) -> None:
        """The folder is there, with the finished parts alone."""
        keep = {self.pictures(index).stem for index in range(len(self.done))}
        _clear(self.folder, keep)
        write_json(self.folder / _STATE, asdict(_State(self._made_of, self.done)))

    def remove(self) -> None:
        _clear(self.folder, set())
        (self.folder / _STATE).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # files of others
            self.folder.rmdir()


def parts_folder(destination: Path) -> Path:
    """Where the parts of an output are."""
    return destination.with_name(f"{destination.name}.parts")


def has_parts(destination: Path) -> bool:
    """Whether an interrupted run left something for the next."""
    folder = parts_folder(destination)
    return any(folder.glob("part-*.nut")) if (folder / _STATE).is_file() else False


def _read(folder: Path) -> _State:
    path = folder / _STATE
    remove_leftovers(folder)
    if folder.is_dir() and not any(folder.iterdir()):
        return _State("")  # killed before it had any
    if not path.is_file():
        fix = "choose another output, or remove it"
        raise UserError(f"{folder} is in the way: it is no folder of a video's finished parts", fix, exit_code=2)
    origin = Origin(str(path), f"remove the folder {folder}")
    return read_record(_State, read_json(path, origin), Rules(origin))


def _clear(folder: Path, keep: set[str]) -> None:
    for path in folder.glob("part-*"):
        if path.suffix in (".nut", ".jsonl") and path.stem not in keep:
            path.unlink()
