"""This machine as the estimate sees it: what probe.c measures, and the caches' sizes from /sys."""

from dataclasses import dataclass

from edgedeblur.artefact.target import Target
from edgedeblur.compile.linking.host_probe import cache_kib, probe_host
from edgedeblur.estimate.machine import CoreModel, Machine
from edgedeblur.estimate.mca import Processor, host_cpu


@dataclass(frozen=True)
class HostMachine:
    """core: for the estimate. ghz: the clock while it was measured. dots_per_cycle: of the widest dot product that the
    processor has (`vpdpbusd` with its broadcasts, `vpmaddwd`, `sdot`)."""

    core: CoreModel
    ghz: float
    dots_per_cycle: float

    def machine(self, target: Target, threads: int) -> Machine:
        """`threads` cores of this machine with an artefact for `target`."""
        return Machine(Processor(target.triple, self.core.cpu, target.features), (self.ghz,) * threads, self.core)


def measure_host() -> HostMachine:
    """What probe.c finds, in a second or two.

    Raises:
        UserError: zig or llvm-mca is missing, or the probe does not run.
    """
    cpu, sizes, found = host_cpu(), cache_kib(), probe_host()
    core = CoreModel(
        cpu=cpu,
        cores=1,
        l1_kib=sizes[1],
        l2_kib=sizes[2],
        l3_kib=sizes[3],
        l2_bytes_per_cycle=found.l2_bytes_per_cycle,
        l3_gb_per_s=found.l3_gb_per_s,
        memory_gb_per_s=found.memory_gb_per_s,
        mispredict_cycles=found.mispredict_cycles,
        foreseen_trips=found.foreseen_trips,
        handoff_ns=found.handoff_ns,
    )
    return HostMachine(core, found.ghz, found.dots_per_cycle)
