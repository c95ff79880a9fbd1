"""Runs edgedeblur-bench on a phone, listening to it: every run as it ends, limits of time, Ctrl-C, unplugging.

The program replaces the shell that starts it, so that its process is the one that adb's daemon ends when the
connection is lost, and the one that SIGINT reaches on Ctrl-C: it then prints what it has measured.
"""

import contextlib
import re
import shlex
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgedeblur.device.errors import BadAnswer, ContactLost, Interrupted, PhoneSilent, ProgramEnded
from edgedeblur.device.shell import Phone, RunningCommand, run
from edgedeblur.errors import UserError
from edgedeblur.runtime.program import BenchResult, parse_bench_output

PROGRAM = "edgedeblur-bench"
_POLL_S = 0.25
_PID_LINE = re.compile(r"pid (\d{1,9})")
_RUN_LINE = re.compile(r"run (\d{1,12}\.\d{1,9}) (\d{1,12}\.\d{1,9})")
_LEVEL_LINE = re.compile(r"level (\d{1,12}\.\d{1,9}) (\d{1,2}) (-?nan|\d{1,3}\.\d{1,9})")
_SIGNALLED = 128  # a shell's status for a program that signal N ended is 128 + N
_GRACE_S = 10.0  # for the program to end and print after SIGINT
# How much a program may say: its runs as fast as small networks can be, and its result.
_MOST_BYTES, _MOST_BYTES_PER_S = 1 << 24, 1 << 18
_LINE_BYTES = 1 << 16
_CLOCK_SLACK, _CLOCK_SLACK_S = 2.0, 60.0  # of the phone's clock by this machine's
_COMPLAINTS, _COMPLAINT_CHARACTERS = 20, 500  # that are kept


@dataclass(frozen=True, slots=True)
class TimedRun:
    """One measured run: when it ended, in seconds since the phone's boot, and how long it took."""

    at_s: float
    ms: float


@dataclass(frozen=True, slots=True)
class ChosenLevel:
    """What the governor chose from then on: at_s is since the phone's boot. headroom: that it saw; None where the phone
    tells none."""

    at_s: float
    level: int
    headroom: float | None


@dataclass(frozen=True)
class RemoteRun:
    """What came of it.

    result: what the program printed; None where it could not.
    runs: every measured run that was heard of.
    failure: why the measurement was interrupted; None where it was not.
    levels: the governor's readings, about one a second; none without --govern.
    """

    result: BenchResult | None
    runs: tuple[TimedRun, ...]
    failure: ContactLost | None
    levels: tuple[ChosenLevel, ...] = ()


def run_program_on(
    phone: Phone,
    program: str,
    options: Sequence[str],
    cores: str | None = None,
    timeout_s: float = 60.0,
    on_run: Callable[[int], None] | None = None,
) -> RemoteRun:
    """Run a pushed edgedeblur-bench to its end.

    Args:
        program: its path on the phone.
        options: of edgedeblur-bench, besides --cores and --stream.
        cores: "4-7": run there only.
        timeout_s: longest time without a sign from it: its first words, a run, or its end after the last run.
        on_run: told the number of runs so far.

    Returns:
        The runs; interrupted by unplugging, a time limit, Ctrl-C or a signal, those until then, with the reason.

    A program that goes on after the runs and seconds in `options`, or says more than it can have to say, is interrupted
    too.

    Raises:
        UserError: the program refuses its options, or does not run on this phone.
        PhoneGone, PhoneSilent: before it was started. ProgramEnded: a signal ended it before the first run.
    """
    words = [program, *options, "--stream", *(["--cores", cores] if cores is not None else [])]
    with _CtrlC() as ctrl_c, RunningCommand(phone, f"echo pid $$ >&2; exec {shlex.join(words)}") as command:
        asked = _Asked(options)
        listener = _Listener(phone.serial, asked.levels, on_run)
        try:
            _listen(command, listener, asked, timeout_s, ctrl_c)
        except ContactLost as failure:
            with contextlib.suppress(ContactLost):
                _end(phone, command, listener)
            return RemoteRun(_result_of(listener), tuple(listener.runs), failure, tuple(listener.levels))
    return _outcome(phone.serial, command.status, listener)


class _Asked:
    """The runs, seconds and levels that edgedeblur-bench's options ask for; without them, its own defaults."""

    def __init__(self, options: Sequence[str]):
        values = dict(zip(options, options[1:], strict=False))
        self.runs, self.seconds = int(values.get("--runs", "50")), float(values.get("--min-seconds", "0"))
        self.levels = values["--levels"].count(",") + 1 if "--levels" in values else 0


def _listen(command: RunningCommand, listener: "_Listener", asked: _Asked, timeout_s: float, ctrl_c: "_CtrlC") -> None:
    begin = last = time.monotonic()
    first_run = None
    signs, is_over = 0, False
    while command.status is None:
        for is_error, data in command.poll(min(_POLL_S, timeout_s)):
            listener.hear(is_error, data)
        now = time.monotonic()
        if listener.signs > signs and not is_over:
            signs, last = listener.signs, now
        if listener.runs:
            first_run = first_run or now
            is_over = len(listener.runs) >= asked.runs and now - first_run > asked.seconds
        if ctrl_c.pressed.is_set():
            raise Interrupted(command.serial)
        if listener.heard_bytes > _MOST_BYTES + _MOST_BYTES_PER_S * (now - begin):
            raise BadAnswer(command.serial, f"sent {listener.heard_bytes:,} bytes of a program's output")
        if now - last > timeout_s:
            raise PhoneSilent(command.serial, timeout_s)


def _outcome(serial: str, status: int, listener: "_Listener") -> RemoteRun:
    """What came of a program that has ended by itself, or by somebody on the phone."""
    runs, levels = tuple(listener.runs), tuple(listener.levels)
    if status > _SIGNALLED:
        failure = ProgramEnded(serial, _signal_name(status - _SIGNALLED))
        if not runs:
            raise failure
        return RemoteRun(None, runs, failure, levels)
    if status != 0:
        reason = listener.complaints() or f"{PROGRAM} ended with status {status}"
        fix = "compile it again if an earlier edgedeblur did: edgedeblur compile" if status == 2 else None
        raise UserError(f"phone {serial}: {reason}", fix, exit_code=2 if status == 2 else 1)
    result = parse_bench_output(listener.output.decode(errors="replace"))
    return RemoteRun(result, runs, ProgramEnded(serial, "SIGINT or SIGTERM") if result.interrupted else None, levels)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _end(phone: Phone, command: RunningCommand, listener: "_Listener") -> None:
    """Ends the program: first so that it prints what it has, then for certain."""
    if command.status is not None or listener.pid is None:
        return
    run(phone, f"kill -INT {listener.pid}", _GRACE_S)
    limit = time.monotonic() + _GRACE_S
    while command.status is None and time.monotonic() < limit:
        for is_error, data in command.poll(_POLL_S):
            listener.hear(is_error, data)
    if command.status is None:
        run(phone, f"kill -KILL {listener.pid}", _GRACE_S)


def _result_of(listener: "_Listener") -> BenchResult | None:
    try:
        return parse_bench_output(listener.output.decode(errors="replace"))
    except UserError:
        return None


class _Listener:
    """Sorts what the program says: its process, its runs, its result, its complaints."""

    def __init__(self, serial: str, level_count: int, on_run: Callable[[int], None] | None):
        self._serial, self._level_count = serial, level_count
        self.output = bytearray()
        self.heard_bytes = 0
        self.signs = 0  # of life: its first words, and runs
        self.runs: list[TimedRun] = []
        self.levels: list[ChosenLevel] = []
        self.pid: int | None = None
        self._on_run = on_run
        self._begin = time.monotonic()
        self._errors = b""
        self._complaints: list[str] = []

    def hear(self, is_error: bool, data: bytes) -> None:
        self.heard_bytes += len(data)
        if not is_error:
            self.output += data
            return
        *lines, self._errors = (self._errors + data).split(b"\n")
        if len(self._errors) > _LINE_BYTES:
            raise BadAnswer(self._serial, f"sent a line of more than {_LINE_BYTES:,} bytes")
        for line in lines:
            self._understand(line.decode(errors="replace"))

    def complaints(self) -> str:
        return "; ".join(filter(None, [*self._complaints, self._errors.decode(errors="replace").strip()]))

    def _understand(self, line: str) -> None:
        if self.pid is None and (found := _PID_LINE.fullmatch(line)):
            self.pid = int(found[1])
            self.signs += 1
        elif found := _RUN_LINE.fullmatch(line):
            self._count(TimedRun(float(found[1]), float(found[2])))
        elif found := _LEVEL_LINE.fullmatch(line):
            headroom = None if found[3].endswith("nan") else float(found[3])
            self._follow(ChosenLevel(float(found[1]), int(found[2]), headroom))
        elif len(self._complaints) < _COMPLAINTS:
            self._complaints.append(line.strip()[:_COMPLAINT_CHARACTERS])

    def _follow(self, chosen: ChosenLevel) -> None:
        """A reading comes with the run before it, of a level that was asked for."""
        if not self.runs or abs(chosen.at_s - self.runs[-1].at_s) > 1 or chosen.level >= self._level_count:
            raise BadAnswer(self._serial, f"says that level {chosen.level} was chosen at {chosen.at_s:g} s")
        self.levels.append(chosen)

    def _count(self, run: TimedRun) -> None:
        """Runs come in order, within the time that has passed here: what reads them makes windows of that time."""
        first = self.runs[0].at_s if self.runs else run.at_s
        passed = _CLOCK_SLACK * (time.monotonic() - self._begin) + _CLOCK_SLACK_S
        if not (self.runs[-1].at_s if self.runs else 0.0) <= run.at_s <= first + passed or run.ms > 1e3 * passed:
            raise BadAnswer(self._serial, f"says that a run took {run.ms:g} ms and ended at {run.at_s:g} s")
        self.runs.append(run)
        self.signs += 1
        if self._on_run is not None:
            self._on_run(len(self.runs))


class _CtrlC:
    """While a program runs on the phone Ctrl-C only sets `pressed`, so that no answer is lost half-read; a second one
    interrupts at once. Outside of the main thread, where Python has no signals, it does nothing."""

    def __init__(self):
        self.pressed = threading.Event()
        self._before = None

    def __enter__(self) -> "_CtrlC":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _press(self, number: int, frame: object) -> None:
        self.pressed.set()
        signal.signal(signal.SIGINT, self._before)
