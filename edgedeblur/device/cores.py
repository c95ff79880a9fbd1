"""Which cores of a phone a measurement runs on: the fast ones, as many as there are threads."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgedeblur.device.facts import Core, parse_core_list
from edgedeblur.errors import UserError


@dataclass(frozen=True)
class Placement:
    """cores: numbers in rising order. threads: of the program."""

    cores: tuple[int, ...]
    threads: int


def place(cores: Sequence[Core], threads: int | None, default_threads: int) -> Placement:
    """Big cores: all but those of the slowest kind, where there are several kinds (all, where there is one).

    Cores are ranked by the capacity that the kernel gives them, else by their highest clock. Without a given number of
    threads there are `default_threads`, but not more than big cores: a thread on a little core holds the others up.
    With a given number the fastest cores are taken, big or little.
    """
    ranked = sorted(cores, key=lambda core: (-_speed(core, cores), -(core.max_mhz or 0.0), -core.number))
    speeds = {_speed(core, cores) for core in cores}
    big = [core for core in cores if len(speeds) == 1 or _speed(core, cores) > min(speeds)]
    threads = threads or min(default_threads, len(big))
    return Placement(tuple(sorted(core.number for core in ranked[:threads])), threads)


def place_on(cores: Sequence[Core], wanted: str, threads: int | None, default_threads: int) -> Placement:
    """The cores that the user names, such as "4-7" or "0,2"; without a number of threads at most one on each.

    Raises:
        UserError: not such a list, or a core that the phone does not have or that is off.
    """
    numbers = parse_core_list(wanted)
    have = [core.number for core in cores]
    if not numbers or not set(numbers) <= set(have):
        raise UserError(f"cores {wanted!r}; the phone has {cores_text(have)}", "--cores 4-7", exit_code=2)
    return Placement(tuple(sorted(set(numbers))), threads or min(default_threads, len(set(numbers))))


def cores_text(numbers: Sequence[int]) -> str:
    """[0, 4, 5, 6, 7] to "0,4-7", as edgedeblur-bench takes it."""
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in _runs(numbers))


def others_mask(cores: Sequence[Core], used: Sequence[int]) -> str | None:
    """The cores that are not used, as taskset's hexadecimal mask; None where all are used."""
    mask = sum(1 << core.number for core in cores if core.number not in used)
    return f"{mask:x}" if mask else None


def _speed(core: Core, cores: Sequence[Core]) -> float:
    if all(other.capacity is not None for other in cores):
        return core.capacity
    return core.max_mhz or 0.0


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """[0, 4, 5, 6] to [[0], [4, 5, 6]]."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs
