"""Pairs and models to an evaluation."""

from collections.abc import Sequence
from pathlib import Path

from edgedeblur.data.pairs import AnyPair
from edgedeblur.errors import UserError
from edgedeblur.progress import Progress
from edgedeblur.restore.evaluation.evaluate import Evaluation, evaluate, evaluation_json
from edgedeblur.restore.open import Restorer, open_model
from edgedeblur.storage.files import write_json
from edgedeblur.workflow.choose_model import default_teacher
from edgedeblur.workflow.workdir import WorkDir


def models_to_evaluate(workdir: WorkDir, quantised: Path | None = None) -> list[Path]:
    """The default teacher, the work directory's student, and the quantised network given or the work directory's.

    Raises:
        UserError: there is neither a student nor a quantised network.
    """
    own = [path for path in (workdir.student, quantised or workdir.quantised) if path.exists()]
    if not own:
        raise UserError(f"no model in {workdir.root}", "make one with edgedeblur distill, or name one with --model")
    return [default_teacher(workdir), *own]


def evaluate_step(
    pairs: Sequence[AnyPair], models: Sequence[Path], output: Path, progress: Progress, **teacher_options
) -> tuple[Evaluation, list[Restorer]]:
    """Pairs and models to `evaluation.json`; also the opened models.

    Raises:
        UserError: a model or a pair that cannot be read.
    """
    restorers = [open_model(path, load_torch=True, **teacher_options) for path in models]
    evaluation = evaluate(pairs, restorers, progress)
    write_json(output, evaluation_json(evaluation))
    return evaluation, restorers
