"""`edgedeblur distill`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.interruption import goes_on_where
from edgedeblur.cli.output import tell
from edgedeblur.workflow.workdir import WorkDir


@click.command("distill", short_help="Student from teacher and photos, frames or pairs.")
@options.teacher
@options.teacher_options
@options.tier
@options.student
@options.init
@click.option("-o", "--output", type=options.PATH, help="Default: student.safetensors in the work directory.")
@click.option("--recipe", type=options.PATH, help="TOML file of losses and blur; default: the shipped one.")
@click.option("--gates", is_flag=True, help="A student with gates from mean features, whatever the recipe says.")
@options.training
@options.workdir
def command(
    teacher: Path | None,
    teacher_options: dict,
    tier: str,
    student: str | None,
    init: str | None,
    output: Path | None,
    recipe: Path | None,
    gates: bool,
    training: dict,
    workdir: WorkDir,
) -> None:
    """Distil a student of fewer than 5 M parameters from a teacher and photos, video frames or pairs.

    Without options: the shipped teacher, the photographs inside scikit-image, two minutes, starting from the
    shipped student of the tier. With --student, a network of your own: docs/own-student.md. The state is saved
    regularly; the same command with --resume resumes from it.
    """
    from edgedeblur.cli.progress import training_console
    from edgedeblur.distill.distillation import distill
    from edgedeblur.training.saved_state import path_to_resume, state_path
    from edgedeblur.workflow.distill import distill_options

    given = {**training, "recipe": recipe, "gates": gates, "student": student, "teacher_options": teacher_options}
    settings = distill_options(workdir, teacher, tier, init, output, **given)
    goes_on_where(lambda: (path_to_resume if settings.resume else state_path)(settings.output).exists())
    with workdir.lock(settings.output):
        tell(distill(settings, training_console()))
