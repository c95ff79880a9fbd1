"""The estimate of an artefact's latency from its own machine code, for processors that are not at hand.

1. the kernels, compiled again as the manifest says     compile/build.py
2. what each costs                                      kernel_cost.py
3. the sum, with a band                                 here

On this machine the same model can be held against a measurement in the same run.
"""

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from edgedeblur.artefact.cpu import runs_here
from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.artefact.manifest import PASS
from edgedeblur.artefact.names import MANIFEST
from edgedeblur.compile.tvm_alone import load_tvm
from edgedeblur.estimate.host_machine import HostMachine
from edgedeblur.estimate.machine import Machine, target_machine
from edgedeblur.estimate.mca import Processor, host_cpu, need_mca, version
from edgedeblur.report.schema import Estimate, EstimatedLayer, Latency, Outcome
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.records import read_record

if TYPE_CHECKING:
    from edgedeblur.estimate.kernel_cost import InnerLoop, KernelCost

ERROR_BAND = 0.25  # what the model must keep to on machines where it is checked; docs/estimate.md has what it does


@dataclass(frozen=True)
class LoopRow:
    """One layer's steady inner loop."""

    layer: str
    op: str
    loop: "InnerLoop"


def estimate(
    artefact: ArtefactInfo, threads: int | None = None, host: HostMachine | None = None, error_band: float = ERROR_BAND
) -> Estimate:
    """An artefact's latency on its target's cores, one thread each.

    Args:
        threads: None for the target's number.
        host: this machine, for an artefact that runs here; None: what the target's file says.

    Raises:
        UserError: the target describes no cores, or fewer than threads; llvm-mca is missing.
    """
    threads = threads or artefact.target.threads
    machine = host.machine(artefact.target, threads) if host else target_machine(artefact.target, threads)
    costs = artefact_costs(artefact, machine)
    total = sum(cost.ms for cost in costs)
    low, high = total * (1 - error_band), total * (1 + error_band)
    return Estimate(
        provenance="estimated",
        latency_ms=total,
        low_ms=low,
        high_ms=high,
        error_band=error_band,
        latency=outcome(low, high, artefact.target.latency_budget_ms),
        threads=threads,
        clocks_ghz=list(machine.clocks_ghz),
        simulator=f"llvm-mca {version(need_mca())}",
        processor=machine.core.cpu,
        machine=asdict(machine.core),
        error=None,
        layers=[_layer(cost, total) for cost in costs],
    )


def with_error(estimated: Estimate, measured: Latency) -> Estimate:
    """The estimate with its error against a measurement of the same run."""
    return estimated if not measured.p50 else replace(estimated, error=estimated.latency_ms / measured.p50 - 1)


def artefact_costs(artefact: ArtefactInfo, machine: Machine) -> list["KernelCost"]:
    """What each layer costs, in order.

    Raises:
        UserError: llvm-mca is missing.
    """
    from edgedeblur.estimate.candidates import network_footprint
    from edgedeblur.estimate.kernel_cost import kernel_costs

    kernels, code = _kernels(artefact)
    image_bytes = artefact.height * artefact.width * 3
    footprint = network_footprint(kernels, artefact.manifest["arena_bytes"], image_bytes)
    return kernel_costs(kernels, code, machine, footprint)


def artefact_loops(artefact: ArtefactInfo) -> tuple[str, list[LoopRow]]:
    """The processor that was simulated, and each kernel's steady inner loop on it.

    The processor is the one that the target's `[estimate]` table names, else this machine's where the artefact runs
    here, else the one that the artefact was compiled for.

    Raises:
        UserError: llvm-mca is missing, or does not know the processor.
    """
    from edgedeblur.compile.lower import LayerKernel
    from edgedeblur.estimate.kernel_cost import inner_loops

    target = artefact.target
    name = target.estimate.cpu if target.estimate else host_cpu() if runs_here(target.isa) else target.cpu
    kernels, code = _kernels(artefact)
    kernels = [kernel for kernel in kernels if isinstance(kernel, LayerKernel)]
    loops = inner_loops(kernels, code, Processor(target.triple, name, target.features))
    operations = {layer["name"]: layer["op"] for layer in artefact.manifest["layers"]}
    return name, [LoopRow(k.layer.name, operations[k.layer.name], loop) for k, loop in zip(kernels, loops, strict=True)]


def loops_json(processor: str, rows: list[LoopRow]) -> dict:
    """What `artefact_loops` gives, as JSON values."""
    loops = [
        {"layer": row.layer, "op": row.op, **asdict(row.loop), "mac_per_cycle": row.loop.mac_per_cycle} for row in rows
    ]
    return {"processor": processor, "loops": loops}


def _kernels(artefact: ArtefactInfo) -> tuple:
    """The artefact's kernels and its convolutions' assembly, compiled again with the schedules of its manifest."""
    load_tvm()
    from edgedeblur.compile.build import layer_kernels  # which whoever only runs artefacts does without
    from edgedeblur.compile.schedules.schedule import Schedule
    from edgedeblur.estimate.candidates import kernel_code

    need_mca()
    origin = Origin(str(artefact.path / MANIFEST), "compile it again: edgedeblur compile")
    schedules = {
        layer["name"]: read_record(Schedule, layer["schedule"], origin, f"{layer['name']}.schedule")
        for layer in artefact.manifest["layers"]
        if layer["schedule"]["method"] != PASS
    }
    kernels = layer_kernels(artefact.network(), artefact.height, artefact.width, artefact.target, schedules)
    return kernels, kernel_code(kernels, artefact.target)


def _layer(cost: "KernelCost", total_ms: float) -> EstimatedLayer:
    loop = cost.inner_loop
    shares = {part: cycles / cost.cycles.total for part, cycles in asdict(cost.cycles).items()}
    return EstimatedLayer(cost.layer, cost.ms, cost.ms / total_ms, loop.mac_per_cycle if loop else 0.0, **shares)


def outcome(low_ms: float, high_ms: float, budget_ms: float) -> Outcome:
    """Whether a band keeps a budget; unknown where the budget lies inside it."""
    if high_ms <= budget_ms:
        return "pass"
    return "fail" if low_ms > budget_ms else "unknown"
