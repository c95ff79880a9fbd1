"""`edgedeblur evaluate`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import show
from edgedeblur.cli.progress import Progress
from edgedeblur.workdir import WorkDir


@click.command("evaluate", short_help="PSNR and SSIM of models on pairs.")
@click.argument("pairs", type=options.PATH)
@click.option(
    "-m",
    "--model",
    "models",
    type=options.PATH,
    multiple=True,
    help="Teacher, student, .edq or artefact; again for more. Default: the shipped teacher and the work directory's.",
)
@options.threads
@options.teacher_options
@options.json_file
@options.workdir
def command(
    pairs: Path,
    models: tuple[Path, ...],
    threads: int | None,
    teacher_options: dict,
    json_path: Path | None,
    workdir: WorkDir,
) -> None:
    """Measure PSNR and SSIM of models on PAIRS: a folder with blur/ and sharp/, or with such folders in it.

    RGB, full frame, uint8, no border crop. Several groups get a mean each. With the work directory's own models the
    result is also kept there as evaluation.json, from which `bench` takes the report's quality.
    """
    from edgedeblur.data.pairs import find_pairs
    from edgedeblur.files import write_json
    from edgedeblur.restore.evaluate import evaluate, evaluation_json
    from edgedeblur.restore.open import open_models
    from edgedeblur.restore.tables import evaluation_table
    from edgedeblur.steps import models_to_evaluate

    found = find_pairs(pairs)
    restorers = open_models(models or models_to_evaluate(workdir), threads, **teacher_options)
    with Progress("evaluate") as progress:
        evaluation = evaluate(found, restorers, progress)
    for path in filter(None, (json_path, None if models else workdir.evaluation)):
        write_json(path, evaluation_json(evaluation))
    show(evaluation_table(evaluation))
