"""The machine that a measurement ran on: processor, clock governor, temperature, versions of the tools."""

import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from subprocess import SubprocessError

from edgedeblur.artefact.cpu import cpu_model
from edgedeblur.processes import run_to_end
from edgedeblur.report.schema import Environment

TOOLS = ("apache-tvm", "apache-tvm-ffi", "numpy", "torch", "ziglang")
_CPU_FREQUENCY = Path("/sys/devices/system/cpu/cpu0/cpufreq")
_SENSORS = ("class/thermal/thermal_zone*/temp", "class/hwmon/hwmon*/temp*_input")


def read_environment(extra_versions: dict[str, str] | None = None) -> Environment:
    """The environment now; `temperature_c_after` is filled in by `after`."""
    versions = {"python": platform.python_version(), **_tool_versions(), **(extra_versions or {})}
    return Environment(
        cpu=cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        governor=_read(_CPU_FREQUENCY / "scaling_governor"),
        temperature_c_before=temperature_c(),
        temperature_c_after=None,
        tool_versions=versions,
    )


def after(environment: Environment) -> Environment:
    """The same environment with the temperature at the end of the measurement."""
    return replace(environment, temperature_c_after=temperature_c())


def temperature_c(sys: Path = Path("/sys")) -> float | None:
    """The hottest sensor that Linux shows, in degrees Celsius; None where none is readable."""
    readings = [_read(path) for pattern in _SENSORS for path in sys.glob(pattern)]
    degrees = [int(text) / 1000 for text in readings if text and text.lstrip("-").isdigit()]
    return max(degrees, default=None)


def version_of(package: str) -> str | None:
    """Installed version of a distribution, None when it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def program_version(command: Sequence[str]) -> str | None:
    """The first line that a program prints of its version, None where it does not run."""
    try:
        done = run_to_end(command, timeout_s=30, check=True)
    except (OSError, SubprocessError):
        return None
    return done.stdout.strip().split("\n")[0] or None


def _tool_versions() -> dict[str, str]:
    found = {tool: version_of(tool) for tool in TOOLS}
    return {tool: version for tool, version in found.items() if version is not None}


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:
        return None
