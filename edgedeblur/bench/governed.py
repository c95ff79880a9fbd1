"""A sustained run under the governor (docs/governor.md): its levels, what it chose, each minute with and without it."""

import itertools
import re
from collections.abc import Sequence

from edgedeblur.bench.latency import percentile
from edgedeblur.bench.throttling import shown_readings
from edgedeblur.device.program import ChosenLevel, RemoteRun, TimedRun
from edgedeblur.device.watch import Reading
from edgedeblur.errors import UserError
from edgedeblur.report.phone_schema import Governed, GovernorReading, Level, Minute, Sustained, SustainedReading

MAX_LEVELS, MAX_THREADS, MAX_RATE = 16, 64, 1000.0  # of edgedeblur-bench --levels
_LEVEL = re.compile(r"(?:([1-9]):)?(?:(cpu|gpu):)?(\d{1,2})(?:@(\d{1,4}(?:\.\d{1,3})?))?")
_RATES = (0.7, 0.45, 0.25)  # of one frame per budget: heat falls with them, the time of a frame does not
_MINUTE_S = 60.0


def default_levels(
    threads: int, budget_ms: float, macs: int = 1, lighter: Sequence[tuple[str, int]] = ()
) -> tuple[Level, ...]:
    """As the frames come, then ever fewer of them: of one network fewer threads would miss the budget.

    Args:
        macs: of the network. lighter: name and macs of each smaller one: after the network at nearly half of its rate
            they follow at rates of which each heats less than the level before it, as far as macs tell.
    """
    networks = [(None, macs), *lighter]
    levels, least = [Level(None, threads, None)], float(macs)
    for place, (name, own) in enumerate(networks, start=1):
        for share in _RATES if place == len(networks) else _RATES[:-1]:
            if own * share < least:
                levels.append(Level(None, threads, round(share * 1e3 / budget_ms, 1), name))
                least = own * share
    return tuple(levels)


def parse_levels(text: str, lighter: Sequence[str] = ()) -> tuple[Level, ...]:
    """ "gpu:1,4,4@20,2:4@20": a unit, threads, and frames a second at most, from what is preferred to what heats least;
    in front of all 2: or 3: for the first or second of `lighter`, the names of other networks.

    Raises:
        UserError: not such a list, or one that leaves a network out.
    """
    found = [_LEVEL.fullmatch(word) for word in text.split(",")]
    networks = (None, *lighter)
    if all(found) and len(found) <= MAX_LEVELS and all(int(each[1] or 1) <= len(networks) for each in found):
        levels = tuple(
            Level(each[2], int(each[3]), float(each[4]) if each[4] else None, networks[int(each[1] or 1) - 1])
            for each in found
        )
        unused = set(lighter) - {level.network for level in levels}
        if unused:
            numbers = ", ".join(f"{2 + place}:" for place, name in enumerate(lighter) if name in unused)
            raise UserError(f"--governor {text} has no level with {numbers}", "leave --lighter out", exit_code=2)
        if all(1 <= each.threads <= MAX_THREADS and 0 < (each.frames_per_second or 1) <= MAX_RATE for each in levels):
            return levels
    example = "4,4@20,2:4@20" if lighter else "4,4@20,2@10"
    raise UserError(
        f"--governor {text}",
        f"give at most {MAX_LEVELS} levels of threads, 1 to {MAX_THREADS}, and frames a second: --governor {example}",
        exit_code=2,
    )


def levels_text(levels: Sequence[Level], lighter: Sequence[str] = ()) -> str:
    """As `parse_levels` and edgedeblur-bench read them."""
    return ",".join(_level_text(level, lighter) for level in levels)


def _level_text(level: Level, lighter: Sequence[str]) -> str:
    network = "" if level.network is None else f"{2 + lighter.index(level.network)}:"
    unit = f"{level.unit}:" if level.unit else ""
    return f"{network}{unit}{level.threads}" + (f"@{level.frames_per_second:g}" if level.frames_per_second else "")


def judge_governed(
    minutes: float,
    budget_ms: float,
    levels: Sequence[Level],
    run: RemoteRun,
    readings: Sequence[Reading],
    cores: Sequence[int],
    without: Sustained,
) -> Governed:
    """The report's part, without its plot.

    Args:
        run: the governed one. readings: of the phone meanwhile, on the same clock.
        cores: that the program was kept on.
        without: the sustained run before.
    """
    begin = run.runs[0].at_s - run.runs[0].ms / 1e3 if run.runs else 0.0
    at_s, samples = [each.at_s - begin for each in run.runs], [each.ms for each in run.runs]
    seconds = at_s[-1] if at_s else 0.0
    shown = shown_readings(readings, run.runs, cores)
    chosen = [GovernorReading(round(each.at_s - begin, 3), each.level, each.headroom) for each in run.levels]
    return Governed(
        minutes=minutes,
        seconds=seconds,
        runs=len(samples),
        budget_ms=budget_ms,
        levels=list(levels),
        level_seconds=_seconds_in(run.runs, run.levels, len(levels)),
        changes=sum(before != after for before, after in itertools.pairwise([0, *(each.level for each in run.levels)])),
        chosen=chosen,
        late=_late(samples, budget_ms),
        late_without=_late(without.samples_ms, budget_ms),
        by_minute=_by_minute(at_s, samples, shown, chosen),
        by_minute_without=_by_minute(without.at_s, without.samples_ms, without.readings, []),
        readings=shown,
        at_s=[round(value, 3) for value in at_s],
        samples_ms=samples,
        plot=None,
        partial=None if run.failure is None else run.failure.message,
    )


def _late(samples: Sequence[float], budget_ms: float) -> float | None:
    return sum(ms > budget_ms for ms in samples) / len(samples) if samples else None


def _seconds_in(runs: Sequence[TimedRun], chosen: Sequence[ChosenLevel], count: int) -> list[float]:
    """How long each level ran: the first from the start, each chosen one from its reading on."""
    spent = [0.0] * count
    if not runs:
        return spent
    starts = [(runs[0].at_s - runs[0].ms / 1e3, 0), *((each.at_s, each.level) for each in chosen)]
    for (start, level), (end, _) in itertools.pairwise([*starts, (runs[-1].at_s, 0)]):
        spent[level] += max(end - start, 0.0)
    return [round(each, 3) for each in spent]


def _by_minute(
    at_s: Sequence[float],
    samples: Sequence[float],
    readings: Sequence[SustainedReading],
    chosen: Sequence[GovernorReading],
) -> list[Minute]:
    """Minutes from the start, the last one shorter; those without a run are left out. A run belongs to that in which it
    ended."""
    count = int(at_s[-1] // _MINUTE_S) + 1 if at_s else 0
    minutes = []
    for index in range(count):
        low, high = index * _MINUTE_S, (index + 1) * _MINUTE_S
        inside = [ms for at, ms in zip(at_s, samples, strict=True) if low <= at < high]
        temperatures = [each.temperature_c for each in readings if low <= each.at_s < high]
        levels = [each.level for each in chosen if low <= each.at_s < high]
        if inside:
            minutes.append(
                Minute(
                    from_s=low,
                    runs=len(inside),
                    p50_ms=percentile(inside, 50),
                    p90_ms=percentile(inside, 90),
                    p99_ms=percentile(inside, 99),
                    temperature_c=max((each for each in temperatures if each is not None), default=None),
                    levels=sorted(set(levels)),
                )
            )
    return minutes
