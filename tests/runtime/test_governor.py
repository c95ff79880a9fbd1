"""ed_govern keeps a latency on a phone that heats up, where the ungoverned run does not; and does not swing."""

import ctypes
import itertools
import math
import subprocess

import numpy as np
import pytest
from artefacts import compiled
from heat import AIR_C, TRIP_C, Phone, Way

from edgedeblur.artefact.cpu import architecture
from edgedeblur.compile.linking import link
from edgedeblur.storage.resources import resource_folder

BUDGET_MS = 35.0
SMALL, NANO = 26 * 3.4, 11 * 3.4
LEVELS = (Way(SMALL, 4), Way(SMALL, 4, 20), Way(SMALL, 4, 12), Way(NANO, 4, 20), Way(NANO, 3, 10))


class Reading(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_double), ("p90_ms", ctypes.c_double), ("headroom", ctypes.c_double)]


class Governor(ctypes.Structure):
    _fields_ = [
        ("level", ctypes.c_int),
        ("changed", ctypes.c_double),
        ("uneasy", ctypes.c_double),
        ("patience", ctypes.c_double),
        ("raised", ctypes.c_int),
    ]


@pytest.fixture(scope="module")
def govern():
    library = ctypes.CDLL(str(compiled("host").library))
    library.ed_govern.argtypes = [
        ctypes.POINTER(Governor),
        ctypes.c_int,
        ctypes.c_double,
        ctypes.POINTER(Reading),
    ]
    library.ed_last_error.restype = ctypes.c_char_p

    def step(governor: Governor, seconds: float, p90_ms: float, headroom: float, levels: int = len(LEVELS)) -> int:
        return library.ed_govern(governor, levels, BUDGET_MS, Reading(seconds, p90_ms, headroom))

    step.error = lambda: library.ed_last_error().decode()
    return step


def run(
    phone: Phone, seconds: int, govern=None, knows_headroom: bool = True
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """p90 of every second, temperatures, and levels; without `govern` the first level all the time."""
    governor, level, p90s, temperatures, levels = Governor(), 0, [], [], []
    for now in range(seconds):
        p90s.append(float(np.percentile(phone.second(LEVELS[level]), 90)))
        temperatures.append(phone.temperature_c)
        levels.append(level)
        if govern is not None:
            level = govern(governor, now + 1, p90s[-1], phone.headroom if knows_headroom else math.nan)
    return np.array(p90s), np.array(temperatures), levels


def changes(levels: list[int]) -> int:
    return sum(before != after for before, after in itertools.pairwise(levels))


def test_p90_stays_in_the_budget_where_the_ungoverned_run_leaves_it(govern):
    free, hot, _ = run(Phone(), 1800)
    held, warm, levels = run(Phone(), 1800, govern)
    assert np.mean(free[300:] > BUDGET_MS) > 0.8 and hot.max() > TRIP_C
    assert held.max() <= BUDGET_MS and warm.max() < TRIP_C
    assert changes(levels[600:]) <= 8, "it has found what the phone can keep up"
    assert np.mean(np.array(levels) <= 2) > 0.9, "with the better network"


def test_without_a_temperature_the_latency_alone_is_enough(govern):
    free, _, _ = run(Phone(), 1800)
    held, _, _ = run(Phone(), 1800, govern, knows_headroom=False)
    assert np.mean(held > BUDGET_MS) < 0.05 and np.mean(free > BUDGET_MS) > 0.8
    assert np.percentile(held, 90) < 0.85 * BUDGET_MS < BUDGET_MS < np.percentile(free, 90)


def test_a_phone_in_the_sun_gets_cooler_levels_and_one_that_has_cooled_better_ones_again(govern):
    held, _, levels = run(Phone(air_c=AIR_C + 18), 1200, govern)
    assert levels[-1] >= 3 and np.mean(held > BUDGET_MS) < 0.02
    governor = Governor(level=4)
    seen = [govern(governor, now, 12.0, 0.2) for now in range(0, 200)]
    assert seen[29] == 4 and seen[30] == 3 and seen[60] == 2 and seen[120] == 0, "one level after 30 s of calm"


def test_a_better_level_that_cannot_be_kept_is_tried_ever_more_seldom(govern):
    """A phone whose second level is always calm, and whose first is always late."""
    governor, level, tries = Governor(), 0, []
    for now in range(3000):
        level = govern(governor, now, 40.0 if level == 0 else 20.0, 0.5, 2)
        if level == 0 and (not tries or now - tries[-1] > 10):
            tries.append(now)
    gaps = np.diff(tries)
    assert 30 <= gaps[0] <= 40 and gaps.max() >= 480 and (np.diff(gaps[1:6]) >= 0).all()


def test_between_easy_and_late_nothing_changes(govern):
    governor = Governor(level=1)
    for now in range(600):
        assert govern(governor, now, 0.9 * BUDGET_MS, 0.9) == 1


@pytest.mark.parametrize(
    ("state", "levels", "message"),
    [
        (Governor(level=3), 3, "level 3 of 3"),
        (Governor(level=-1), 3, "level -1"),
        (Governor(changed=9.0), 3, "a reading at"),
    ],
)
def test_what_cannot_be_is_refused(govern, state, levels, message):
    assert govern(state, 1.0, 20.0, 0.5, levels) == -1
    assert message in govern.error()


ASKING = """#include <stdio.h>
#include "headroom.h"
int main(int count, char **words) { return printf("%.3f\\n", ed_headroom(10, words[count - 1])) < 0; }
"""
LIBANDROID = """#include <stdlib.h>
static int manager;
void *AThermal_acquireManager(void) { return getenv("NO_SERVICE") != NULL ? NULL : &manager; }
float AThermal_getThermalHeadroom(void *given, int seconds) {
  return given == &manager && seconds == 10 ? strtof(getenv("HEADROOM"), NULL) : 9;
}
"""


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """headroom.c as for Android, in a program here; libandroid.so is a double in a folder of its own."""
    folder = tmp_path_factory.mktemp("headroom")
    sources, compiler = resource_folder("runtime"), link.zig_cc(f"{architecture()}-linux-gnu.2.17")
    (folder / "ask.c").write_text(ASKING), (folder / "double.c").write_text(LIBANDROID)
    (folder / "lib").mkdir(), (folder / "zones/thermal_zone5").mkdir(parents=True)
    for name, text in (("temp", "65000"), ("trip_point_0_type", "passive"), ("trip_point_0_temp", "80000")):
        (folder / "zones/thermal_zone5" / name).write_text(text)
    link.run_compiler([*compiler, "-shared", "-fPIC", "double.c", "-o", "lib/libandroid.so"], folder)
    flags = ["-D__ANDROID__", *(f"-I{sources / place}" for place in ("camera", "library"))]
    command = [*compiler, *flags, "ask.c", str(sources / "camera/headroom.c"), "-ldl", "-pthread", "-o", "ask"]
    link.run_compiler(command, folder)

    def run(zones: str = "zones", **environment: str) -> str:
        command = [folder / "ask", folder / zones]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    run.lib = str(folder / "lib")
    return run


def test_headroom_is_androids_forecast_where_there_is_one_and_else_the_zones(ask):
    assert ask(LD_LIBRARY_PATH=ask.lib, HEADROOM="0.875") == "0.875"
    assert ask(LD_LIBRARY_PATH=ask.lib, HEADROOM="nan") == "0.500", "asked too often, or not known to the phone"
    assert ask(LD_LIBRARY_PATH=ask.lib, HEADROOM="0.875", NO_SERVICE="1") == "0.500"
    assert ask() == "0.500", "65 degrees of 80, on a scale of 30: before Android 12 there is no such function"
    assert ask("none").endswith("nan")
