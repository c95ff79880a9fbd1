"""The loop that training and distillation share: steps, schedule, weight averaging, validation, checkpoints, progress.

The caller says what one step is; this file says when steps happen and what survives an interruption. A run is a
function of its seed and step number: batches come from (seed, step), so a resumed run continues bit by bit as the
uninterrupted one would (on a CPU, with a budget in steps). Of several processes all step alike; the first alone saves,
validates and tells.
"""

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from edgedeblur.command_line import how_to_resume
from edgedeblur.errors import UserError
from edgedeblur.training.processes import Processes
from edgedeblur.training.progress import Reporter
from edgedeblur.training.recipe import Fitting
from edgedeblur.training.schedule import Budget, rate_factor
from edgedeblur.training.state import TrainingState

Batch = tuple[Tensor, Tensor]
StepFunction = Callable[[Batch, float], dict[str, float]]
"""(batch, fraction of the run that is over) -> losses by name; updates the weights."""


@dataclass(frozen=True)
class LoopOptions:
    """fitting: whose schedule and warm-up count here. checkpoint: the file the state is kept in. minutes between
    checkpoints and between validations."""

    budget: Budget
    fitting: Fitting
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
        UserError: the run was interrupted (its state is saved first), a loss is not finite (the state saved last is
            kept), or a file cannot be written.
    """
    stream = batches(state.step)
    clock = _Clock(state.seconds)
    saver = _Saver(state, options)
    last_validation = clock.seconds()
    with (
        _interruption() as interrupted,
        _without_denormals(),
        contextlib.closing(stream),
        reporter.running(options.budget, state),
    ):
        while (fraction := options.budget.fraction(state.step, state.seconds)) < 1:
            state.set_rates(rate_factor(state.step, fraction, options.fitting.schedule, options.fitting.warm_up))
            losses = step_function(next(stream), fraction)
            signalled = interrupted()
            losses, stop, now = _agreed(state.processes, losses, signalled is not None, clock.seconds())
            _require_finite(state, losses, saver)
            state.finish_step(now)
            reporter.step(state, options.budget, losses)
            if stop:
                saver.save()
                raise state.processes.told_once(saver.interrupted(signalled or signal.SIGINT))
            saver.save_if_due()
            if state.processes.first and now - last_validation >= 60 * options.validate_minutes:
                reporter.validation(state, validate())
                last_validation = clock.seconds()
        saver.save()
    if not state.processes.first:
        return {}
    result = validate()
    reporter.validation(state, result)
    return result


def _agreed(
    processes: Processes, losses: dict[str, float], interrupted: bool, seconds: float
) -> tuple[dict[str, float], bool, float]:
    """Mean losses, whether any process is to stop, and one time for all."""
    *means, stop, seconds = processes.agree([*losses.values(), float(interrupted), seconds])
    return dict(zip(losses, means, strict=True)), stop > 0, seconds


def _require_finite(state: TrainingState, losses: dict[str, float], saver: "_Saver") -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            where, fix = saver.last_good()
            raise state.processes.told_once(
                UserError(f"training diverged: the {name} loss is {value} at step {state.step + 1}; {where}", fix)
            )


class _Saver:
    """Keeps the state in its file, written by the first process."""

    def __init__(self, state: TrainingState, options: LoopOptions):
        self.state, self.path, self.seconds = state, options.checkpoint, 60 * options.checkpoint_minutes
        self.saved_step = state.step or None  # above zero the run was resumed from the file
        self._saved_at = state.seconds

    def save(self) -> None:
        if not self.state.finite():  # losses may be told some steps late
            where, fix = self.last_good()
            message = f"training diverged: weights are NaN or infinite at step {self.state.step}; {where}"
            raise self.state.processes.told_once(UserError(message, fix))
        if self.state.processes.first:
            self.state.save(self.path)
        self.saved_step, self._saved_at = self.state.step, self.state.seconds

    def save_if_due(self) -> None:
        if self.state.seconds - self._saved_at >= self.seconds:
            self.save()

    def last_good(self) -> tuple[str, str]:
        if self.saved_step is None:
            return "no state had been saved yet", "train again with a lower --rate"
        kept = f"the state of step {self.saved_step} is kept in {self.path}"
        return kept, "resume from it with --resume and a lower --rate"

    def interrupted(self, number: int) -> UserError:
        """What to tell when the state has been saved after that signal."""
        self.state.processes.wait_for_all()  # torchrun ends all when the first process is gone
        return UserError(
            f"stopped at step {self.state.step}; the state is in {self.path}",
            how_to_resume(),
            exit_code=128 + number,  # as shells have it
        )


class _Clock:
    """Seconds of training, counted on over resumed runs."""

    def __init__(self, before: float):
        self._zero = time.monotonic() - before

    def seconds(self) -> float:
        return time.monotonic() - self._zero


@contextlib.contextmanager
def _without_denormals() -> Iterator[None]:
    """Within the block a CPU takes numbers below 1e-38 for zero: momentum of a channel that has died shrinks into
    them, and products of such are many times slower."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextlib.contextmanager
def _interruption() -> Iterator[Callable[[], int | None]]:
    """Within the block SIGINT, SIGTERM and SIGHUP are only noted, so that a step can end and be saved.

    Gives a function that returns the first that came, None without any. A block that ends without an error in spite of
    one is followed by that signal.
    """
    seen: list[int] = []
    previous = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            previous[number] = signal.signal(number, lambda caught, _: seen.append(caught))
    except ValueError:
        pass  # not the main thread: its owner handles signals
    try:
        yield lambda: seen[0] if seen else None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if seen:
        signal.raise_signal(seen[0])  # it came after the last step had asked
