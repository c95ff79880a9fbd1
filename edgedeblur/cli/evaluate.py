"""`edgedeblur evaluate`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import show
from edgedeblur.cli.progress import Progress, say
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
@click.option(
    "--protocol",
    type=click.Choice(["standard", "deblurganv2"]),
    default="standard",
    show_default=True,
    help="deblurganv2: as upstream's test_metrics.py, padded to 736x1280.",
)
@click.option(
    "--ssim",
    type=click.Choice(["gaussian", "uniform7", "complex-wavelet"]),
    help="Gaussian 11x11 (standard), uniform 7x7 (scikit-image's default), or complex-wavelet (deblurganv2's).",
)
@options.threads
@options.teacher_options
@options.json_file
@options.workdir
def command(
    pairs: Path,
    models: tuple[Path, ...],
    protocol: str,
    ssim: str | None,
    threads: int | None,
    teacher_options: dict,
    json_path: Path | None,
    workdir: WorkDir,
) -> None:
    """Measure PSNR and SSIM of models on PAIRS: a folder with blur/ and sharp/, or with such folders in it.

    RGB, full frame, uint8, no border crop. Several groups get a mean each. With the work directory's own models and
    the standard protocol the result is also kept there as evaluation.json, from which `bench` takes the report's
    quality.
    """
    from edgedeblur.data.pairs import find_pairs
    from edgedeblur.files import write_json
    from edgedeblur.restore.evaluate import evaluate, evaluation_json
    from edgedeblur.restore.open import open_models
    from edgedeblur.restore.protocol import PROTOCOLS
    from edgedeblur.restore.tables import evaluation_table
    from edgedeblur.steps import models_to_evaluate

    found, chosen = find_pairs(pairs), PROTOCOLS[protocol]
    chosen.check_options(teacher_options)
    paths = models or models_to_evaluate(workdir)
    restorers = open_models(paths, threads, own_padding=not chosen.padded, **teacher_options)
    for restorer in restorers:
        for note in restorer.notes:
            say(f"note: {restorer.name}: {note}")
    with Progress("evaluate") as progress:
        evaluation = evaluate(found, restorers, progress, chosen, ssim)
    kept = None if models or chosen.padded or evaluation.ssim != chosen.ssim else workdir.evaluation
    for path in filter(None, (json_path, kept)):
        write_json(path, evaluation_json(evaluation))
    show(evaluation_table(evaluation))
