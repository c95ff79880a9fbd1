"""A run from its options: what `train` and `distill` do alike around their own step."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from edgedeblur.data.batches import Stock, batches
from edgedeblur.data.gpu.stock import GpuStock, made_on_gpu
from edgedeblur.data.training_data import TrainingData
from edgedeblur.errors import UserError
from edgedeblur.storage.files import require_writable
from edgedeblur.training.loop import Batch, LoopOptions, StepFunction, run_loop
from edgedeblur.training.muon import Muon
from edgedeblur.training.processes import launched
from edgedeblur.training.progress import Reporter, tensorboard_folder
from edgedeblur.training.recipe import Fitting
from edgedeblur.training.saved_state import path_to_resume, refuse_to_replace, state_path
from edgedeblur.training.schedule import Budget
from edgedeblur.training.state import TrainingState
from edgedeblur.training.validation import RestoreImage, mean_psnr, to_tensor


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """What the options of `train` and `distill` share.

    output: the model file to write; the state for --resume is kept beside it, see `train.saved_state`.
    data: folders to learn from, each `FOLDER` or `KIND:FOLDER` with KIND photos, pairs or frames; none: default photos.
    shake: recordings of angular rates for the recipe's recorded blur; None: the model of them that ships.
    validation: folders of pairs to measure on; none: a part of the data is held back.
    steps, minutes: the run ends at whichever comes first, and the learning rate falls accordingly.
    batch, crop, rate: override the recipe where not None; the batch is of one process.
    seed: of initial weights and data. device: auto, cpu, cuda, cuda:N. precision: auto, float32, bfloat16, float16.
    init: a model file of the same network to start from instead of fresh weights. resume: resume from the saved state.
    tensorboard: True, False, or None for "where it is installed". threads: that prepare batches.
    checkpoint_minutes, validate_minutes: how often the state is saved and PSNR is measured.
    """

    output: Path
    data: tuple[str, ...] = ()
    shake: Path | None = None
    validation: tuple[str, ...] = ()
    steps: int | None = None
    minutes: float | None = None
    batch: int | None = None
    crop: int | None = None
    rate: float | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    init: Path | None = None
    resume: bool = False
    tensorboard: bool | None = None
    threads: int = 1
    checkpoint_minutes: float = 5.0
    validate_minutes: float = 10.0


def check_output(options: SessionOptions) -> None:
    """Says before the work begins that its files could not be written, or would replace what must not be lost.

    Raises:
        UserError: the folder cannot be written, a name is too long, or the state of an interrupted run is there and
            the options are not to resume from it.
    """
    for path in (options.output, state_path(options.output)):
        require_writable(path)
    if not options.resume:
        refuse_to_replace(options.output)


def fitting_of(options: SessionOptions, fitting: Fitting, device: torch.device) -> Fitting:
    """The recipe's fitting with what the options override, and its smaller batch on a CPU.

    Raises:
        UserError: a number that no run can work with.
    """
    if device.type == "cpu" and fitting.cpu_batch:
        fitting = replace(fitting, batch=fitting.cpu_batch)
    given = {name: getattr(options, name) for name in ("batch", "crop", "rate") if getattr(options, name) is not None}
    try:
        return replace(fitting, **given)
    except ValueError as error:
        raise UserError(str(error), exit_code=2) from error


def new_optimiser(
    parameters: Iterable[nn.Parameter],
    fitting: Fitting,
    slow: Iterable[nn.Parameter] = (),
    slow_rate: float = 1.0,
) -> torch.optim.Optimizer:
    """The optimiser of a recipe: AdamW (Loshchilov and Hutter, ICLR 2019), or Muon (`train.muon`).

    Args:
        slow: parameters that learn at `slow_rate` times the rate, and never by Muon.
    """
    parameters, slow = list(parameters), list(slow)
    rates = [fitting.rate, fitting.rate * slow_rate]
    if fitting.optimiser == "muon":
        hidden = [parameter for parameter in parameters if parameter.dim() > 1]
        others = [parameter for parameter in parameters if parameter.dim() <= 1]
        return Muon(hidden, [others, slow], fitting.rate, rates, fitting.weight_decay)
    groups = [{"params": group, "lr": rate} for group, rate in zip((parameters, slow), rates, strict=True) if group]
    return torch.optim.AdamW(groups, fitting.rate, betas=fitting.betas, weight_decay=fitting.weight_decay)


def run_session(
    options: SessionOptions,
    title: str,
    state: TrainingState,
    fitting: Fitting,
    data: TrainingData,
    step_function: StepFunction,
    restore: RestoreImage,
    console: Console | None,
) -> dict[str, float]:
    """Resume if asked, report, run the loop; returns the PSNR in dB of the averaged network by validation group, in
    other processes than the first nothing.

    Args:
        restore: one uint8 picture through the averaged network.

    Raises:
        UserError: no end given, nothing to resume, TensorBoard asked for and missing, interrupted, diverged; or
            torchrun started a caller that did not connect its processes.
    """
    budget, processes = Budget(options.steps, options.minutes), state.processes
    if launched() and processes.count == 1:
        raise UserError("only training runs in several processes", "start this command without torchrun", exit_code=2)
    if options.resume:
        state.restore(path_to_resume(options.output))
    reporter = _reporter(options, title, console) if processes.first else Reporter(None, title)

    def draw_from(step: int) -> Iterator[Batch]:
        drawn = data.source, options.seed, fitting.batch, fitting.crop, fitting.reuse
        device = next(state.main.parameters()).device
        if device.type == "cuda" and processes.count == 1 and made_on_gpu(data.source):
            return GpuStock(*drawn, device).batches(step)
        return batches(Stock(*drawn, processes.rank), step, options.threads)

    def validate() -> dict[str, float]:
        _show_first(reporter, state, data, restore)
        return mean_psnr(data.validation, restore)

    return run_loop(
        state,
        draw_from,
        step_function,
        validate,
        LoopOptions(budget, fitting, state_path(options.output), options.checkpoint_minutes, options.validate_minutes),
        reporter,
    )


def _reporter(options: SessionOptions, title: str, console: Console | None) -> Reporter:
    events, line = tensorboard_folder(options.tensorboard, options.output.parent / "tensorboard" / options.output.stem)
    reporter = Reporter(console, title, events)
    if line is not None:
        reporter.line(line)
    return reporter


def _show_first(reporter: Reporter, state: TrainingState, data: TrainingData, restore: RestoreImage) -> None:
    """Blurred, restored and sharp beside each other: the first validation picture, to TensorBoard."""
    if reporter.wants_images:
        pair = data.validation[0]
        pictures = [to_tensor(image)[0] for image in (pair.blur, restore(pair.blur), pair.sharp)]
        reporter.image(state, "blurred, restored, sharp", torch.cat(pictures, dim=2))
