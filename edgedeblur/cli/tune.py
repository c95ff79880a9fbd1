"""`edgedeblur tune`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.interruption import goes_on_where
from edgedeblur.cli.output import json_option, show_result
from edgedeblur.cli.progress import Progress, say
from edgedeblur.workflow.workdir import WorkDir


@click.command("tune", short_help="Search faster schedules for a network's layers on the device.")
@click.argument("network", type=options.PATH, required=False)
@options.target
@options.size
@options.threads
@click.option(
    "--adb",
    "serial",
    is_flag=False,
    flag_value="",
    metavar="[SERIAL]",
    help="Measure on a phone; without SERIAL the one of $ANDROID_SERIAL, else the only one attached.",
)
@options.database
@click.option(
    "--layers",
    multiple=True,
    metavar="NAME",
    help="Tune only the shapes of these layers; * and ? stand for any letters; may be repeated.",
)
@click.option("--trials", type=click.IntRange(1), default=48, show_default=True, help="Schedules per shape at most.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Start no new shape after this many minutes.")
@click.option("--again", is_flag=True, help="Also tune shapes that are in the database.")
@options.seed
@json_option
@options.workdir
def command(
    network: Path | None,
    target: str,
    size: tuple[int, int],
    threads: int | None,
    serial: str | None,
    database: Path | None,
    layers: tuple[str, ...],
    trials: int,
    minutes: float | None,
    again: bool,
    seed: int,
    workdir: WorkDir,
) -> None:
    """Search schedules for every distinct layer shape of a quantised NETWORK (default: the work directory's).

    Each candidate is compiled, its output compared with the integer interpreter's, and timed in turns with the others:
    on this machine, or with --adb on a phone; for a target with OpenCL kernels on its GPU. A schedule that is faster
    than the default one goes into a database (TOML), shape by shape, and `edgedeblur compile` uses it. An interrupted
    search resumes with the shapes that are not in the database yet.
    """
    from edgedeblur.artefact.target import database_name, load_target
    from edgedeblur.storage.digests import digest
    from edgedeblur.tune.tables import comparison_sentence, tuning_json, tuning_table
    from edgedeblur.tune.tuning import TuneOptions
    from edgedeblur.workflow.tune import tune_step

    settings = TuneOptions(layers, trials, minutes, seed, again)
    source = workdir.need_quantised(network)
    path = database or workdir.tuned(database_name(load_target(target)))
    before = digest(path)
    left = "name the layers that are left with --layers; --again would tune all of them again"
    goes_on_where(lambda: digest(path) != before and (left if again else True))
    with Progress("tune") as progress, workdir.lock(path):
        path, tuning = tune_step(source, target, size, threads, serial, path, settings, workdir, say, progress)
    used = f"{path}: used by edgedeblur compile --target {target}"
    show_result(tuning_json(tuning, path), tuning_table(tuning), comparison_sentence(tuning), used)
