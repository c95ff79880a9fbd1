"""Gives loaders damaged files in processes of their own, and notes whatever is neither a result nor a message.

    python tests/fuzz/harness.py [--count 200] [--seed 0] [--only TEXT] [--part 0/1] [--json FILE]

Prints a line per loader: how many files were read, how many refused, how many failed. A failure is an exception other
than UserError, an exit code other than 1 and 2, a message that is empty, endless or does not name the file, more time
or memory for one file than `Limits` says, or the end of the process. The same seed gives the same files.
"""

import argparse
import contextlib
import importlib
import json
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from edgedeblur.processes import let_faults_end_this_process

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

if TYPE_CHECKING:
    from pictures import Loader

_MESSAGE = 3000  # characters; a table of what a file of weights lacks is long
_SHOWN = 5  # failures of a loader that are printed
_PROGRESS = struct.Struct("<qqqd")  # shared by parent and child: number of the file, read, refused, when it began


@dataclass(frozen=True)
class Limits:
    """For one file. seconds: of processor time. wait: seconds on a machine that gives little of it."""

    seconds: float = 10
    wait: float = 150
    megabytes: int = 1024


LIMITS = Limits()


@dataclass
class Outcome:
    """The outcome for a loader's files. failures: (number of the file, what happened)."""

    read: int = 0
    refused: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def tried(self) -> int:
        return self.read + self.refused + len(self.failures)


@dataclass(frozen=True)
class _Job:
    """One loader's files, and the place where they are written."""

    name: str
    loader: "Loader"
    seed: int
    folder: Path
    limits: Limits

    @property
    def notes(self) -> Path:
        return self.folder / "failures.jsonl"


def fuzz(name: str, loader: "Loader", count: int, seed: int, limits: Limits = LIMITS) -> Outcome:
    """`count` damaged files for one loader. After a crash or a hang another process goes on behind it."""
    start, outcome, first = time.monotonic(), Outcome(), 0
    with tempfile.TemporaryDirectory(prefix="edgedeblur-fuzz-") as folder, mmap.mmap(-1, _PROGRESS.size) as shared:
        job = _Job(name, loader, seed, Path(folder), limits)
        while first < count:
            job.notes.write_text("")
            end = _in_a_process(job, range(first, count), shared)
            number, read, refused, _ = _PROGRESS.unpack(shared[:])
            outcome.read += read
            outcome.refused += refused
            outcome.failures += [tuple(json.loads(line)) for line in job.notes.read_text().splitlines()]
            if end is None:
                break
            outcome.failures.append((number, end))
            first = number + 1
    outcome.seconds = time.monotonic() - start
    return outcome


def _in_a_process(job: _Job, numbers: range, shared: mmap.mmap) -> str | None:
    """How the process ended: None for well."""
    shared[:] = _PROGRESS.pack(numbers.start, 0, 0, time.monotonic())
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            code = _child(job, numbers, shared)
        os._exit(code)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return None if code == 0 else f"the process ended with {signal.Signals(-code).name if code < 0 else code}"
        if time.monotonic() - _PROGRESS.unpack(shared[:])[3] > job.limits.wait:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return f"it did not end within {job.limits.wait} s"
        time.sleep(0.005)


def _child(job: _Job, numbers: range, shared: mmap.mmap) -> int:
    let_faults_end_this_process()
    with open(os.devnull, "w") as nowhere:  # what libraries print about damaged files
        os.dup2(nowhere.fileno(), 2)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (4 * job.limits.megabytes << 20),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    whole = job.folder / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    whole.mkdir()
    paths = [(path, path.read_bytes()) for path in job.loader.corpus(whole)]
    read = refused = 0
    with job.notes.open("a") as notes:
        for number in numbers:
            shared[:] = _PROGRESS.pack(number, read, refused, time.monotonic())
            path, data = paths[number % len(paths)]
            verdict = _try_one(job, whole, number, path, data)
            read, refused = read + (verdict == "read"), refused + (verdict == "refused")
            if verdict not in ("read", "refused"):
                _note(notes, number, verdict)
    shared[:] = _PROGRESS.pack(numbers.stop, read, refused, time.monotonic())
    return 0


def _try_one(job: _Job, whole: Path, number: int, path: Path, data: bytes) -> str:
    """Damages one file beside its companions, where it has some, loads it, and puts the whole one back."""
    place = path if whole in path.parents else job.folder / path.name
    place.write_bytes(job.loader.damage(random.Random(f"{job.seed} {job.name} {number}"), data))
    Path("/proc/self/clear_refs").write_text("5")  # the peak of resident memory starts again
    megabytes, start = _peak_megabytes(), _processor_time()
    verdict = _load(job.loader, place)
    seconds, used = _processor_time() - start, _peak_megabytes() - megabytes
    place.write_bytes(data)
    if seconds > job.limits.seconds:
        return f"{seconds:.1f} s of processor time"
    return f"{used:,.0f} MB of memory" if used > job.limits.megabytes else verdict


def _load(loader: "Loader", path: Path) -> str:
    from edgedeblur.errors import UserError

    try:
        loader.load(path)
    except UserError as error:
        if error.exit_code not in (1, 2):
            return f"exit code {error.exit_code}"
        if not error.message.strip() or len(str(error)) > _MESSAGE:
            return f"a message of {len(str(error)):,} characters: {str(error)[:200]!r}"
        if loader.names_file and not any(str(each) in str(error) for each in (path, path.parent)):
            return f"a message without the file's name: {error.message[:200]!r}"
        return "refused"
    except BaseException as error:  # whatever it is, it is what the harness looks for
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]} ({last.filename}:{last.lineno})"
    return "read"


def _note(notes: TextIO, number: int, verdict: str) -> None:
    notes.write(json.dumps([number, verdict]) + "\n")
    notes.flush()


def _processor_time() -> float:
    """In seconds, of this process and of its children that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _peak_megabytes() -> float:
    """Of resident memory: this process's peak, or that of its largest child, which is never forgotten."""
    own = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="damaged files per loader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="loaders whose name has this text")
    parser.add_argument("--part", default="0/1", help="of the loaders: 0/2 for every second one, 1/2 for the others")
    parser.add_argument("--json", type=Path, help="write the outcomes there too")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # the processes are forked, and a pool of threads does not survive that
    outcomes: dict[str, Outcome] = {}
    for name, loader in _chosen(options.only, options.part):
        outcome = outcomes[name] = fuzz(name, loader, options.count, options.seed)
        print(
            f"{name:<26} {outcome.tried:>6,} files: {outcome.read:>6,} read, {outcome.refused:>6,} refused, "
            f"{len(outcome.failures):>3} failures, {outcome.seconds:6.1f} s",
            flush=True,
        )
        for number, what in outcome.failures[:_SHOWN]:
            print(f"    file {number}: {what}", flush=True)
    failures = sum(len(outcome.failures) for outcome in outcomes.values())
    tried = sum(outcome.tried for outcome in outcomes.values())
    print(f"{len(outcomes)} loaders, {tried:,} damaged files, {failures} failures")
    if options.json:
        options.json.write_text(json.dumps({name: asdict(outcome) for name, outcome in outcomes.items()}))
    return 1 if failures else 0


def _chosen(only: str, part: str) -> Iterator[tuple[str, "Loader"]]:
    """Pictures first, before torch is loaded: processes are forked for them."""
    first, step = map(int, part.split("/"))
    number = 0
    for module, table in (("pictures", "PICTURES"), ("loaders", "OTHERS")):
        for name, loader in getattr(importlib.import_module(module), table).items():
            if only in name:
                if number % step == first:
                    yield name, loader
                number += 1


if __name__ == "__main__":
    sys.exit(main())
