"""What this machine's cores do, measured by probe.c: for the estimate, and for the choice of kernels on cores that no
table knows."""

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from subprocess import SubprocessError

from edgedeblur.artefact import cpu
from edgedeblur.artefact.target import Target
from edgedeblur.artefact.x86_cores import dots_per_cycle
from edgedeblur.compile.linking import link
from edgedeblur.errors import UserError
from edgedeblur.processes import run_to_end
from edgedeblur.progress import Log
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import parse_json
from edgedeblur.storage.records import read_record
from edgedeblur.storage.resources import resource_folder
from edgedeblur.storage.temporary import scratch_folder

_KIB = 1024
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_DEFAULT_KIB = {1: 32, 2: 512, 3: 8192}  # where the system does not tell
_MEMORY_TIMES_L3 = 4  # what is read from memory is this much larger than the largest cache
_MOST_MEMORY_BYTES = 256 * _KIB * _KIB
_TIMEOUT_S = 120
_CHOOSING_ISAS = ("vnni", "avxvnni")  # whose method depends on the rate
_BETWEEN = 1.5  # of one and two a cycle


@dataclass(frozen=True)
class HostProbe:
    """What probe.c prints. dots_per_cycle: of the widest dot product that the processor has (`vpdpbusd` with its
    broadcasts, `vpmaddwd`, `sdot`)."""

    ghz: float
    dots_per_cycle: float
    l2_bytes_per_cycle: float
    l3_gb_per_s: float
    memory_gb_per_s: float
    mispredict_cycles: float
    foreseen_trips: int
    handoff_ns: float


def probe_host() -> HostProbe:
    """Compiles probe.c with this machine's instructions and runs it; takes a second or two.

    Raises:
        UserError: zig is missing, or the probe does not run.
    """
    with scratch_folder() as folder:
        shutil.copyfile(resource_folder("compile/linking") / "probe.c", folder / "probe.c")
        # Against this machine's C library: to build one for a static program would take zig a minute.
        compiler = [*link.zig_cc_gnu(cpu.architecture()), "-O2", "-s", "-mcpu=native", "-pthread"]
        link.run_compiler([*compiler, "probe.c", "-o", "probe"], folder)
        return _run(folder / "probe", cache_kib())


def with_host_rate(target: Target, log: Log) -> Target:
    """The target; for this machine with its rate of dot products measured, where that decides between methods and no
    table has these cores. Rounded to one or two a cycle, so that a busy minute changes little. Where the probe fails,
    cores count as ones that start one."""
    chooses = any(one.isa in _CHOOSING_ISAS for one in target.kernel_sets)
    if not (chooses and target.detected) or dots_per_cycle(target) is not None:
        return target
    try:
        found = probe_host().dots_per_cycle
    except UserError as error:
        log(f"note: {error.message}; its cores count as ones that start one dot product in a cycle")
        return target
    rate = 2.0 if found > _BETWEEN else 1.0
    log(f"measured on these cores, which no table has: {found:.2f} dot products in a cycle, taken as {rate:g}")
    return dataclasses.replace(target, dots_per_cycle=rate)


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


def _run(program: Path, sizes: dict[int, int]) -> HostProbe:
    """Each area is half of its cache, and does not fit the one before."""
    memory = min(sizes[3] * _KIB * _MEMORY_TIMES_L3, _MOST_MEMORY_BYTES)
    origin = Origin("its output")
    areas = (sizes[2] * _KIB // 2, max(sizes[3] * _KIB // 4, sizes[2] * _KIB * 2), memory)
    try:
        done = run_to_end([program, *map(str, areas)], timeout_s=_TIMEOUT_S, check=True)
        return read_record(HostProbe, parse_json(done.stdout, origin), origin)
    except (OSError, SubprocessError, UserError) as error:
        raise UserError(f"the probe of this machine did not run: {error}") from None
