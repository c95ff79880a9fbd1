"""The rule for throttling, on runs that were made to throttle, and on runs that were slow for another reason."""

import pytest

from edgedeblur.bench.throttling import CLOCK, SLOWER, judge_sustained
from edgedeblur.device.program import TimedRun
from edgedeblur.device.watch import Reading

BOOT = 5_000.0
CORES = (4, 5, 6, 7)


def runs(seconds, latency):
    """Back to back, each of `latency(its start)` milliseconds."""
    found, now = [], 0.0
    while now < seconds:
        ms = latency(now)
        now += ms / 1e3
        found.append(TimedRun(BOOT + now, ms))
    return found


def readings(seconds, mhz, celsius=lambda at: 45.0):
    clocks = lambda at: {core: mhz(at) if core in CORES else 1800.0 for core in range(8)}  # noqa: E731
    return [Reading(BOOT + at, clocks(at), {"cpu-1-0-usr": celsius(at), "battery": 30.0}) for at in range(seconds)]


def judged(latency, mhz, seconds=120):
    return judge_sustained(seconds / 60, runs(seconds, latency), readings(seconds, mhz), CORES, None)


def after(start, before, then):
    return lambda at: before if at < start else then


def test_slower_runs_at_a_lower_clock_are_throttled_from_the_window_in_which_both_happen():
    found = judged(after(65, 30.0, 40.0), after(65, 2400.0, 1700.0))
    assert found.throttled is True
    assert found.throttled_after_s == pytest.approx(70, abs=1)  # the window 60 to 70 s is half slow: its median decides
    assert found.slowdown == pytest.approx(40 / 30)
    assert [window.throttled for window in found.windows] == [False] * 7 + [True] * 5


def test_slower_runs_at_the_same_clock_are_other_work_not_heat():
    found = judged(after(60, 30.0, 40.0), lambda at: 2400.0)
    assert found.throttled is False and found.throttled_after_s is None
    assert found.slowdown == pytest.approx(40 / 30)


def test_a_lower_clock_that_costs_no_time_is_not_throttling():
    assert judged(lambda at: 30.0, after(60, 2400.0, 1200.0)).throttled is False


def test_without_readable_clocks_latency_alone_decides():
    slow = judge_sustained(2, runs(120, after(60, 30.0, 40.0)), [], CORES, None)
    assert slow.throttled is True and slow.windows[0].clock_mhz is None
    assert judge_sustained(2, runs(120, lambda at: 30.0), [], CORES, None).throttled is False


@pytest.mark.parametrize(("factor", "throttled"), [(SLOWER + 0.01, True), (SLOWER - 0.01, False)])
def test_the_limit_on_latency_is_the_stated_one(factor, throttled):
    assert judged(after(60, 30.0, 30.0 * factor), after(60, 2400.0, 2000.0)).throttled is throttled


@pytest.mark.parametrize(("factor", "throttled"), [(CLOCK - 0.01, True), (CLOCK + 0.01, False)])
def test_the_limit_on_the_clock_is_the_stated_one(factor, throttled):
    assert judged(after(60, 30.0, 40.0), after(60, 2400.0, 2400.0 * factor)).throttled is throttled


def test_a_phone_that_recovers_was_throttled():
    found = judged(lambda at: 45.0 if 50 <= at < 80 else 30.0, lambda at: 1500.0 if 50 <= at < 80 else 2400.0)
    assert found.throttled is True and found.windows[-1].throttled is False


def test_the_rule_is_told_with_its_numbers():
    rule = judged(lambda at: 30.0, lambda at: 2400.0).rule
    assert "10 s" in rule and str(SLOWER) in rule and str(CLOCK) in rule


def test_short_runs_have_six_windows_and_too_few_runs_are_not_judged():
    short = judged(lambda at: 30.0, lambda at: 2400.0, seconds=6)
    assert len(short.windows) == 6 and short.throttled is False
    few = judged(lambda at: 400.0, lambda at: 2400.0, seconds=6)
    assert few.throttled is None and few.slowdown is None


def test_a_window_without_a_reading_has_the_nearest_ones_clock():
    found = judged(after(3, 30.0, 40.0), lambda at: 2400.0, seconds=4)  # readings at 0, 1, 2 and 3 s, windows of 2/3 s
    assert all(window.clock_mhz == 2400.0 for window in found.windows) and found.throttled is False


def test_no_runs_at_all_are_no_verdict():
    nothing = judge_sustained(1, [], readings(3, lambda at: 2400.0), CORES, "unplugged")
    assert (nothing.throttled, nothing.windows, nothing.seconds, nothing.partial) == (None, [], 0.0, "unplugged")


def test_windows_hold_every_run_once_and_the_hottest_temperature():
    found = judge_sustained(
        1, runs(60, lambda at: 31.0), readings(61, lambda at: 2400.0, lambda at: 40.0 + at), CORES, None
    )
    assert sum(window.runs for window in found.windows) == found.runs == len(found.samples_ms)
    assert [window.temperature_c for window in found.windows] == pytest.approx([49, 59, 69, 79, 89, 99], abs=1.5)
    assert found.readings[-1].clock_mhz == 2400.0
