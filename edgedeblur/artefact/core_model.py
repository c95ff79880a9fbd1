"""What a target's file says of its cores for an estimate: caches and memory, what a branch or a hand-over costs."""

import dataclasses
from dataclasses import dataclass

from edgedeblur.storage.contents import Origin


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


def check_core_model(model: CoreModel, origin: Origin) -> None:
    """Raises UserError for a number in a target's `[estimate]` table that is not above 0."""
    for key, value in dataclasses.asdict(model).items():
        if not isinstance(value, str) and not (value > 0 or (key == "foreseen_trips" and value == 0)):
            raise origin.error(f"estimate.{key} = {value}; it must be above 0")
