"""`edgedeblur run`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.interruption import goes_on_where
from edgedeblur.cli.output import json_option, show_result
from edgedeblur.cli.progress import Progress, say
from edgedeblur.workflow.workdir import WorkDir


@click.command("run", short_help="The whole pipeline in one command, resuming where it stopped.")
@options.teacher
@options.teacher_options
@options.tier
@options.student
@options.init
@options.data
@options.calibration
@options.finetune_steps
@options.target
@click.option("--minutes", type=float, help="Distillation budget; default: 2, unless --steps is given.")
@click.option("--steps", type=click.IntRange(1), help="Distillation budget in steps.")
@options.seed
@options.size
@options.threads
@json_option
@options.workdir
@click.pass_context
def command(
    context: click.Context,
    teacher: Path | None,
    teacher_options: dict,
    tier: str,
    student: str | None,
    init: str | None,
    data: tuple[str, ...],
    calibration: Path | None,
    finetune_steps: int,
    target: str,
    minutes: float | None,
    steps: int | None,
    seed: int,
    size: tuple[int, int],
    threads: int | None,
    workdir: WorkDir,
) -> None:
    """Run the whole pipeline: distil, quantise, compile, evaluate on held-back images, bench.

    Finished stages are kept. A changed option or input repeats its stage and those that depend on it; after an
    interruption the same command resumes. Writes student.safetensors, quantised.edq, artefact-<target>/,
    evaluation.json, before-after.png, report.json and report-<target>.json in the work directory. Exits as `bench`.
    """
    from edgedeblur.cli.progress import training_console
    from edgedeblur.quantize.pipeline import QuantiseOptions
    from edgedeblur.report.schema import report_json
    from edgedeblur.report.tables import summary_table
    from edgedeblur.report.verdict import estimate_sentence, exit_code, sentence
    from edgedeblur.training.saved_state import state_path
    from edgedeblur.workflow.distill import distill_options
    from edgedeblur.workflow.run import Reporting, RunOptions, Stages, run_all

    given = {"teacher_options": teacher_options, "data": data, "minutes": minutes, "steps": steps, "seed": seed}
    given["student"] = student
    distill = distill_options(workdir, teacher, tier, init, **given)
    quantise = QuantiseOptions(finetune_steps=finetune_steps, seed=seed)
    settings = RunOptions(distill, calibration, quantise, target, size, threads)
    with Progress("run") as progress, workdir.lock():
        reporting = Reporting(say, progress, training_console())
        goes_on_where(lambda: bool(reporting.finished) or state_path(workdir.student).exists())
        report = run_all(settings, workdir, reporting, context.find_object(Stages))
    estimated = [] if report.estimate is None else [estimate_sentence(report.estimate, report.budget.latency_ms)]
    verdict = sentence(report.budget, report.latency_ms, report.memory_mb, report.provenance)
    files = f"before and after: {workdir.before_after}; report: {workdir.target_report(report.target.name)}"
    lines = (files, *(report.unknown or []), *estimated, verdict)
    show_result(report_json(report), summary_table(report), *lines)
    context.exit(exit_code(report.budget))
