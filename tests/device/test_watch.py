"""Clocks and temperatures are read once a second while something runs, from whatever source the phone has."""

import contextlib
import time
from pathlib import Path

from adbd.sandbox import hide_zones
from test_reading import THERMAL_SERVICE

from edgedeblur.device.watch import Watch


def loops(played):
    """Processes of the loop: shells that have it as their script."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes()
            if bytes(played.root) in words and b"while" in words:
                found.append(path)
    return found


def watched(phone, readings, meanwhile=lambda watch: None, is_over=lambda watch: False):
    """A watch that was left after so many readings, or when it is over."""
    with Watch(phone, longest_s=30.0, spare_cores="f") as watch:
        end = time.monotonic() + 30
        while len(watch.readings) < readings and not is_over(watch) and time.monotonic() < end:
            meanwhile(watch)
            time.sleep(0.02)
    return watch


def test_changes_are_seen_in_order(phone):
    played, connection = phone
    clock = played.place("/sys/devices/system/cpu/cpu7/cpufreq/scaling_cur_freq")

    def slow_down(watch):
        if watch.readings and clock.read_text() != "1500000\n":
            (played.root / "clock").write_text("1500000\n")
            (played.root / "clock").replace(clock)

    first, *_, last = watched(connection, 3, slow_down).readings
    assert (first.clocks_mhz[7], last.clocks_mhz[7]) == (2841.6, 1500.0)
    assert first.clocks_mhz[0] == 1804.8 and len(first.clocks_mhz) == 8
    assert first.temperatures_c == {"battery": 30.5, "cpu-0-0-usr": 41.2, "cpu-1-3-usr": 44.5}
    assert last.at_s - first.at_s >= 2


def test_where_the_zones_are_closed_androids_service_is_asked(phone):
    played, connection = phone
    hide_zones(played.root)
    played.place("/dumpsys-thermalservice").write_text(THERMAL_SERVICE)
    assert watched(connection, 1).readings[0].temperatures_c == {"CPU0": 38.2, "CPU7": 45.5, "battery": 31.0}


def test_the_loop_on_the_phone_ends_with_the_watch(phone):
    played, connection = phone
    running = []
    watched(connection, 2, lambda watch: running.append(len(loops(played))))
    assert max(running) >= 1  # the shell forks
    for _ in range(600):
        if not loops(played):
            break
        time.sleep(0.05)
    assert not loops(played)


def test_losing_the_phone_keeps_what_was_read(phone):
    played, connection = phone
    gone = []

    def unplug(watch):
        if watch.readings and not gone:
            played.unplug()
            gone.append(time.monotonic())

    def is_over(watch):
        return gone and time.monotonic() - gone[0] > 1.5

    watch = watched(connection, 2, unplug, is_over)
    assert len(watch.readings) == 1
