"""An `.edq` file to tuned schedules."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur.artefact.target import Target, database_name, load_target
from edgedeblur.compile.linking.host_probe import with_host_rate
from edgedeblur.progress import Log
from edgedeblur.quantize.edq import load_edq
from edgedeblur.workflow.workdir import WorkDir

if TYPE_CHECKING:
    from edgedeblur.quantize.network import QuantisedNetwork
    from edgedeblur.tune.devices import Device
    from edgedeblur.tune.tuning import TuneOptions, Tuning


def tune_step(
    network: Path,
    target: str,
    size: tuple[int, int],
    threads: int | None,
    serial: str | None,
    database: Path | None,
    options: "TuneOptions",
    workdir: WorkDir,
    log: Log,
    progress: Callable[[str, int, int | None], None],
) -> "tuple[Path, Tuning]":
    """Schedules for the layers of an `.edq` into a database of tuned schedules; its path and what was found.

    Args:
        threads: None for the target's number. serial: of the phone that measures, "" for the only one; None for none.
        database: None for the work directory's.

    Raises:
        UserError: no network, no such target, size or layer, nothing that measures for the target here.
    """
    from edgedeblur.tune.tuning import tune

    described, loaded = with_host_rate(load_target(target), log), load_edq(network)
    described = replace(described, threads=threads or described.threads)
    path = database or workdir.tuned(database_name(described))
    return path, tune(loaded, described, size, _device(described, serial, loaded), path, options, log, progress)


def _device(target: Target, serial: str | None, network: "QuantisedNetwork") -> "Device":
    """The phone, else this machine, else an estimate; for kernels for a GPU, which nothing estimates, one of theirs."""
    from edgedeblur.compile.gpu.graph import check_layers
    from edgedeblur.tune.devices import this_machine, this_machines_gpu, times_here
    from edgedeblur.tune.estimate import estimating_device
    from edgedeblur.tune.measure import tunes_gpu
    from edgedeblur.tune.phone import phone_device

    if tunes_gpu(target):
        check_layers(network)
    if serial is not None:
        return phone_device(serial or None, target, network)
    if tunes_gpu(target):
        return this_machines_gpu(network, target)
    return this_machine() if times_here(target) else estimating_device(target)
