"""The processor as the estimate sees it: cores and clocks, caches and memory, what a branch or a hand-over costs."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin

if TYPE_CHECKING:
    from edgedeblur.compile.mca import Processor
    from edgedeblur.compile.target import Target

KIB = 1024


@dataclass(frozen=True)
class CoreModel:
    """The `[estimate]` table of a target, or what was measured on this machine; docs/estimate.md has the sources.

    cpu: llvm-mca's name of the core. cores: how many of the target's cores, fastest first, are such cores.
    l1_kib, l2_kib: data caches of one core, the smallest where cores differ. l3_kib: shared by the cores.
    l2_bytes_per_cycle: from the second-level cache, of one core. l3_gb_per_s: from the third-level cache, of one core.
    memory_gb_per_s: from memory, of all cores together.
    mispredict_cycles: from a branch that went another way than foreseen to the next useful instruction.
    foreseen_trips: the most rounds of a loop whose end the processor foresees.
    handoff_ns: a cache line from one core to another.
    """

    cpu: str
    cores: int
    l1_kib: int
    l2_kib: int
    l3_kib: int
    l2_bytes_per_cycle: float
    l3_gb_per_s: float
    memory_gb_per_s: float
    mispredict_cycles: float
    foreseen_trips: int
    handoff_ns: float


@dataclass(frozen=True)
class Machine:
    """The cores that an artefact runs on, one thread each. clocks_ghz: by core, in the order in which they are filled.
    processor: for llvm-mca."""

    processor: "Processor"
    clocks_ghz: tuple[float, ...]
    core: CoreModel

    @property
    def threads(self) -> int:
        return len(self.clocks_ghz)

    def bytes_per_ns(self, footprint: int) -> float:
        """How fast one core reads data that were written or read before other data made up `footprint` bytes.

        With several threads it was another core that had them last, so the private cache is no help.
        """
        if self.threads == 1 and footprint <= self.core.l2_kib * KIB:
            return self.core.l2_bytes_per_cycle * self.clocks_ghz[0]
        if footprint <= self.core.l3_kib * KIB:
            return self.core.l3_gb_per_s
        return min(self.core.l3_gb_per_s, self.core.memory_gb_per_s / self.threads)


def check_core_model(model: CoreModel, origin: Origin) -> None:
    """Raises UserError for a number in a target's `[estimate]` table that is not above 0."""
    for key, value in dataclasses.asdict(model).items():
        if not isinstance(value, str) and not (value > 0 or (key == "foreseen_trips" and value == 0)):
            raise origin.error(f"estimate.{key} = {value}; it must be above 0")


def target_machine(target: "Target", threads: int | None = None) -> Machine:
    """The machine that a target's file describes.

    Args:
        threads: None for the target's number.

    Raises:
        UserError: the target has no `[estimate]` table, or too few cores or clocks for so many threads.
    """
    threads = threads or target.threads
    if target.estimate is None:
        raise UserError(
            f"target {target.name} has no [estimate] table, so nothing is known of its caches and branches",
            "docs/estimate.md lists its keys; targets/android.toml has one",
            exit_code=2,
        )
    clocks = [cluster.ghz for cluster in target.clusters for _ in range(cluster.count)][: target.estimate.cores]
    if threads > len(clocks) or not all(clocks[:threads]):
        raise UserError(
            f"target {target.name} describes {len(clocks)} cores like {target.estimate.cpu}; {threads} threads cannot "
            f"be estimated",
            f"choose --threads from 1 to {len(clocks)}",
            exit_code=2,
        )
    from edgedeblur.compile.mca import Processor  # loads SQLite, which running an artefact does without

    processor = Processor(target.triple, target.estimate.cpu, target.features)
    return Machine(processor, tuple(clocks[:threads]), target.estimate)
