"""A run from its options: what `train` and `distill` do alike around their own step."""

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from rich.console import Console

from edgedeblur.data.batches import batches
from edgedeblur.data.training_data import TrainingData
from edgedeblur.errors import UserError
from edgedeblur.train.loop import LoopOptions, StepFunction, run_loop
from edgedeblur.train.progress import Reporter, tensorboard_folder
from edgedeblur.train.recipe import Fitting
from edgedeblur.train.schedule import Budget
from edgedeblur.train.state import TrainingState
from edgedeblur.train.validation import RestoreImage, mean_psnr, to_tensor


class RunOptions(Protocol):
    """The fields that the options of `train` and `distill` share; documented at `TrainOptions`."""

    output: Path
    steps: int | None
    minutes: float | None
    batch: int | None
    crop: int | None
    rate: float | None
    seed: int
    resume: bool
    tensorboard: bool | None
    threads: int
    checkpoint_minutes: float
    validate_minutes: float


def state_path(output: Path) -> Path:
    """Where the state of a run that writes `output` is kept."""
    return output.with_suffix(".state.pt")


def fitting_of(options: RunOptions, fitting: Fitting) -> Fitting:
    """The recipe's fitting with what the options override.

    Raises:
        UserError: a number that no run can work with.
    """
    given = {name: getattr(options, name) for name in ("batch", "crop", "rate") if getattr(options, name) is not None}
    try:
        return replace(fitting, **given)
    except ValueError as error:
        raise UserError(str(error), exit_code=2) from error


def run_session(
    options: RunOptions,
    title: str,
    state: TrainingState,
    fitting: Fitting,
    data: TrainingData,
    step_function: StepFunction,
    restore: RestoreImage,
    console: Console | None,
) -> dict[str, float]:
    """Resume if asked, report, run the loop; returns the PSNR in dB of the averaged network by validation group.

    Args:
        restore: one uint8 picture through the averaged network.

    Raises:
        UserError: no end given, nothing to resume, TensorBoard asked for and missing, interrupted.
    """
    budget = Budget(options.steps, options.minutes)
    if options.resume:
        state.restore(state_path(options.output))
    events, line = tensorboard_folder(options.tensorboard, options.output.parent / "tensorboard" / options.output.stem)
    reporter = Reporter(console, title, events)
    if line is not None:
        reporter.line(line)

    def validate() -> dict[str, float]:
        _show_first(reporter, state, data, restore)
        return mean_psnr(data.validation, restore)

    return run_loop(
        state,
        lambda step: batches(data.source, options.seed, step, fitting.batch, fitting.crop, options.threads),
        step_function,
        validate,
        LoopOptions(budget, state_path(options.output), options.checkpoint_minutes, options.validate_minutes),
        reporter,
    )


def _show_first(reporter: Reporter, state: TrainingState, data: TrainingData, restore: RestoreImage) -> None:
    """Blurred, restored and sharp beside each other: the first validation picture, to TensorBoard."""
    if reporter.wants_images:
        pair = data.validation[0]
        pictures = [to_tensor(image)[0] for image in (pair.blur, restore(pair.blur), pair.sharp)]
        reporter.image(state, "blurred, restored, sharp", torch.cat(pictures, dim=2))
