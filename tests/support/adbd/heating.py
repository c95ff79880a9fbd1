"""A phone that heats up: by the runs that its programs tell of, in the body of heat.py, whose time goes faster.

Its thermal zone and clocks show it, and a lower clock makes programs slower: they stand still for part of the time.
"""

import contextlib
import os
import re
import signal
import threading
import time
from pathlib import Path

import heat

from adbd.sandbox import replace_text, set_trip, set_zone

RUN = re.compile(rb"run (\d+\.\d+) (\d+\.\d+)\n")
PID = re.compile(rb"pid (\d+)\n")
CORES = 4  # that a program is taken to keep busy, whatever it has under qemu
STEP_S, SHOWN_EVERY_S, PERIOD_S = 5.0, 0.1, 0.02
BACK_TO_BACK_S = 0.05  # between the runs of a program that does not wait


class Heating:
    """Give it every line that a program on the phone says.

    Args:
        speed: seconds of the body for each real one.
        clocks_khz: of the phone's cores.
    """

    def __init__(self, root: Path, speed: float, clocks_khz: tuple[int, ...]):
        self.body, self._root, self._speed, self._clocks = heat.Phone(), root, speed, clocks_khz
        self._at = self._shown = None
        self._ended = threading.Event()
        set_trip(root, 0, heat.TRIP_C)
        self._show()

    def hear(self, line: bytes) -> None:
        if found := RUN.fullmatch(line):
            self._run(float(found[1]), float(found[2]) / 1000)
        elif found := PID.fullmatch(line):
            self._ended = threading.Event()
            threading.Thread(target=self._slow_down, args=(int(found[1]), self._ended), daemon=True).start()
        elif line.startswith(b"{"):  # its result
            self._ended.set()

    def _run(self, at: float, took: float) -> None:
        """A run that ended at `at`, in seconds since boot; between runs the phone idles."""
        passed = at - self._at if self._at is not None else took
        if passed > 0:
            busy = 1.0 if passed - took < BACK_TO_BACK_S else took / passed  # what else this machine does is no idling
            left = passed * self._speed
            while left > 0:
                self.body.heat(busy, CORES, min(left, STEP_S))
                left -= STEP_S
        self._at = at
        if self._shown is None or at - self._shown > SHOWN_EVERY_S:
            self._shown = at
            self._show()

    def _show(self) -> None:
        set_zone(self._root, 0, "cpu-0-0-usr", f"{1000 * self.body.temperature_c:.0f}")
        for number, khz in enumerate(self._clocks):
            folder = self._root / "sys" / "devices" / "system" / "cpu" / f"cpu{number}" / "cpufreq"
            replace_text(folder / "scaling_cur_freq", f"{khz * self.body.clock:.0f}\n")

    def _slow_down(self, pid: int, ended: threading.Event) -> None:
        with contextlib.suppress(ProcessLookupError):
            while not ended.is_set():
                still = PERIOD_S * (1 - self.body.clock)
                if still > 0.0005:
                    os.kill(pid, signal.SIGSTOP)
                    time.sleep(still)
                    os.kill(pid, signal.SIGCONT)
                ended.wait(PERIOD_S - still)
