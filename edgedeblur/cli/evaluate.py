"""`edgedeblur evaluate`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import json_option, show_result
from edgedeblur.cli.progress import Progress, say
from edgedeblur.cli.verbosity import is_verbose
from edgedeblur.workflow.workdir import WorkDir


@click.command("evaluate", short_help="PSNR and SSIM of models on pairs.")
@click.argument("pairs", type=options.PATH)
@click.option(
    "-m",
    "--model",
    "models",
    type=options.PATH,
    multiple=True,
    help="Teacher, student, .edq or artefact; may be repeated. Default: the shipped teacher and the work directory's.",
)
@click.option(
    "--protocol",
    type=click.Choice(["standard", "aligned", "deblurganv2"]),
    default="standard",
    show_default=True,
    help="aligned: standard, and beside it after a homography to the sharp image, as RealBlur's. deblurganv2: as "
    "upstream's test_metrics.py, padded to 736x1280.",
)
@click.option(
    "--ssim",
    type=click.Choice(["gaussian", "uniform7", "complex-wavelet"]),
    help="Gaussian 11x11 (standard), uniform 7x7 (scikit-image's default), or complex-wavelet (deblurganv2's).",
)
@options.threads
@options.interpreter
@options.teacher_options
@json_option
@options.workdir
def command(
    pairs: Path,
    models: tuple[Path, ...],
    protocol: str,
    ssim: str | None,
    threads: int | None,
    interpreter: bool,
    teacher_options: dict,
    workdir: WorkDir,
) -> None:
    """Measure PSNR and SSIM of models on PAIRS: a folder with blur/ and sharp/, or with such folders in it.

    RGB, full frame, uint8, no border crop. Several groups get a mean each; inputs that are nearly sharp already are
    summed up once more by themselves. With the work directory's own models and the standard or the aligned protocol the
    result is also kept there as evaluation.json, from which `bench` takes the report's quality. With -v every pair is
    shown.
    """
    from edgedeblur.data.pairs import find_pairs
    from edgedeblur.restore.evaluation.evaluate import evaluate, evaluation_json, failed_alignments
    from edgedeblur.restore.evaluation.nearly_sharp import nearly_sharp, nearly_sharp_lines
    from edgedeblur.restore.evaluation.protocol import PROTOCOLS
    from edgedeblur.restore.evaluation.tables import evaluation_table, pairs_table
    from edgedeblur.restore.open import open_models
    from edgedeblur.storage.files import write_json
    from edgedeblur.workflow.evaluate import models_to_evaluate

    found, chosen = find_pairs(pairs), PROTOCOLS[protocol]
    chosen.check_options(teacher_options)
    paths = models or models_to_evaluate(workdir)
    quantised = options.of_quantised(workdir, interpreter)
    restorers = open_models(paths, threads, own_padding=not chosen.padded, **quantised, **teacher_options)
    for restorer in restorers:
        for note in restorer.notes:
            say(f"note: {restorer.name}: {note}")
    with Progress("evaluate") as progress:
        evaluation = evaluate(found, restorers, progress, chosen, ssim)
    kept = None if models or chosen.padded or evaluation.ssim != chosen.ssim else workdir.evaluation
    document = evaluation_json(evaluation)
    if kept is not None:
        write_json(kept, document)
    lines = nearly_sharp_lines(nearly_sharp(evaluation.pairs), [model.name for model in evaluation.models])
    every = [pairs_table(evaluation)] if is_verbose() else []
    show_result(document, *every, evaluation_table(evaluation), *lines, *failed_alignments(evaluation))
