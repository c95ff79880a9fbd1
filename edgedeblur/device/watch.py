"""Clocks and temperatures of a phone once a second while it works, read by a loop on the phone's spare cores."""

import re
import threading
from dataclasses import dataclass

from edgedeblur.device.condition import zone_reader
from edgedeblur.device.errors import ContactLost
from edgedeblur.device.facts import parse_files, whole_number
from edgedeblur.device.shell import Phone, RunningCommand

_UPTIME = "/proc/uptime"
_CLOCKS = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"
_CLOCK_PATH = re.compile(r"/sys/devices/system/cpu/cpu(\d+)/cpufreq/scaling_cur_freq")
_SECONDS = re.compile(r"\d{1,12}\.\d+")
_END = "=== end"
_POLL_S = 0.2
_READING_BYTES = 1 << 18  # some hundred zones and cores take a tenth


@dataclass(frozen=True)
class Reading:
    """at_s: since the phone's boot. clocks_mhz: by core. temperatures_c: by thermal zone."""

    at_s: float
    clocks_mhz: dict[int, float]
    temperatures_c: dict[str, float]


class Watch:
    """Reads once a second from entering to leaving; then `readings` has all of them.

    Losing the phone ends the readings without an error: whatever the phone works on notices too. So does a phone that
    sends more than its loop can.

    Args:
        longest_s: after which the loop on the phone ends by itself, should nobody end it.
        spare_cores: taskset's mask of the cores on which the loop may run; None: any.
    """

    def __init__(self, phone: Phone, longest_s: float, spare_cores: str | None):
        read_zones, self._parse_zones = zone_reader(phone)
        pin = f"taskset -p {spare_cores} $$ >/dev/null 2>&1; " if spare_cores else ""
        self._script = (
            f"{pin}n=0; while [ $n -lt {int(longest_s) + 1} ]; do "
            f"grep -Hs '' {_UPTIME} {_CLOCKS}; {read_zones}; echo '{_END}'; n=$((n+1)); sleep 1; done"
        )
        self._phone = phone
        self._most = int(longest_s) + 1
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.readings: list[Reading] = []

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()

    def _read(self) -> None:
        text, heard = "", 0
        try:
            with RunningCommand(self._phone, self._script) as command:
                while not self._stop.is_set() and command.status is None:
                    for is_error, data in command.poll(_POLL_S):
                        text += "" if is_error else data.decode(errors="replace")
                    *blocks, text = text.split(_END + "\n")
                    self.readings += filter(None, map(self._parse, blocks))
                    heard += len(blocks)
                    if len(text) > _READING_BYTES or heard > self._most:
                        return
        except ContactLost:
            return

    def _parse(self, text: str) -> Reading | None:
        files = parse_files(text)
        uptime = _SECONDS.match(files.get(_UPTIME, ""))
        if uptime is None:
            return None
        found = ((_CLOCK_PATH.fullmatch(path), whole_number(content)) for path, content in files.items())
        clocks = {int(path[1]): khz / 1e3 for path, khz in found if path and khz}
        return Reading(float(uptime[0]), dict(sorted(clocks.items())), self._parse_zones(text))
