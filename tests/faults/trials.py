"""Disturbs commands and looks at what they leave: nothing half-written, nothing left over, and a way to resume."""

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from commands import WORK, Command, copy_inputs, damaged, hidden

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_TIMEOUT_S = 600.0
_SURVIVAL_S = 3.0  # a killed command's programs are gone by then
_GO_ON = "to resume: edgedeblur "


class Server:
    """server.py in a process of its own."""

    def __enter__(self) -> "Server":
        command = [sys.executable, str(Path(__file__).with_name("server.py"))]
        same_modules = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, **pipes, text=True, env=same_modules)
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        self._process.wait()

    def ask(self, **request: object) -> int | None:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@dataclass(frozen=True)
class Place:
    """A folder with inputs in which a command is disturbed."""

    server: Server
    folder: Path

    @property
    def work(self) -> Path:
        return self.folder / WORK

    @property
    def scratch(self) -> Path:
        path = self.folder / "scratch"
        path.mkdir(exist_ok=True)
        return path

    def start(self, words: list[str], log: str = "log", most_bytes: int | None = None, killed_at: int | None = None):
        (self.folder / log).write_bytes(b"")  # it may be killed before it opens it
        where = {"folder": str(self.folder), "log": str(self.folder / log), "scratch": str(self.scratch)}
        return self.server.ask(words=list(words), most_bytes=most_bytes, killed_at=killed_at, **where)

    def wait(self, process: int, seconds: float = _TIMEOUT_S) -> int | None:
        return self.server.ask(process=process, seconds=seconds)

    def run(self, words: list[str], **how: object) -> tuple[int | None, str]:
        code = self.wait(self.start(words, **how))
        return code, self.told()

    def told(self, log: str = "log") -> str:
        return (self.folder / log).read_text(errors="replace")


@dataclass
class Tally:
    """What happened, counted, and what should not have."""

    counts: Counter = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def require(self, good: bool, what: str) -> None:
        if not good:
            print(f"FAILED  {what}", file=sys.stderr, flush=True)
            self.failures.append(what)


@dataclass(frozen=True)
class Trials:
    """Disturbs one command again and again.

    expected: what an undisturbed run gave, in `seconds`.
    """

    server: Server
    inputs: Path
    folder: Path
    command: Command
    expected: object
    seconds: float
    tally: Tally

    def kill(self, number: signal.Signals, rng: random.Random) -> None:
        """A signal at a random moment."""
        place, what = self._place(f"{self.command.name}, {number.name}")
        process = place.start(self.command.words)
        code = place.wait(process, rng.uniform(0, self.seconds))
        if code is None:
            end_by(process, number)
            code = place.wait(process)
        self._look(place, code, number, what)
        self.tally.require(not (left := survivors(process)), f"{what}: still running: {left}")
        self.tally.counts[f"{self.command.name}: {number.name}"] += 1
        self._go_on(place, what)

    def kill_at_call(self, call: int) -> bool:
        """SIGKILL before the n-th change of a name; False where the command makes fewer."""
        place, what = self._place(f"{self.command.name}, killed at call {call}")
        code = place.wait(place.start(self.command.words, killed_at=call))
        self._look(place, code, signal.SIGKILL, what)
        if code != -signal.SIGKILL:
            return False
        self.tally.counts[f"{self.command.name}: killed at a call"] += 1
        self._go_on(place, what)
        return True

    def fill_disk(self, kilobytes: int) -> bool:
        """A disk of that size; False where it was large enough."""
        place, what = self._place(f"{self.command.name}, disk of {kilobytes} KB")
        with disk_of(place.work, kilobytes) as disk:
            code, told = place.run(self.command.words, most_bytes=disk.most_bytes)
            if code in self.command.codes:
                return False
            expected = "the disk is full" if disk.mounted else "larger than is allowed"
            self.tally.require(code == 1 and expected in told and "Traceback" not in told, f"{what}: {code} {told}")
            self._look_at_files(place, what)
            self.tally.require(not hidden(place.work, place.scratch), f"{what}: {hidden(place.work, place.scratch)}")
            self.tally.counts[f"{self.command.name}: full disk"] += 1
            disk.grow()
            self._go_on(place, what)
        return True

    def read_only(self) -> None:
        place, what = self._place(f"{self.command.name}, read-only")
        with disk_of(place.work, 1000) as disk:
            if not disk.mounted:
                return  # without root, permissions; tests/storage has them
            disk.make_read_only()
            code, told = place.run(self.command.words)
        self.tally.require(code == 1 and "read-only" in told and "free some room" not in told, f"{what}: {code} {told}")
        self.tally.counts[f"{self.command.name}: read-only"] += 1

    def two_at_once(self, rng: random.Random) -> None:
        place, what = self._place(f"{self.command.name}, two at once")
        first = place.start(self.command.words, "log")
        time.sleep(rng.uniform(0, self.seconds / 2))
        second = place.start(self.command.words, "log2")
        codes = {first: place.wait(first), second: place.wait(second)}
        told = {first: place.told("log"), second: place.told("log2")}
        refused = [process for process, code in codes.items() if code == 1]
        for process in refused:
            other = second if process == first else first
            self.tally.require(f"process {other} is working on" in told[process], f"{what}: {told[process]}")
            self.tally.counts[f"{self.command.name}: refused beside another"] += 1
        good = [process for process, code in codes.items() if code in self.command.codes]
        self.tally.require(len(good) >= 1 and len(good) + len(refused) == 2, f"{what}: {codes} {told}")
        self._look_at_files(place, what)
        self._compare(place, what)
        self.tally.counts[f"{self.command.name}: two at once"] += 1

    def _place(self, what: str) -> tuple[Place, str]:
        number = sum(1 for _ in self.folder.iterdir())
        return Place(self.server, copy_inputs(self.inputs, self.folder / f"{number}")), f"trial {number}: {what}"

    def _look(self, place: Place, code: int | None, number: signal.Signals, what: str) -> None:
        """At a command that was ended by a signal, or came to its end before."""
        told = place.told()
        self._look_at_files(place, what)
        if code in self.command.codes:
            self.tally.counts["finished before the signal"] += 1
        elif number == signal.SIGKILL:
            self.tally.require(code == -signal.SIGKILL, f"{what}: exit {code}: {told}")
        elif (code in (-number, 1) and not told) or (code == 1 and told.strip() == "Aborted!"):
            self.tally.counts["ended before it could say anything"] += 1  # the interpreter's start
        else:
            good = code == 128 + number and "Traceback" not in told and "unexpected" not in told
            self.tally.require(good, f"{what}: exit {code}: {told}")
            left = hidden(place.work, place.scratch)
            self.tally.require(not left, f"{what}: left {left}")

    def _look_at_files(self, place: Place, what: str) -> None:
        for problem in damaged(place.work):
            self.tally.require(False, f"{what}: {problem}")

    def _go_on(self, place: Place, what: str) -> None:
        """By the command that was printed, where one was; what does not fit is refused with a command that does."""
        words = _printed(place.told()) or list(self.command.words)
        code, told = place.run(words)
        if code == 1 and "interrupted run" in told:
            self.tally.counts["refused to write over a saved state"] += 1
            words = _printed(told)
            code, told = place.run(words) if words else (code, told)
        if "--resume" in words:
            self.tally.counts["went on from a saved state"] += 1
        self.tally.require(code in self.command.codes, f"{what}: going on ended with {code}: {told}")
        self._look_at_files(place, what)
        self._compare(place, what)

    def _compare(self, place: Place, what: str) -> None:
        left = hidden(place.work, place.scratch)
        self.tally.require(not left, f"{what}: left over {left}")
        try:
            result = self.command.result(place.work)
        except Exception as error:
            result = error
        self.tally.require(result == self.expected, f"{what}: another result than without the fault: {result}")


@dataclass
class Disk:
    """A small file system where root can mount one, else a limit on the size of every file."""

    folder: Path
    mounted: bool
    most_bytes: int | None

    def grow(self) -> None:
        self.most_bytes = None
        self._remount("size=512m")

    def make_read_only(self) -> None:
        self._remount("ro")

    def _remount(self, options: str) -> None:
        if self.mounted:
            subprocess.run(["mount", "-o", f"remount,{options}", self.folder], check=True)


@contextmanager
def disk_of(folder: Path, kilobytes: int):
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", folder]
    mounted = os.getuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield Disk(folder, mounted, None if mounted else kilobytes * 1024)
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)


def undisturbed(server: Server, inputs: Path, folder: Path, command: Command) -> tuple[object, float]:
    """The result of a run that nobody disturbs, and how long it takes."""
    place = Place(server, copy_inputs(inputs, folder))
    begin = time.monotonic()
    code, told = place.run(command.words)
    assert code in command.codes, f"{command.name} ended with {code}: {told}"
    return command.result(place.work), time.monotonic() - begin


def end_by(process: int, number: signal.Signals) -> None:
    """A signal to a command; Ctrl-C as a terminal sends it, to the programs that the command runs too."""
    (os.killpg if number == signal.SIGINT else os.kill)(process, number)


def survivors(session: int) -> list[str]:
    """The programs of a session (the command's process id) that still run once they had time to end."""
    end = time.monotonic() + _SURVIVAL_S
    while (found := _programs(session)) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def _programs(session: int) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, of_session = (path / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of_session) == session and state != "Z":
                found.append((path / "cmdline").read_text().replace("\0", " ")[:200])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return found


def _printed(told: str) -> list[str] | None:
    """The words of the command that resumes, as printed."""
    lines = [line.partition(_GO_ON)[2] for line in told.splitlines() if _GO_ON in line]
    return shlex.split(lines[0]) if lines else None
