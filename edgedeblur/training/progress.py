"""What a run tells while it goes: a progress bar or plain lines, and TensorBoard scalars and images."""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from edgedeblur.errors import UserError
from edgedeblur.training.schedule import Budget
from edgedeblur.training.state import TrainingState

_SMOOTHING = 0.98
_LINE_EVERY, _LINES = 50, 10


class Reporter:
    """Tells of a run on a rich console (a bar on a terminal, lines in a log) and in TensorBoard.

    A log gets a line at the first step and every 50 steps, or ten lines where a run is short. Losses in it are running
    averages, over fewer steps early on; TensorBoard gets them as they are.

    Args:
        console: None keeps quiet.
        title: what the bar is labelled with.
        tensorboard: folder of the event files, None for none.
    """

    def __init__(self, console: Console | None, title: str, tensorboard: Path | None = None):
        self.console, self.title = console, title
        self.smoothed: dict[str, float] = {}
        self._seen: dict[str, int] = {}
        self._progress: Progress | None = None
        self._validation = ""
        self._writer = _summary_writer(tensorboard) if tensorboard is not None else None

    @contextlib.contextmanager
    def running(self, budget: Budget, state: TrainingState) -> Iterator[None]:
        """Shows the bar within the block."""
        with contextlib.ExitStack() as stack:
            if self.console is not None and self.console.is_terminal:
                columns = (
                    TextColumn("{task.description}", markup=False),
                    BarColumn(),
                    TextColumn("{task.percentage:.0f} %", markup=False),
                    TextColumn("{task.fields[state]}", markup=False),  # names of groups of pairs stand in brackets
                )
                progress = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self.console)
                self._progress = stack.enter_context(progress)
                self._task = progress.add_task(self.title, total=1.0, state="")
            yield

    def step(self, state: TrainingState, budget: Budget, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            self._smooth(name, value)
        text = f"step {state.step}  " + "  ".join(f"{name} {value:.4g}" for name, value in self.smoothed.items())
        if self._progress is not None:
            done = budget.fraction(state.step, state.seconds)
            self._progress.update(self._task, completed=done, state=text + self._validation)
        elif self.console is not None and (state.step == 1 or state.step % _line_every(budget) == 0):
            self.line(f"{text}  {state.seconds / 60:.1f} min")
        if self._writer is not None and state.step % 10 == 0:
            for name, value in losses.items():
                self._writer.add_scalar(f"loss/{name}", value, state.step)
            for name, optimiser in state.optimisers.items():
                self._writer.add_scalar(f"rate/{name}", optimiser.param_groups[0]["lr"], state.step)

    def _smooth(self, name: str, value: float) -> None:
        seen = self._seen.get(name, 0)
        decay = min(_SMOOTHING, seen / (seen + 1))
        self.smoothed[name] = self.smoothed.get(name, 0.0) * decay + value * (1 - decay)
        self._seen[name] = seen + 1

    def validation(self, state: TrainingState, result: dict[str, float]) -> None:
        """PSNR by name, in dB."""
        shown = "  ".join(f"{name} {value:.3f} dB" for name, value in result.items())
        self._validation = f"  [{shown}]"
        self.line(f"step {state.step}, validation: {shown}")
        if self._writer is not None:
            for name, value in result.items():
                self._writer.add_scalar(f"psnr/{name}", value, state.step)
            self._writer.flush()

    @property
    def wants_images(self) -> bool:
        return self._writer is not None

    def image(self, state: TrainingState, name: str, image: Tensor) -> None:
        """A [3, H, W] picture in [0, 1] for TensorBoard."""
        if self._writer is not None:
            self._writer.add_image(name, image.clamp(0, 1), state.step)

    def line(self, text: str) -> None:
        if self.console is not None:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)
            sys.stdout.flush()


def _line_every(budget: Budget) -> int:
    return _LINE_EVERY if budget.steps is None else max(1, min(_LINE_EVERY, budget.steps // _LINES))


def tensorboard_folder(wanted: bool | None, folder: Path) -> tuple[Path | None, str | None]:
    """(folder for the event files or None, a line to print or None).

    `wanted` None means: on where TensorBoard is installed.

    Raises:
        UserError: it is asked for and not installed.
    """
    installed = importlib.util.find_spec("tensorboard") is not None
    fix = "pip install 'edgedeblur[training]'"
    if wanted and not installed:
        raise UserError("TensorBoard is not installed", fix)
    if wanted is None and not installed:
        return None, f"no TensorBoard curves: not installed ({fix})"
    if wanted is False:
        return None, None
    return folder, f"curves: tensorboard --logdir {folder}"


def _summary_writer(folder: Path):
    from torch.utils.tensorboard import SummaryWriter  # slow to import, and needs the training extra

    return SummaryWriter(str(folder))
