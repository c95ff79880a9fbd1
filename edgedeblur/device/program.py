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

from edgedeblur.device.errors import ContactLost, Interrupted, PhoneSilent, ProgramEnded
from edgedeblur.device.shell import Phone, RunningCommand, run
from edgedeblur.errors import UserError
from edgedeblur.runtime.program import BenchResult, parse_bench_output

PROGRAM = "edgedeblur-bench"
_POLL_S = 0.25
_PID_LINE = re.compile(r"pid (\d+)")
_RUN_LINE = re.compile(r"run (\d+\.\d+) (\d+\.\d+)")
_SIGNALLED = 128  # a shell's status for a program that signal N ended is 128 + N
_GRACE_S = 10.0  # for the program to end and print after SIGINT


@dataclass(frozen=True)
class TimedRun:
    """One measured run: when it ended, in seconds since the phone's boot, and how long it took."""

    at_s: float
    ms: float


@dataclass(frozen=True)
class RemoteRun:
    """What came of it.

    result: what the program printed; None where it could not.
    runs: every measured run that was heard of.
    failure: why the measurement was broken off; None where it was not.
    """

    result: BenchResult | None
    runs: tuple[TimedRun, ...]
    failure: ContactLost | None


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
        timeout_s: longest time without a sign from it.
        on_run: told the number of runs so far.

    Returns:
        The runs; broken off by unplugging, a time limit, Ctrl-C or a signal, those until then, with the reason.

    Raises:
        UserError: the program refuses its options, or does not run on this phone.
        PhoneGone, PhoneSilent: before it was started. ProgramEnded: a signal ended it before the first run.
    """
    words = [program, *options, "--stream", *(["--cores", cores] if cores is not None else [])]
    with _CtrlC() as ctrl_c, RunningCommand(phone, f"echo pid $$ >&2; exec {shlex.join(words)}") as command:
        listener = _Listener(on_run)
        try:
            _listen(command, listener, timeout_s, ctrl_c)
        except ContactLost as failure:
            with contextlib.suppress(ContactLost):
                _end(phone, command, listener)
            return RemoteRun(_result_of(listener), tuple(listener.runs), failure)
    return _outcome(phone.serial, command.status, listener)


def _listen(command: RunningCommand, listener: "_Listener", timeout_s: float, ctrl_c: "_CtrlC") -> None:
    last = time.monotonic()
    while command.status is None:
        packets = command.poll(min(_POLL_S, timeout_s))
        for is_error, data in packets:
            listener.hear(is_error, data)
        now = time.monotonic()
        last = now if packets else last
        if ctrl_c.pressed.is_set():
            raise Interrupted(command.serial)
        if now - last > timeout_s:
            raise PhoneSilent(command.serial, timeout_s)


def _outcome(serial: str, status: int, listener: "_Listener") -> RemoteRun:
    """What came of a program that has ended by itself, or by somebody on the phone."""
    runs = tuple(listener.runs)
    if status > _SIGNALLED:
        failure = ProgramEnded(serial, _signal_name(status - _SIGNALLED))
        if not runs:
            raise failure
        return RemoteRun(None, runs, failure)
    if status != 0:
        reason = listener.complaints() or f"{PROGRAM} ended with status {status}"
        mend = "compile it again if an earlier edgedeblur did: edgedeblur compile" if status == 2 else None
        raise UserError(f"phone {serial}: {reason}", mend, exit_code=2 if status == 2 else 1)
    result = parse_bench_output(listener.output.decode(errors="replace"))
    return RemoteRun(result, runs, ProgramEnded(serial, "SIGINT or SIGTERM") if result.interrupted else None)


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

    def __init__(self, on_run: Callable[[int], None] | None):
        self.output = bytearray()
        self.runs: list[TimedRun] = []
        self.pid: int | None = None
        self._on_run = on_run
        self._errors = b""
        self._complaints: list[str] = []

    def hear(self, is_error: bool, data: bytes) -> None:
        if not is_error:
            self.output += data
            return
        *lines, self._errors = (self._errors + data).split(b"\n")
        for line in lines:
            self._understand(line.decode(errors="replace"))

    def complaints(self) -> str:
        return "; ".join(filter(None, [*self._complaints, self._errors.decode(errors="replace").strip()]))

    def _understand(self, line: str) -> None:
        if self.pid is None and (found := _PID_LINE.fullmatch(line)):
            self.pid = int(found[1])
        elif found := _RUN_LINE.fullmatch(line):
            self.runs.append(TimedRun(float(found[1]), float(found[2])))
            if self._on_run is not None:
                self._on_run(len(self.runs))
        else:
            self._complaints.append(line.strip())


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
