"""What this machine's processor is and can do, from Linux's /proc and /sys."""

import os
import platform
from pathlib import Path

from edgedeblur.artefact.isa import ISAS

_CPUINFO = Path("/proc/cpuinfo")
_SYSTEM_CPUS = Path("/sys/devices/system/cpu")


def architecture() -> str:
    """This machine's architecture by LLVM's names: "x86_64", "aarch64", or whatever else it is."""
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)


def cpu_flags(cpuinfo: Path = _CPUINFO) -> frozenset[str]:
    """The instruction-set flags of the first processor; empty where the system does not tell."""
    for key, value in _cpuinfo_lines(cpuinfo):
        if key in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def missing_flags(isa: str, cpuinfo: Path = _CPUINFO) -> tuple[str, ...]:
    """Flags that kernels for `isa` need and this processor lacks."""
    have = cpu_flags(cpuinfo)
    return tuple(flag for flag in ISAS[isa].flags if flag not in have)


def runs_here(isa: str, cpuinfo: Path = _CPUINFO) -> bool:
    """Whether kernels for `isa` run on this machine."""
    return ISAS[isa].architecture == architecture() and not missing_flags(isa, cpuinfo)


def cpu_model(cpuinfo: Path = _CPUINFO) -> str:
    """The processor's name, or its architecture where the system gives no name."""
    for key, value in _cpuinfo_lines(cpuinfo):
        if key == "model name":
            return value
    return architecture()


def vendor_family_model(cpuinfo: Path = _CPUINFO) -> tuple[str, int, int]:
    """What an x86 processor says of itself ("GenuineIntel", 6, 143); ("", 0, 0) where the system does not tell."""
    told = dict(reversed(_cpuinfo_lines(cpuinfo)))
    numbers = [told.get(key, "") for key in ("cpu family", "model")]
    family, model = (int(number) if number.isdecimal() else 0 for number in numbers)
    return told.get("vendor_id", ""), family, model


def physical_cores() -> tuple[int, ...]:
    """One logical CPU of each physical core that this process may use: int8 kernels gain nothing from hyper-threads."""
    siblings_seen = set()
    cores = []
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = _read(_SYSTEM_CPUS / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu)
        if siblings not in siblings_seen:
            siblings_seen.add(siblings)
            cores.append(cpu)
    return tuple(cores)


def clock_ghz(cpu: int, cpuinfo: Path = _CPUINFO) -> float:
    """The highest clock of a logical CPU, else its present one; 0.0 where the system does not tell."""
    kilohertz = _read(_SYSTEM_CPUS / f"cpu{cpu}/cpufreq/cpuinfo_max_freq")
    if kilohertz:
        return int(kilohertz) / 1e6
    megahertz = [float(value) for key, value in _cpuinfo_lines(cpuinfo) if key == "cpu MHz"]
    return round(megahertz[min(cpu, len(megahertz) - 1)] / 1e3, 3) if megahertz else 0.0


def _cpuinfo_lines(cpuinfo: Path) -> list[tuple[str, str]]:
    pairs = (line.split(":", 1) for line in (_read(cpuinfo) or "").splitlines() if ":" in line)
    return [(key.strip(), value.strip()) for key, value in pairs]


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
