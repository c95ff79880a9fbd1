"""What tells a candidate's time: this machine's clock, a phone's (phone.py), or the machine code (estimate.py)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgedeblur.artefact import cpu
from edgedeblur.artefact.target import Target
from edgedeblur.compile.schedules.schedule import Schedule
from edgedeblur.tune.measure import Measure, measure_with, run_here
from edgedeblur.tune.network import RunNetwork, run_network_here
from edgedeblur.tune.trial import LayerOnTrial


@dataclass(frozen=True)
class Device:
    """name: what entries of the database say it is.

    measure(trial, target, folder): how the candidates of one layer are measured; programs are built in the folder.
    run_network(artefact, image): profiled runs of a whole network and its output; None where it cannot be timed.
    confirm(trial, schedule, target, folder): whether a schedule's output is the interpreter's; None where measuring has
        seen to that already.
    """

    name: str
    provenance: str
    measure: Callable[[LayerOnTrial, Target, Path], Measure]
    run_network: RunNetwork | None
    confirm: Callable[[LayerOnTrial, Schedule, Target, Path], bool] | None = None


def times_here(target: Target) -> bool:
    """Whether this machine can time the target's kernels."""
    return cpu.runs_here(target.isa) and not target.is_android


def this_machine() -> Device:
    """The processor that runs this."""
    return Device(cpu.cpu_model(), "measured", lambda *trial: measure_with(run_here(), *trial), run_network_here)
