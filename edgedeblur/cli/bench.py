"""`edgedeblur bench`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import show
from edgedeblur.cli.progress import Progress, say
from edgedeblur.workdir import WorkDir


@click.command("bench", short_help="Latency, memory, layers and the verdict of an artefact.")
@click.argument("artefact", type=options.PATH, required=False)
@click.option("--target", help="Bench the work directory's artefact for this target; default: the one compiled last.")
@click.option("--runs", type=int, default=100, show_default=True, help="Timed runs, at least 50.")
@click.option("--warmup", type=click.IntRange(0), default=10, show_default=True, help="Runs before them.")
@options.threads
@click.option("--profile/--no-profile", default=True, show_default=True, help="Time every layer too.")
@click.option(
    "--against",
    default="",
    metavar="NAMES",
    help="Time other runtimes on the same network in the same session: onnxruntime,litert.",
)
@click.option("--pairs", type=options.PATH, help="Evaluate on these pairs first, for the report's quality.")
@options.workdir
@click.pass_context
def command(
    context: click.Context,
    artefact: Path | None,
    target: str | None,
    runs: int,
    warmup: int,
    threads: int | None,
    profile: bool,
    against: str,
    pairs: Path | None,
    workdir: WorkDir,
) -> None:
    """Measure an ARTEFACT: latency, memory, layers, and the verdict against the target's budget (p90, peak memory).

    An artefact for another processor runs in its simulator: output and memory only, never time, and the verdict on
    latency is "unknown". The output must be the integer interpreter's, byte for byte, or there is no report.

    Writes report.json and report-<target>.json. Exits with 0 on pass and where time is unknown, 3 on fail, 2 on bad
    use, 1 on other errors.
    """
    from edgedeblur.bench.measure import BenchOptions
    from edgedeblur.bench.tables import report_tables
    from edgedeblur.bench.verdict import exit_code, sentence
    from edgedeblur.compile.artefact import NETWORK
    from edgedeblur.data.pairs import find_pairs
    from edgedeblur.steps import bench_step, evaluate_step, models_to_evaluate

    settings = BenchOptions(runs, warmup, threads, profile, tuple(filter(None, against.split(","))))
    folder = workdir.need_artefact(artefact, target)
    if pairs is not None:
        with Progress("evaluate") as progress:
            models = models_to_evaluate(workdir, folder / NETWORK)
            evaluate_step(find_pairs(pairs), models, workdir.evaluation, progress)
    report = bench_step(folder, settings, workdir, say)
    show(*report_tables(report))
    click.echo(f"{workdir.report}")
    click.echo(sentence(report.budget, report.latency_ms, report.memory_mb, report.provenance))
    context.exit(exit_code(report.budget))
