"""The processor as the estimate sees it: cores and clocks, caches and memory, what a branch or a hand-over costs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgedeblur.artefact.core_model import CoreModel
from edgedeblur.errors import UserError

if TYPE_CHECKING:
    from edgedeblur.artefact.target import Target
    from edgedeblur.estimate.mca import Processor

KIB = 1024


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
    from edgedeblur.estimate.mca import Processor  # loads SQLite, which running an artefact does without

    processor = Processor(target.triple, target.estimate.cpu, target.features)
    return Machine(processor, tuple(clocks[:threads]), target.estimate)
