"""`edgedeblur quantize`."""

from dataclasses import asdict
from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import json_option, show_result
from edgedeblur.cli.progress import Progress, say
from edgedeblur.workflow.workdir import WorkDir


@click.command("quantize", short_help="Int8 network from student and calibration images.")
@click.argument("student_file", metavar="[STUDENT]", type=options.PATH, required=False)
@options.student
@click.option("--weights", type=options.PATH, help="File with the weights of the module or TOML file.")
@click.option("-o", "--output", type=options.PATH, help="Default: quantised.edq in the work directory.")
@options.calibration
@click.option(
    "--observer",
    type=click.Choice(["auto", "mse", "min-max", "percentile"]),
    default="auto",
    show_default=True,
    help="How an activation's range follows from what calibration saw; auto: whichever comes nearest to the student.",
)
@click.option("--percentile", type=float, default=99.99, show_default=True, help="For the observer of that name.")
@click.option("--bias-correction/--no-bias-correction", default=True, show_default=True)
@options.finetune_steps
@options.seed
@json_option
@options.workdir
def command(
    student_file: Path | None,
    student: str | None,
    weights: Path | None,
    output: Path | None,
    calibration: Path | None,
    observer: str,
    percentile: float,
    bias_correction: bool,
    finetune_steps: int,
    seed: int,
    workdir: WorkDir,
) -> None:
    """Make the int8 network of a STUDENT (default: student.safetensors in the work directory).

    STUDENT may also be a float .onnx file; with --student module:callable --weights FILE a trained torch module is
    quantised as it is: docs/own-student.md.

    Says which observer was chosen, by how many dB its int8 output is near the float one's, and at the end what int8
    costs on pictures that calibration did not see: others of a calibration folder of more than 64, else the default
    photographs that are held back.
    """
    from edgedeblur.distill.named_student import trained_student
    from edgedeblur.quantize.pipeline import QuantiseOptions
    from edgedeblur.quantize.quality import quality_sentence
    from edgedeblur.restore.readable import readable
    from edgedeblur.workflow.quantize import int8_cost, quantise_step

    if student_file is not None and student is not None:
        raise click.UsageError(f"give STUDENT or --student, not both: {student_file}, {student}")
    named, destination = student or student_file, output or workdir.quantised
    source = trained_student(named or workdir.need_student(None), weights)
    recipe = QuantiseOptions(
        observer, percentile, bias_correction=bias_correction, finetune_steps=finetune_steps, seed=seed
    )
    with Progress("quantize") as progress, workdir.lock(destination):
        network = quantise_step(source, calibration, destination, recipe, say, progress)
        quality, described = int8_cost(source.student, network, calibration, seed, progress)
    int8 = sum(layer.weight.dtype.name == "int8" for layer in network.layers)
    written = f"{destination}: {int8} of {len(network.layers)} convolutions with int8 weights"
    document = {"network": str(destination), "recipe": network.recipe, "held_back": described, **asdict(quality)}
    show_result(document, f"recipe: {readable(network.recipe)}", quality_sentence(quality, described), written)
