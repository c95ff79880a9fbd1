"""Which schedule of a layer to keep: batches of proposals around the best one found, then a last comparison.

A coordinate search with random draws: each batch has the neighbours of the best schedule (space.py) and a few drawn
from the whole space, and is measured together with the default schedule and the best one, so that every cost is a ratio
within one run. It ends at a schedule whose neighbours are all slower, or with the budget. The best are then measured
once more beside the default schedule, round by round; one is kept only if it is faster by more than `MIN_GAIN`, and in
`MIN_SHARE` of the rounds.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgedeblur.compile.gpu.schedule import GpuSchedule
from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.schedules.schedule import Schedule
from edgedeblur.errors import UserError
from edgedeblur.tune.measure import Measure, Samples
from edgedeblur.tune.space import Moves, cpu_moves

BATCH = 12
FINALISTS = 3
MIN_GAIN = 0.01  # smaller ones are noise more often than not
MIN_SHARE = 0.65  # equal schedules reach it in one of a thousand comparisons of 120 rounds
_DRAWN = 4  # one in so many of a batch is drawn from the whole space
_QUANTILE = 0.2


@dataclass(frozen=True)
class SearchOptions:
    """How long to search one layer.

    trials: schedules at most. rounds: of a batch; the last comparison has twice as many.
    seed: the same one proposes the same schedules, as long as the times rank them alike.
    deadline: by time.monotonic; what was found until then is decided on.
    """

    trials: int = 48
    rounds: int = 60
    seed: int = 0
    deadline: float = float("inf")


@dataclass(frozen=True)
class Found:
    """The outcome for one layer. default_ms, tuned_ms: in the last comparison. wrong: whose output differs."""

    schedule: Schedule | GpuSchedule
    default_ms: float
    tuned_ms: float
    trials: int
    wrong: tuple[Schedule | GpuSchedule, ...]


def typical_ms(samples: Sequence[float]) -> float:
    """The time of a round that nothing disturbed, as other work only adds: a fifth of the samples lies below it."""
    return float(np.quantile(samples, _QUANTILE))


def wins(default: Samples, tuned: Samples) -> bool:
    """Whether a schedule is faster than the default, both measured in the same rounds, by more than noise."""
    if len(tuned) != len(default) or typical_ms(tuned) >= (1 - MIN_GAIN) * typical_ms(default):
        return False
    return float(np.mean(np.less(tuned, default))) >= MIN_SHARE


def search(
    layer: ConvLayer,
    isa: InstructionSet,
    threads: int,
    measure: Measure,
    options: SearchOptions,
    progress: Callable[[int], None] = lambda trials: None,
) -> Found:
    """`search_among` a layer's schedules for the CPU."""
    return search_among(layer.name, cpu_moves(layer, isa, threads), measure, options, progress)


def search_among(
    name: str,
    moves: Moves,
    measure: Measure,
    options: SearchOptions,
    progress: Callable[[int], None] = lambda trials: None,
) -> Found:
    """The fastest schedule of a layer that was found, the default schedule where none is faster.

    Args:
        name: the layer's.
        progress: told after each batch how many schedules were tried so far.

    Raises:
        UserError: the output of the default schedule is not the interpreter's.
    """
    state = _Search(name, moves, measure, options)
    while time.monotonic() < options.deadline and state.measure_batch():
        progress(state.trials)
    return state.decide()


class _Search:
    """What is known of a layer's schedules. costs: relative to the default schedule in the same run."""

    def __init__(self, name: str, moves: Moves, measure: Measure, options: SearchOptions):
        self.name, self.moves, self.measure, self.options = name, moves, measure, options
        self.default = moves.space[0]
        self.order = random.Random(options.seed)
        self.costs: dict[Schedule | GpuSchedule, float] = {self.default: 1.0}
        self.wrong: list[Schedule] = []

    @property
    def trials(self) -> int:
        """Schedules tried besides the default schedule."""
        return len(self.costs) - 1 + len(self.wrong)

    def measure_batch(self) -> bool:
        """Tries one batch of proposals; false where none is left or every neighbour of the best has been tried."""
        best = min(self.costs, key=self.costs.__getitem__)
        batch = self._propose(best)
        if batch:
            together = list(dict.fromkeys([self.default, best, *batch]))
            self._record(together, self._measured(together, self.options.rounds))
        return bool(batch)

    def decide(self) -> Found:
        """The last comparison."""
        finalists = sorted(self.costs, key=self.costs.__getitem__)[:FINALISTS]
        together = list(dict.fromkeys([self.default, *finalists]))
        reference, *measured = self._measured(together, 2 * self.options.rounds)
        times = {s: samples for s, samples in zip(together[1:], measured, strict=True) if samples is not None}
        chosen, tuned = self.default, reference
        for schedule, samples in times.items():
            if wins(reference, samples) and typical_ms(samples) < typical_ms(tuned):
                chosen, tuned = schedule, samples
        return Found(chosen, typical_ms(reference), typical_ms(tuned), self.trials, tuple(self.wrong))

    def _propose(self, best: Schedule) -> list[Schedule]:
        """Untried schedules: where the search starts, the best one's neighbours, and some from anywhere."""
        room = min(BATCH, self.options.trials - self.trials)
        tried = {*self.costs, *self.wrong}
        near = [*self.moves.starts, *self.moves.near(best)]
        near = [schedule for schedule in dict.fromkeys(near) if schedule not in tried]
        near = near[: room - room // _DRAWN]
        if not near:
            return []
        far = [schedule for schedule in self.moves.space if schedule not in tried and schedule not in near]
        return near + self.order.sample(far, min(room - len(near), len(far)))

    def _measured(self, schedules: list[Schedule], rounds: int) -> list[Samples | None]:
        measured = self.measure(schedules, rounds)
        if measured[0] is None:
            raise UserError(
                f"layer {self.name}: the output of {self.default} is not the integer interpreter's",
                "this is a defect; please report it",
            )
        return measured

    def _record(self, schedules: list[Schedule], measured: list[Samples | None]) -> None:
        default = typical_ms(measured[0])
        for schedule, samples in zip(schedules[1:], measured[1:], strict=True):
            if samples is None:
                self.wrong.append(schedule)
                self.costs.pop(schedule, None)
            else:
                self.costs[schedule] = typical_ms(samples) / default
