"""The loop that training and distillation share: steps, schedule, weight averaging, validation, checkpoints, progress.

The caller says what one step is; this file says when steps happen and what survives an interruption. A run is a
function of its seed and step number: batches come from (seed, step), so a resumed run goes on bit by bit as the
uninterrupted one would (on a CPU, with a budget in steps).
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from edgedeblur.errors import INTERRUPTED, UserError
from edgedeblur.train.progress import Reporter
from edgedeblur.train.schedule import Budget, rate_factor
from edgedeblur.train.state import TrainingState

Batch = tuple[Tensor, Tensor]
StepFunction = Callable[[Batch, float], dict[str, float]]
"""(batch, fraction of the run that is over) -> losses by name; updates the weights."""

_SUSPICIOUS_STEPS = 20


@dataclass(frozen=True)
class LoopOptions:
    """checkpoint: the file the state is kept in. minutes between checkpoints and between validations."""

    budget: Budget
    checkpoint: Path
    checkpoint_minutes: float = 5.0
    validate_minutes: float = 10.0


def run_loop(
    state: TrainingState,
    batches: Callable[[int], Iterator[Batch]],
    step_function: StepFunction,
    validate: Callable[[], dict[str, float]],
    options: LoopOptions,
    reporter: Reporter,
) -> dict[str, float]:
    """Train until the budget is used up; returns the last validation.

    Args:
        batches: gives the batches from a step number on.
        validate: PSNR in dB by name, of the averaged weights.

    Raises:
        UserError: the run was interrupted (its state is saved first), or its losses are NaN.
    """
    stream = batches(state.step)
    clock = _Clock(state.seconds)
    last_checkpoint = last_validation = clock.seconds()
    bad_steps = 0
    with _interruption() as interrupted, contextlib.closing(stream), reporter.running(options.budget, state):
        while (fraction := options.budget.fraction(state.step, clock.seconds())) < 1:
            state.set_rates(rate_factor(state.step, fraction))
            losses = step_function(next(stream), fraction)
            bad_steps = 0 if all(value == value for value in losses.values()) else bad_steps + 1
            if bad_steps >= _SUSPICIOUS_STEPS:
                raise UserError(f"losses are NaN since step {state.step - bad_steps + 1}", "use a lower --rate")
            state.finish_step(clock.seconds())
            reporter.step(state, options.budget, losses)
            now = clock.seconds()
            if interrupted():
                state.save(options.checkpoint)
                raise UserError(
                    f"stopped at step {state.step}; the state is in {options.checkpoint}",
                    "the same command with --resume goes on from there",
                    exit_code=INTERRUPTED,
                )
            if now - last_checkpoint >= 60 * options.checkpoint_minutes:
                state.save(options.checkpoint)
                last_checkpoint = now
            if now - last_validation >= 60 * options.validate_minutes:
                reporter.validation(state, validate())
                last_validation = clock.seconds()
    state.save(options.checkpoint)
    result = validate()
    reporter.validation(state, result)
    return result


class _Clock:
    """Seconds of training, counted on over resumed runs."""

    def __init__(self, before: float):
        self._zero = time.monotonic() - before

    def seconds(self) -> float:
        return time.monotonic() - self._zero


@contextlib.contextmanager
def _interruption() -> Iterator[Callable[[], bool]]:
    """Within the block the first SIGINT or SIGTERM is only noted, so that a step can end and be saved."""
    seen: list[int] = []
    previous = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, lambda caught, _: seen.append(caught))
    except ValueError:
        pass  # not the main thread: its owner handles signals
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
