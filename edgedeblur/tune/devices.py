"""What tells a candidate's time: this machine's clock, a phone's (phone.py), or the machine code (estimate.py); for
kernels for a GPU, its own profile on either."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgedeblur.artefact import cpu
from edgedeblur.artefact.target import Target
from edgedeblur.compile.gpu.schedule import default_schedule as default_gpu_schedule
from edgedeblur.compile.kernels import instruction_set
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.schedules.schedule import Schedule
from edgedeblur.errors import UserError
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.runtime.program import target_runner
from edgedeblur.tune import gpu_build
from edgedeblur.tune.measure import Measure, RunProgram, measure_with, run_here
from edgedeblur.tune.network import RunNetwork, run_network_here
from edgedeblur.tune.trial import LayerOnTrial, layer_on_trial


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


def this_machines_gpu(network: QuantisedNetwork, target: Target) -> Device:
    """The GPU here, or software that simulates one.

    Raises:
        UserError: it is not for this machine, or there is no driver.
    """
    if target_runner(target):
        raise UserError(
            f"target {target.name} is for {target.architecture}, whose GPU this machine does not have",
            "tune there, or --target opencl here",
        )
    return gpu_device(network, target, run_here(), "", lambda *network: run_network_here(*network, unit="gpu"))


def gpu_device(
    network: QuantisedNetwork, target: Target, run: RunProgram, place: str, run_network: RunNetwork
) -> Device:
    """The GPU that `run` finds, by the name of it and of its driver; its times are simulated where it is software.

    Args:
        place: what it is in, before its name; "" for this machine.

    Raises:
        UserError: no driver, or one that fails.
    """
    side = network.spec.multiple
    layer = conv_layers(network, side, side)[0]
    trial = layer_on_trial(network, network.convolutions[0], layer, instruction_set(target.isa), 0)
    with tempfile.TemporaryDirectory() as folder:
        batch = gpu_build.compile_batch(trial, [default_gpu_schedule(layer)], target)
        program = gpu_build.link_program(batch, [0], target, Path(folder), checking=True)
        result, _ = run(program, ["--runs", "1", "--warmup", "0", *gpu_build.OPTIONS])
    gpu = result.gpu
    if gpu is None:
        raise UserError("edgedeblur-bench says nothing of the GPU that it was asked for", "edgedeblur doctor")
    name = f"{place}{gpu.name}, driver {gpu.driver}"
    provenance = "measured" if gpu.is_gpu else "simulated"
    return Device(name, provenance, lambda *trial: measure_with(run, *trial), run_network)
