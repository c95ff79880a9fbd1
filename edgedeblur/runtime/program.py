"""Runs an artefact in a process of its own: edgedeblur-bench, here or under the target's simulator."""

import shutil
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import numpy as np

from edgedeblur.artefact import cpu
from edgedeblur.artefact.folder import ArtefactInfo, load_artefact
from edgedeblur.artefact.manifest import damaged
from edgedeblur.artefact.names import MANIFEST
from edgedeblur.artefact.target import Target
from edgedeblur.errors import UserError
from edgedeblur.processes import run_to_end
from edgedeblur.runtime.session import check_image, check_library
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import parse_json
from edgedeblur.storage.records import read_record
from edgedeblur.storage.temporary import scratch_folder

_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class LayerTime:
    """One layer. samples_ms: of the measured runs, ms: their median; empty and None when they were not profiled."""

    name: str
    macs: int
    ms: float | None
    samples_ms: tuple[float, ...]


@dataclass(frozen=True)
class GpuDevice:
    """What computed in place of the CPU. is_gpu: False for software that simulates one. bytes: of its memory."""

    name: str
    driver: str
    is_gpu: bool
    bytes: int


@dataclass(frozen=True)
class BenchResult:
    """What edgedeblur-bench printed.

    isa: whose kernels ran, where unit, what computed the last image, is "cpu". precision: "int8", or "fp16" on a GPU.
    load_ms: making an instance, its self-test included. first_ms: its first run. samples_ms: the measured runs.
    peak_gmacs: of one core by the dot-product instruction, where layers were profiled.
    peak_rss_kb: of the process; in QEMU, of the program without QEMU's own (peak_rss_source says how it was read).
    """

    model: str
    height: int
    width: int
    threads: int
    interrupted: bool
    load_ms: float
    first_ms: float | None
    samples_ms: tuple[float, ...]
    peak_rss_kb: int
    peak_rss_source: str
    arena_bytes: int
    workspace_bytes: int
    weights_bytes: int
    layers: tuple[LayerTime, ...]
    isa: str = ""
    unit: str = "cpu"
    gpu: GpuDevice | None = None
    precision: str = "int8"
    peak_gmacs: float | None = None


@dataclass(frozen=True)
class ProgramRun:
    """output: uint8 [height, width, 3] RGB, the restored image. simulated: times say nothing about the target."""

    result: BenchResult
    output: np.ndarray
    simulated: bool


def run_program(
    artefact: str | Path | ArtefactInfo,
    image: np.ndarray,
    runs: int = 50,
    warmup: int = 10,
    threads: int | None = None,
    min_seconds: float = 0.0,
    profile: bool = False,
    cores: str | None = None,
    timeout_s: float | None = None,
    runner: tuple[str, ...] | None = None,
    unit: str = "auto",
) -> ProgramRun:
    """Runs edgedeblur-bench on the image: directly where the artefact is for this machine, else by its target's runner.

    Args:
        image: uint8 [height, width, 3] RGB.
        threads: None for the target's number.
        min_seconds: goes on after `runs` runs until this long has been measured.
        profile: measure every layer.
        cores: "4-7" or "0,2": run there only.
        runner: instead of the target's.
        unit: what computes: "auto", "cpu" or "gpu".

    Raises:
        UserError: not an artefact, an image of another size, a manifest of another program, no runner for its
            architecture or not installed, a processor without its instructions, bad options, out of time.
    """
    info = artefact if isinstance(artefact, ArtefactInfo) else load_artefact(artefact)
    check_image(image, info.height, info.width)
    runner = runner_for(info) if runner is None else runner
    options = ["--runs", str(runs), "--warmup", str(warmup), "--min-seconds", str(min_seconds)]
    options += ["--threads", str(threads)] if threads is not None else []
    options += ["--cores", cores] if cores is not None else []
    options += ["--profile"] if profile else []
    options += ["--unit", unit] if unit != "auto" else []
    with scratch_folder() as folder:
        source, restored = folder / "input.rgb", folder / "output.rgb"
        source.write_bytes(np.ascontiguousarray(image).tobytes())
        command = [*runner, str(info.bench.resolve()), "--input", str(source), "--output", str(restored), *options]
        result = parse_bench_output(run_bench(command, timeout_s))
        check_result(info, result)
        output = np.fromfile(restored, np.uint8).reshape(image.shape)
    return ProgramRun(result, output, simulated=bool(runner) or (result.gpu is not None and not result.gpu.is_gpu))


class NoRunner(UserError):
    """The program is for another architecture, and nothing here simulates that."""


def runner_for(info: ArtefactInfo) -> tuple[str, ...]:
    """The command prefix that runs the artefact's program here: empty where it is native.

    Raises:
        NoRunner: another architecture and no runner, or the runner is not installed.
    """
    return target_runner(info.target)


def target_runner(target: Target) -> tuple[str, ...]:
    """As `runner_for`, of all artefacts for a target."""
    if target.is_android and target.gpu is not None:
        raise NoRunner(
            f"target {target.name} is for the GPU of a phone, and nothing here has Android's loader and its driver",
            "edgedeblur bench --adb, with a phone; its kernels' bytes on this machine: --target opencl",
        )
    if target.architecture == cpu.architecture():
        return ()
    if not target.runner:
        raise NoRunner(
            f"target {target.name} is for {target.architecture} and names no runner for this machine",
            'add runner = ["qemu-...", ...] to the target\'s TOML and compile again, or run it there',
        )
    if shutil.which(target.runner[0]) is None:
        is_qemu = Path(target.runner[0]).name.startswith("qemu-")
        fix = "apt-get install qemu-user" if is_qemu else f"install {target.runner[0]}"
        raise NoRunner(f"{target.runner[0]} is not installed; it runs {target.architecture} programs here", fix)
    return target.runner


def parse_bench_output(text: str) -> BenchResult:
    """What edgedeblur-bench printed, from this machine or a phone.

    Raises:
        UserError: it is not that.
    """
    try:
        fields = parse_json(text, Origin("edgedeblur-bench"))
    except UserError:
        raise _no_result(text) from None
    version = fields.pop("schema_version", None)
    if type(version) is int and version != _SCHEMA_VERSION:
        raise UserError(f"edgedeblur-bench printed schema_version {version}, not {_SCHEMA_VERSION}", "compile again")
    try:
        result = read_record(BenchResult, fields, Origin("edgedeblur-bench"))
    except UserError:
        raise _no_result(text) from None
    if _out_of_range(asdict(result)) or any(
        len(layer.samples_ms) not in (0, len(result.samples_ms)) for layer in result.layers
    ):
        raise _no_result(text)
    return result


def _no_result(text: str) -> UserError:
    return UserError(f"edgedeblur-bench printed no result but {text[-500:]!r}", "edgedeblur compile")


def check_result(artefact: ArtefactInfo, result: BenchResult) -> None:
    """Raises UserError unless the program, here or on a phone, says of its network what the manifest says.

    Workspace and weights are those of the kernels that ran, which may be a fallback's.
    """
    fallback = next((one for one in artefact.manifest["fallbacks"] if one["isa"] == result.isa), None)
    checked = ("arena_bytes",) if fallback else ("arena_bytes", "workspace_bytes", "weights_bytes")
    facts = {key: getattr(result, key) for key in checked}
    if fallback and fallback["workspace_bytes"] != result.workspace_bytes:
        raise damaged(
            artefact.path / MANIFEST,
            f"it says workspace_bytes = {fallback['workspace_bytes']} of the {result.isa} kernels, but what was "
            f"compiled says {result.workspace_bytes}",
        )
    layers = [[layer.name, layer.macs] for layer in result.layers]
    shape = [result.height, result.width, 3]
    check_library(artefact, {"name": result.model, "input_shape": shape, "layers": layers, **facts})


_MOST = 2.0**53  # of any number that is printed: the last that float64 has exactly


def _out_of_range(value: Any) -> bool:
    """Whether a number is not as a measurement has it, at least 0 and no larger than what is exact."""
    if isinstance(value, dict | list | tuple):
        return any(_out_of_range(each) for each in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, int | float) and not 0 <= value <= _MOST


def run_bench(command: list[str], timeout_s: float | None = None) -> str:
    """What edgedeblur-bench, started by this command, printed.

    Raises:
        UserError: it cannot start, fails, or is out of time.
    """
    try:
        done = run_to_end(command, timeout_s=timeout_s)
    except TimeoutExpired:
        raise UserError(f"edgedeblur-bench did not end within {timeout_s:g} s", "fewer runs") from None
    except OSError as error:
        raise UserError(f"cannot start {command[0]}: {error.strerror}") from None
    if done.returncode == 0:
        return done.stdout
    reason = done.stderr.strip() or f"ended with status {done.returncode}"
    if done.returncode < 0:
        reason = f"edgedeblur-bench was ended by {signal.Signals(-done.returncode).name}; {done.stderr.strip()}"
    raise UserError(reason, exit_code=2 if done.returncode == 2 else 1)
