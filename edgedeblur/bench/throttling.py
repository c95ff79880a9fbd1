"""Whether a phone slows down when it works for minutes: the rule, on runs and on clocks read meanwhile."""

from collections.abc import Sequence
from dataclasses import replace

from edgedeblur.bench.latency import percentile
from edgedeblur.device.condition import hottest_cpu
from edgedeblur.device.program import TimedRun
from edgedeblur.device.watch import Reading
from edgedeblur.report.phone_schema import Sustained, SustainedReading, SustainedWindow

SLOWER = 1.10  # a window's median latency by the first one's
CLOCK = 0.95  # its mean clock by the first one's
_WINDOW_S = 10.0
_MIN_WINDOWS = 6
_MIN_RUNS = 5  # in every window
RULE = (
    f"The run is cut into windows of {_WINDOW_S:g} s (a sixth of the run where it is shorter than a minute). "
    f"A window is throttled when its median latency is at least {SLOWER:g} times the first window's and, where clocks "
    f"can be read, the used cores' mean clock is at most {CLOCK:g} times the first window's. The run is throttled when "
    f"a window is; with fewer than {_MIN_RUNS} runs in a window it is not judged."
)


def judge_sustained(
    minutes: float, runs: Sequence[TimedRun], readings: Sequence[Reading], cores: Sequence[int], partial: str | None
) -> Sustained:
    """The sustained part of the report, without its plot.

    Args:
        minutes: as asked for.
        runs: in order; their ends and the readings are on one clock, the phone's.
        cores: that the program was kept on.
        partial: why it ended early.
    """
    begin = runs[0].at_s - runs[0].ms / 1e3 if runs else 0.0
    at_s = [run.at_s - begin for run in runs]
    samples = [run.ms for run in runs]
    shown = shown_readings(readings, runs, cores)
    windows = _judged(_windows(at_s, samples, shown))
    slow = [window for window in windows if window.throttled]
    judged = bool(windows) and windows[0].throttled is not None
    return Sustained(
        minutes=minutes,
        seconds=at_s[-1] if at_s else 0.0,
        runs=len(runs),
        throttled=bool(slow) if judged else None,
        throttled_after_s=slow[0].from_s if slow else None,
        slowdown=max(window.p50_ms for window in windows) / windows[0].p50_ms if judged else None,
        rule=RULE,
        windows=windows,
        readings=shown,
        at_s=[round(value, 3) for value in at_s],
        samples_ms=samples,
        plot=None,
        partial=partial,
    )


def shown_readings(
    readings: Sequence[Reading], runs: Sequence[TimedRun], cores: Sequence[int]
) -> list[SustainedReading]:
    """Those between the first run's start, from which their seconds count, and the last one's end."""
    begin = runs[0].at_s - runs[0].ms / 1e3 if runs else 0.0
    return [_reading(each, begin, cores) for each in readings if runs and begin <= each.at_s <= runs[-1].at_s]


def _windows(
    at_s: Sequence[float], samples: Sequence[float], readings: Sequence[SustainedReading]
) -> list[SustainedWindow]:
    """Windows of equal length, not yet judged; a run belongs to that in which it ended. Empty ones are left out."""
    if not at_s:
        return []
    count = max(_MIN_WINDOWS, round(at_s[-1] / _WINDOW_S))
    length = at_s[-1] / count
    runs_in: list[list[float]] = [[] for _ in range(count)]
    for at, ms in zip(at_s, samples, strict=True):
        runs_in[_index(at, length, count)].append(ms)
    windows = []
    for index, inside in enumerate(runs_in):
        from_s, to_s = index * length, (index + 1) * length
        if not inside:
            continue
        there = _readings_in(readings, from_s, to_s)
        clocks = [reading.clock_mhz for reading in there if reading.clock_mhz is not None]
        temperatures = [reading.temperature_c for reading in there if reading.temperature_c is not None]
        clock = sum(clocks) / len(clocks) if clocks else None
        windows.append(
            SustainedWindow(
                from_s, to_s, len(inside), percentile(inside, 50), clock, max(temperatures, default=None), None
            )
        )
    return windows


def _readings_in(readings: Sequence[SustainedReading], from_s: float, to_s: float) -> Sequence[SustainedReading]:
    """Those of a window; in a window shorter than the time between readings, the nearest one."""
    inside = [reading for reading in readings if from_s <= reading.at_s < to_s]
    middle = (from_s + to_s) / 2
    return inside or sorted(readings, key=lambda reading: abs(reading.at_s - middle))[:1]


def _index(at_s: float, length: float, count: int) -> int:
    return max(0, min(int(at_s / length), count - 1)) if length > 0 else 0


def _judged(windows: list[SustainedWindow]) -> list[SustainedWindow]:
    if len(windows) < _MIN_WINDOWS or min(window.runs for window in windows) < _MIN_RUNS:
        return windows
    return [replace(window, throttled=_is_throttled(window, windows[0])) for window in windows]


def _is_throttled(window: SustainedWindow, first: SustainedWindow) -> bool:
    if window.p50_ms < SLOWER * first.p50_ms:
        return False
    if window.clock_mhz is None or first.clock_mhz is None:
        return True
    return window.clock_mhz <= CLOCK * first.clock_mhz


def _reading(reading: Reading, begin: float, cores: Sequence[int]) -> SustainedReading:
    clocks = [reading.clocks_mhz[core] for core in cores if core in reading.clocks_mhz]
    clock = sum(clocks) / len(clocks) if clocks else None
    return SustainedReading(round(reading.at_s - begin, 3), clock, hottest_cpu(reading.temperatures_c))
