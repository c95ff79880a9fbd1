"""This machine as the estimate sees it: what probe.c measures, and the caches' sizes from /sys."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from subprocess import SubprocessError

from edgedeblur.artefact.target import Target
from edgedeblur.compile.linking import link
from edgedeblur.errors import UserError
from edgedeblur.estimate.machine import KIB, CoreModel, Machine
from edgedeblur.estimate.mca import Processor, host_cpu
from edgedeblur.processes import run_to_end
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import parse_json
from edgedeblur.storage.records import read_record
from edgedeblur.storage.resources import resource_folder
from edgedeblur.storage.temporary import scratch_folder

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_DEFAULT_KIB = {1: 32, 2: 512, 3: 8192}  # where the system does not tell
_MEMORY_TIMES_L3 = 4  # what is read from memory is this much larger than the largest cache
_MOST_MEMORY_BYTES = 256 * KIB * KIB
_TIMEOUT_S = 120


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


@dataclass(frozen=True)
class _Probe:
    """What probe.c prints."""

    ghz: float
    dots_per_cycle: float
    l2_bytes_per_cycle: float
    l3_gb_per_s: float
    memory_gb_per_s: float
    mispredict_cycles: float
    foreseen_trips: int
    handoff_ns: float


def measure_host(target: Target) -> HostMachine:
    """Compiles probe.c with the target's instructions and runs it; takes a second or two.

    Raises:
        UserError: zig or llvm-mca is missing, or the probe does not run.
    """
    cpu, sizes = host_cpu(), cache_kib()
    with scratch_folder() as folder:
        shutil.copyfile(resource_folder("estimate") / "probe.c", folder / "probe.c")
        # Against this machine's C library: to build one for a static program would take zig a minute.
        compiler = [*link.zig_cc_gnu(target.architecture), "-O2", "-s", "-mcpu=native", "-pthread"]
        link.run_compiler([*compiler, "probe.c", "-o", "probe"], folder)
        found = _run(folder / "probe", sizes)
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


def cache_kib(caches: Path = _CACHES) -> dict[int, int]:
    """Sizes of this machine's data caches in KiB by level, 1 to 3."""
    sizes = dict(_DEFAULT_KIB)
    for index in sorted(caches.glob("index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind in ("Data", "Unified") and size.endswith("K") and size[:-1].isdigit() and level in ("1", "2", "3"):
            sizes[int(level)] = int(size[:-1])
    return sizes


def _run(program: Path, sizes: dict[int, int]) -> _Probe:
    """Each area is half of its cache, and does not fit the one before."""
    memory = min(sizes[3] * KIB * _MEMORY_TIMES_L3, _MOST_MEMORY_BYTES)
    origin = Origin("its output")
    areas = (sizes[2] * KIB // 2, max(sizes[3] * KIB // 4, sizes[2] * KIB * 2), memory)
    try:
        done = run_to_end([program, *map(str, areas)], timeout_s=_TIMEOUT_S, check=True)
        return read_record(_Probe, parse_json(done.stdout, origin), origin)
    except (OSError, SubprocessError, UserError) as error:
        raise UserError(f"the probe of this machine did not run: {error}") from None
