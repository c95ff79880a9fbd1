"""`edgedeblur bench`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import json_option, show_result
from edgedeblur.cli.phone_options import PhoneChoice, phone_options
from edgedeblur.cli.progress import Progress, say
from edgedeblur.workflow.workdir import WorkDir

if TYPE_CHECKING:
    from edgedeblur.bench.measure import BenchOptions
    from edgedeblur.report.schema import Report


@click.command("bench", short_help="Latency, memory, layers and the verdict of an artefact, here or on a phone.")
@click.argument("artefact", type=options.PATH, required=False)
@click.option("--target", help="Bench the work directory's artefact for this target; default: the one compiled last.")
@click.option("--runs", type=int, default=100, show_default=True, help="Timed runs, at least 50.")
@click.option("--warmup", type=click.IntRange(0), default=10, show_default=True, help="Runs before them.")
@click.option(
    "--min-seconds", type=float, metavar="S", help="Measure for at least this long; default: 10 on a phone, else 0."
)
@options.threads
@click.option("--profile/--no-profile", default=True, show_default=True, help="Time every layer too.")
@click.option(
    "--against",
    default="",
    metavar="NAMES",
    help="Time other runtimes on the same network in the same session: onnxruntime, litert, mnn, "
    "openvino, openvino-bf16, onnxruntime-float32.",
)
@click.option("--count-instructions", is_flag=True, help="Of an image and one thread, in a simulation.")
@click.option("--estimate", is_flag=True, help="Estimate the latency too, and print the error of the estimate.")
@click.option("--pairs", type=options.PATH, help="Evaluate on these pairs first, for the report's quality.")
@phone_options
@json_option
@options.workdir
@click.pass_context
def command(
    context: click.Context,
    artefact: Path | None,
    target: str | None,
    runs: int,
    warmup: int,
    min_seconds: float | None,
    threads: int | None,
    profile: bool,
    against: str,
    count_instructions: bool,
    estimate: bool,
    pairs: Path | None,
    phones: PhoneChoice,
    workdir: WorkDir,
) -> None:
    """Measure an ARTEFACT: latency, memory, layers, and the verdict against the target's budget (p90, peak memory).

    An artefact for another processor runs in its simulator: output and memory only, never time, and the verdict on
    latency is "unknown". An estimate from the machine code is added, labelled as such (docs/estimate.md), for
    targets with an [estimate] table. Without the simulator there is only the estimate, and the verdict is "unknown".
    With --adb it runs on a phone. The output must be the integer interpreter's, byte for byte, or no report is written.

    Writes report.json and report-<target>.json. Exits with 0 on pass and where time is unknown, 3 on fail, 2 on bad
    use, 1 on other errors.
    """
    from edgedeblur.artefact.names import NETWORK
    from edgedeblur.bench.measure import BenchOptions
    from edgedeblur.data.pairs import find_pairs
    from edgedeblur.report.schema import report_json
    from edgedeblur.report.tables import report_tables
    from edgedeblur.report.verdict import estimate_sentence, exit_code, sentence
    from edgedeblur.workflow.bench import bench_step
    from edgedeblur.workflow.evaluate import evaluate_step, models_to_evaluate

    peers = tuple(filter(None, against.split(",")))
    settings = BenchOptions(runs, warmup, threads, profile, peers, min_seconds, count_instructions, estimate)
    folder = workdir.need_artefact(artefact, target)
    if pairs is not None:
        with Progress("evaluate") as progress:
            models = models_to_evaluate(workdir, folder / NETWORK)
            evaluate_step(find_pairs(pairs), models, workdir.evaluation, progress)
    if phones.every:
        context.exit(_on_every_phone(folder, settings, phones, workdir))
    report = _on_phone(folder, settings, phones, workdir) if phones.any else bench_step(folder, settings, workdir, say)
    estimated = [] if report.estimate is None else [estimate_sentence(report.estimate, report.budget.latency_ms)]
    verdict = sentence(report.budget, report.latency_ms, report.memory_mb, report.provenance)
    lines = (f"report: {workdir.target_report(report.target.name)}", *(report.unknown or []), *estimated, verdict)
    show_result(report_json(report), *report_tables(report), *lines)
    context.exit(exit_code(report.budget))


def _on_phone(folder: Path, settings: "BenchOptions", phones: PhoneChoice, workdir: WorkDir) -> "Report":
    from edgedeblur.bench.phone_options import PhoneOptions
    from edgedeblur.workflow.phones import PhoneSettings, bench_phone_step

    with Progress("phone") as progress:
        how = PhoneSettings(settings, PhoneOptions(**phones.settings), say, progress)
        return bench_phone_step(folder, phones.serial or None, how, workdir)


def _on_every_phone(folder: Path, settings: "BenchOptions", phones: PhoneChoice, workdir: WorkDir) -> int:
    from edgedeblur.bench.phone_options import PhoneOptions
    from edgedeblur.report.phone_tables import phones_table
    from edgedeblur.report.schema import report_json
    from edgedeblur.workflow.phones import PhoneSettings, bench_phones_step

    with Progress("phone") as progress:
        how = PhoneSettings(settings, PhoneOptions(**phones.settings), say, progress)
        outcome = bench_phones_step(folder, how, workdir)
    files = f"{workdir.report} (the slowest phone's); each phone's: {workdir.root}/report-<target>-<serial>.json"
    document = {"reports": [report_json(report) for report in outcome.reports], "failures": list(outcome.failures)}
    show_result(document, *([phones_table(outcome.reports), files] if outcome.reports else []))
    for failure in outcome.failures:
        say(f"not measured: {failure}")
    return outcome.exit_code
