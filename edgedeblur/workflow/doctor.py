"""What the work needs from this machine, whether it is there, and how to fix it."""

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from edgedeblur.artefact.cpu import cpu_model, runs_here
from edgedeblur.artefact.isa import ISAS
from edgedeblur.bench.environment import program_version, version_of
from edgedeblur.bench.gpu_devices import OLDEST_CUDA, cuda_devices, opencl_devices
from edgedeblur.estimate import mca

Status = Literal["ok", "missing", "optional"]
MIN_PYTHON = (3, 11)
MIN_FREE_GB = 2.0
EXTRAS = {
    "docs": "only to build the documentation as a site",
    "peers": "only for bench --against",
    "openvino": "only for bench --against openvino",
    "mnn": "only for bench --against mnn",
    "intel-opencl": "only for make gpu, which tests kernels for GPUs on Intel's OpenCL too",
    "training": "only for TensorBoard logs of train",
    "adb": "only for phones",
    "heic": "only for HEIC photographs",
    "video": "only for videos' sound, subtitles and time stamps",
    "test": "only for the tests",
    "ptxas": "only to test that NVIDIA's assembler takes the kernels for CUDA",
}


@dataclass(frozen=True)
class Check:
    """One check. status: "missing" stops some command; "optional" only takes something away, and `fix` says what."""

    name: str
    status: Status
    found: str
    fix: str | None = None


def run_checks(workdir: Path) -> list[Check]:
    """Every check, in the order in which the work needs them. Never raises for what it finds."""
    checks: list[Callable[[], Check]] = [
        check_tvm_loads,
        check_zig,
        check_cpu,
        lambda: check_tool("qemu-aarch64", "--version", "running ARM artefacts here", "apt-get install qemu-user"),
        check_adb,
        check_mca,
        check_opencl,
        check_cuda,
        check_ndk,
        lambda: check_disk(workdir),
    ]
    return [check_python(), *check_requirements(), *(check() for check in checks)]


def check_python() -> Check:
    good = sys.version_info[:2] >= MIN_PYTHON
    return Check("python", "ok" if good else "missing", platform.python_version(), None if good else "use Python 3.11+")


def check_requirements() -> list[Check]:
    """Every Python package that edgedeblur requires, in the version range that it declares."""
    return [check_requirement(Requirement(text)) for text in metadata.requires("edgedeblur") or []]


def check_requirement(requirement: Requirement) -> Check:
    """One package against its range; those of an extra are optional."""
    extra = next((name for name in EXTRAS if requirement.marker and name in str(requirement.marker)), None)
    version = version_of(requirement.name)
    package = f"{requirement.name}{requirement.specifier}"
    if version is not None and requirement.specifier.contains(version, prereleases=True):
        return Check(requirement.name, "ok", version)
    found = "not installed" if version is None else f"{version}, outside {requirement.specifier}"
    if extra is not None:
        return Check(requirement.name, "optional", found, f"{EXTRAS[extra]}: pip install 'edgedeblur[{extra}]'")
    return Check(requirement.name, "missing", found, f"pip install '{package}'")


def check_tvm_loads() -> Check:
    """TVM imports and its LLVM knows AArch64."""
    try:
        importlib.import_module("tvm")
        from tvm.target import codegen

        targets, version = codegen.llvm_get_targets(), codegen.llvm_version_major()
    except Exception as error:  # whatever an installation's native library raises is the finding
        return Check(
            "tvm's LLVM", "missing", f"{type(error).__name__}: {error}", "pip install --force-reinstall apache-tvm"
        )
    if "aarch64" not in targets:
        return Check("tvm's LLVM", "missing", f"LLVM {version} without AArch64", "install apache-tvm from PyPI")
    return Check("tvm's LLVM", "ok", f"LLVM {version} with AArch64")


def check_zig() -> Check:
    version = program_version([sys.executable, "-m", "ziglang", "version"])
    if version is None:
        return Check("zig", "missing", "not installed", "compiling links with it: pip install ziglang")
    return Check("zig", "ok", version)


def check_cpu() -> Check:
    """Which of the kernels this processor can run."""
    runs = [isa for isa in ISAS if runs_here(isa)]
    found = f"{cpu_model()}: {', '.join(runs) or 'none'} of the kernels {', '.join(ISAS)}"
    if not runs:
        return Check("processor", "optional", found, "only for artefacts for this machine; other targets compile")
    return Check("processor", "ok", found)


def check_tool(name: str, argument: str, purpose: str, fix: str) -> Check:
    if shutil.which(name) is None:
        return Check(name, "optional", "not found", f"only for {purpose}: {fix}")
    return Check(name, "ok", program_version([name, argument]) or "found")


def check_adb() -> Check:
    """The adb that phones are reached with: the one in $PATH, else the one that adbutils brings."""
    try:
        import adbutils

        program = adbutils.adb_path()
    except ImportError:
        return Check("adb", "optional", "adbutils is not installed", f"{EXTRAS['adb']}: pip install 'edgedeblur[adb]'")
    except adbutils.AdbError:
        return Check("adb", "optional", "not found", f"{EXTRAS['adb']}: apt-get install adb")
    return Check("adb", "ok", f"{program_version([program, 'version']) or 'found'}, {program}")


def check_mca() -> Check:
    program = mca.find_mca()
    if program is None:
        fix = f"only for estimates without the processor: apt-get install {mca.PACKAGE}"
        return Check("llvm-mca", "optional", "not found, or too old", fix)
    return Check("llvm-mca", "ok", f"{mca.version(program)} ({program})")


def check_opencl() -> Check:
    """What would run kernels for a GPU here."""
    devices = opencl_devices()
    if not devices:
        found = "libOpenCL.so.1 is not installed" if devices is None else "no device"
        fix = "only for targets with a GPU: its driver, or apt-get install pocl-opencl-icd, which simulates one"
        return Check("OpenCL", "optional", found, fix)
    names = ", ".join(f"{one.name} ({'a GPU' if one.is_gpu else 'software, no GPU'})" for one in devices)
    return Check("OpenCL", "ok", names)


def check_cuda() -> Check:
    """What would run kernels for CUDA here."""
    devices = cuda_devices()
    if not devices:
        found = "libcuda.so.1 is not installed" if devices is None else "no device"
        return Check(
            "CUDA", "optional", found, "only for target cuda: a GPU by NVIDIA and its driver; CUDA is not needed"
        )
    names = ", ".join(one.name for one in devices)
    if max(one.capability for one in devices) < OLDEST_CUDA:
        return Check("CUDA", "optional", names, "the kernels need compute capability 7.5: Turing or later")
    return Check("CUDA", "ok", names)


def check_ndk() -> Check:
    """An NDK is not needed; one that ANDROID_NDK_HOME names links the library for apps in place of zig."""
    home = os.environ.get("ANDROID_NDK_HOME")
    purpose = "not needed, zig links the library for apps; to link it with an NDK's clang, set ANDROID_NDK_HOME"
    if not home:
        return Check("NDK", "optional", "ANDROID_NDK_HOME is not set", purpose)
    if not (Path(home) / "toolchains" / "llvm" / "prebuilt").is_dir():
        return Check("NDK", "optional", f"ANDROID_NDK_HOME={home} holds no NDK", purpose)
    return Check("NDK", "ok", home)


def check_disk(workdir: Path) -> Check:
    place = next(folder for folder in (workdir, *workdir.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free / 1e9
    if not os.access(place, os.W_OK):
        return Check("disk", "missing", f"{place} cannot be written", "choose another --workdir")
    if free < MIN_FREE_GB:
        return Check(
            "disk", "missing", f"{free:.1f} GB free at {place}", f"free {MIN_FREE_GB:g} GB or choose --workdir"
        )
    return Check("disk", "ok", f"{free:.1f} GB free at {place}")
