"""A teacher and data to a student: options with what the user left out filled in."""

from dataclasses import replace
from pathlib import Path

from edgedeblur.data.pairs import PairInMemory
from edgedeblur.data.training_data import open_training_data
from edgedeblur.distill.distillation import DEFAULT_RECIPE, DistillOptions
from edgedeblur.distill.recipe import DistillRecipe
from edgedeblur.errors import UserError
from edgedeblur.training.recipe import read_recipe
from edgedeblur.workflow.choose_model import default_teacher
from edgedeblur.workflow.shipped import shipped_student
from edgedeblur.workflow.workdir import WorkDir

DEFAULT_MINUTES = 2.0


def distill_options(
    workdir: WorkDir, teacher: Path | None, tier: str, init: str | None, output: Path | None = None, **given
) -> DistillOptions:
    """Options of a distillation with what the user left out filled in.

    Args:
        teacher: None: the default teacher.
        init: "shipped", "none" or a student's file; None: shipped for a tier, none for a network of the user's.
        output: None: the work directory's student.
        given: fields of DistillOptions. Without an end, two minutes.

    Raises:
        UserError: no such file.
    """
    if given.get("steps") is None and given.get("minutes") is None:
        given["minutes"] = DEFAULT_MINUTES
    return DistillOptions(
        output=output or workdir.student,
        teacher=teacher or default_teacher(workdir),
        tier=tier,
        init=_initial_student(init, tier, given.get("student")),
        **given,
    )


def _initial_student(init: str | None, tier: str, student: str | None) -> Path | None:
    init = init or ("shipped" if student is None else "none")
    if init == "none":
        return None
    if init == "shipped" and student is not None:
        raise UserError(f"no weights ship for {student}", "--init none, or a file to start from", exit_code=2)
    return shipped_student(tier) if init == "shipped" else Path(init)


def held_back_pairs(options: DistillOptions) -> list[PairInMemory]:
    """The pairs that a distillation with these options is measured on and does not learn from."""
    recipe = read_recipe(options.recipe or DEFAULT_RECIPE, DistillRecipe)
    data = open_training_data(
        options.data, options.validation, recipe.blur, vars(recipe.shares), options.seed, options.shake
    )
    return [replace(pair, name=str(index)) for index, pair in enumerate(data.validation)]
