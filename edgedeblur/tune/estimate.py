"""The machine code itself as what tells a candidate's time, where neither the processor nor a phone is at hand.

Times are estimates (estimate/): good for telling schedules apart, and labelled as what they are. The winner's
output is checked in the target's simulator where that is installed.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from edgedeblur.artefact.target import Target
from edgedeblur.compile.schedules.schedule import Schedule
from edgedeblur.estimate.candidates import schedule_costs
from edgedeblur.estimate.machine import target_machine
from edgedeblur.estimate.mca import need_mca, version
from edgedeblur.tune.devices import Device
from edgedeblur.tune.measure import Measure, Samples, check_outputs, run_here
from edgedeblur.tune.trial import LayerOnTrial


def estimating_device(target: Target) -> Device:
    """llvm-mca's model of the target's cores.

    Raises:
        UserError: the target has no `[estimate]` table, or llvm-mca is not installed.
    """
    machine = target_machine(target)
    name = f"llvm-mca {version(need_mca())} for {machine.core.cpu}"
    return Device(name, "estimated", _measure, run_network=None, confirm=_confirm)


def _measure(trial: LayerOnTrial, target: Target, folder: Path) -> Measure:
    def estimate(schedules: Sequence[Schedule], rounds: int) -> list[Samples | None]:
        costs = schedule_costs([(trial.layer, schedule) for schedule in schedules], target)
        return [(cost.ms,) for cost in costs]  # another round would say the same

    return estimate


def _confirm(trial: LayerOnTrial, schedule: Schedule, target: Target, folder: Path) -> bool:
    if not target.runner or shutil.which(target.runner[0]) is None:
        return True
    return all(check_outputs(run_here(target.runner), trial, [schedule], target, folder))
