"""`edgedeblur quantize`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import json_option, show_result
from edgedeblur.cli.progress import Progress, say
from edgedeblur.workflow.workdir import WorkDir

if TYPE_CHECKING:
    from edgedeblur.workflow.quantize import Outcome

_BOUND_NOT_KEPT = 3  # as a failed verdict of `bench`


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
@click.option(
    "--export-room/--no-export-room",
    default=True,
    show_default=True,
    help="Leave room in int8 for what other runtimes round before they add; without it int8 costs less, and exported "
    "networks differ from edgedeblur's where that room is missing.",
)
@click.option(
    "--winograd-form/--no-winograd-form",
    default=False,
    show_default=True,
    help="Let layers read their input in 7 bits where that adds little noise: on ARM they then take a third fewer "
    "products, and int8 costs more.",
)
@options.finetune_steps
@click.option(
    "--finetune-data",
    multiple=True,
    help="What fine-tuning looks at in place of the calibration pictures: FOLDER, or photos:, pairs: or frames:FOLDER, "
    "with @SHARE if wanted; may be repeated. As distill's --data: give what the student learned from.",
)
@click.option(
    "--recipe",
    type=options.PATH,
    help="TOML file as distill's, of the blur and shares of --finetune-data; default: the shipped students' last.",
)
@click.option("--sensitivity", is_flag=True, help="Rank the layers by the dB lost when only that one is int8.")
@click.option(
    "--halves",
    type=click.IntRange(0, 100),
    default=0,
    show_default=True,
    help="Quantise again from so many random halves of the calibration pictures; says by how much the drop differs.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0),
    metavar="DB",
    help="Try ever longer recipes, fine-tuning up to 3,000 steps or --finetune-steps, at last int16 activations in the "
    "worst layers, until held-back pictures lose no more; exits with 3 where none keeps it.",
)
@options.seed
@json_option
@options.workdir
@click.pass_context
def command(
    context: click.Context,
    student_file: Path | None,
    student: str | None,
    weights: Path | None,
    output: Path | None,
    calibration: Path | None,
    observer: str,
    percentile: float,
    bias_correction: bool,
    export_room: bool,
    winograd_form: bool,
    finetune_steps: int,
    finetune_data: tuple[str, ...],
    recipe: Path | None,
    sensitivity: bool,
    halves: int,
    max_drop: float | None,
    seed: int,
    workdir: WorkDir,
) -> None:
    """Make the int8 network of a STUDENT (default: student.safetensors in the work directory).

    STUDENT may also be a float .onnx file; with --student module:callable --weights FILE a trained torch module is
    quantised as it is: docs/own-student.md.

    Says which observer was chosen, by how many dB its int8 output is near the float one's, and at the end what int8
    costs on pictures that calibration did not see: others of a calibration folder of more than 64, else the default
    photographs that are held back.

    With --sensitivity a plot, sensitivity.png, is written beside the network. With --max-drop the nearest network is
    written where none keeps the bound.
    """
    from edgedeblur.distill.named_student import trained_student
    from edgedeblur.quantize.pipeline import QuantiseOptions
    from edgedeblur.workflow.quantize import Asked, FinetuneData, quantise_and_judge

    if student_file is not None and student is not None:
        raise click.UsageError(f"give STUDENT or --student, not both: {student_file}, {student}")
    if recipe is not None and not finetune_data:
        raise click.UsageError(f"--recipe {recipe} is of the blur of --finetune-data; give that too")
    named, destination = student or student_file, output or workdir.quantised
    source = trained_student(named or workdir.need_student(None), weights)
    settings = QuantiseOptions(
        observer,
        percentile,
        bias_correction=bias_correction,
        finetune_steps=finetune_steps,
        export_room=export_room,
        seed=seed,
        winograd_form=winograd_form,
    )
    steps_given = context.get_parameter_source("finetune_steps") is not click.core.ParameterSource.DEFAULT
    asked = Asked(sensitivity, halves, max_drop, finetune_steps if steps_given else None)
    shown = FinetuneData(finetune_data, recipe) if finetune_data else None
    plot = destination.with_name(workdir.sensitivity.name)
    with Progress("quantize") as progress, workdir.lock(destination):
        outcome = quantise_and_judge(source, calibration, destination, settings, asked, say, progress, shown)
        _draw(outcome, plot)
    _show(outcome, destination, plot)
    if outcome.bounded is not None and not outcome.bounded.kept:
        context.exit(_BOUND_NOT_KEPT)


def _draw(outcome: "Outcome", plot: Path) -> None:
    """The plot of the layers' costs; one of an earlier network is taken away."""
    from edgedeblur.report.sensitivity import write_sensitivity_png

    if outcome.costs is not None:
        write_sensitivity_png(outcome.costs, plot)
    else:
        plot.unlink(missing_ok=True)


def _show(outcome: "Outcome", destination: Path, plot: Path) -> None:
    from edgedeblur.quantize.cost.bound import bound_sentences
    from edgedeblur.quantize.cost.halves import halves_sentence
    from edgedeblur.quantize.quality import quality_sentence
    from edgedeblur.report.sensitivity import attempts_table, sensitivity_table
    from edgedeblur.restore.readable import readable

    network, shown = outcome.network, []
    int8 = sum(layer.weight.dtype.name == "int8" for layer in network.convolutions)
    if outcome.costs is not None:
        shown += [sensitivity_table(outcome.costs), f"{plot}: the same as a plot"]
    if outcome.halves is not None:
        shown.append(halves_sentence(outcome.halves))
    if outcome.bounded is not None:
        cost = outcome.int16_cost.sentence if outcome.int16_cost is not None else ""
        shown += [attempts_table(outcome.bounded.attempts), *bound_sentences(outcome.bounded, outcome.costs, cost)]
    shown += [f"recipe: {readable(network.recipe)}", quality_sentence(outcome.quality, outcome.held_back)]
    shown.append(f"{destination}: {int8} of {len(network.convolutions)} convolutions with int8 weights")
    document = {
        "network": str(destination),
        "recipe": network.recipe,
        "held_back": outcome.held_back,
        **asdict(outcome.quality),
        "sensitivity": outcome.costs and [asdict(cost) for cost in outcome.costs],
        "halves": outcome.halves and asdict(outcome.halves),
        "max_drop": outcome.bounded and _bounded_document(outcome),
    }
    show_result(document, *shown)


def _bounded_document(outcome: "Outcome") -> dict:
    bounded = outcome.bounded
    return {
        "bound_db": bounded.bound_db,
        "kept": bounded.kept,
        "chosen": bounded.attempts[bounded.best].added,
        "attempts": [asdict(attempt) for attempt in bounded.attempts],
        "int16_layers": list(bounded.int16_layers),
        "int16_cost": outcome.int16_cost and asdict(outcome.int16_cost),
    }
