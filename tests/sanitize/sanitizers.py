"""`make sanitize`: the C runtime, the emitted C and the kernels under sanitizers, against the integer interpreter.

address    AddressSanitizer and UndefinedBehaviorSanitizer, by the machine's C compiler
thread     ThreadSanitizer, by the machine's C compiler

The kernels are LLVM's own code for them, instrumented by zig's clang. Each network is driven with 1 to
8 threads, by several instances at once, and against the rules of edgedeblur.h (driver.c), and by edgedeblur-bench.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from networks import gated_spec, random_network, single_layer_spec, tiny_spec

from edgedeblur.artefact import names
from edgedeblur.artefact.names import CONSTANTS, MODEL_C
from edgedeblur.artefact.target import Target, load_target
from edgedeblur.compile.build import CompiledKernels, build_plan, layer_kernels
from edgedeblur.compile.emit import ModelFacts, emit_model_c
from edgedeblur.compile.linking import link
from edgedeblur.compile.llvm.functions import compile_functions
from edgedeblur.compile.lower import kernel_module, lower
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.student import student_spec

DRIVER = Path(__file__).with_name("driver.c")
TSAN_CALLS = Path(__file__).with_name("tsan_calls.c")
LIBRARY_SOURCES = (
    "camera.c",
    "cpu.c",
    "cpu_unit.c",
    "error.c",
    "governor.c",
    "headroom.c",
    "instance.c",
    "mask.c",
    "pixels.c",
    "pool.c",
    "self_test.c",
    "sha256.c",
    "tiles.c",
    "workspace.c",
)
BENCH_SOURCES = ("bench.c", "bench_options.c", "bench_report.c", "govern.c", "other_network.c", "peak.c")
FLAGS = ["-std=gnu11", "-O1", "-g", "-fPIC", "-pthread", "-fno-omit-frame-pointer", "-I.", "-Iruntime", "-Iinclude"]
TIMEOUT_S = 600
BENCH_RUNS = (
    (0, ["--runs", "3", "--warmup", "1", "--threads", "3", "--profile", "--input", "image.rgb", "--output", "o.rgb"]),
    (0, ["--runs", "2", "--warmup", "0", "--threads", "8", "--stream", "--cores", "0"]),
    (0, ["--runs", "1", "--min-seconds", "1.1", "--govern", "900", "--levels", "1,2@9", "--zones", ".", "--stream"]),
    (0, ["--runs", "3", "--govern", "900", "--network", "./bench", "--levels", "2:2,1,2:1@9", "--zones", "."]),
    (2, ["--threads", "65"]),
    (2, ["--input", "model.c"]),
    (2, ["--cores", "9-1"]),
)


@dataclass(frozen=True)
class Case:
    """A network at a size. The sizes are odd where a network takes any."""

    name: str
    network: QuantisedNetwork
    height: int
    width: int


@dataclass(frozen=True)
class Mode:
    """compiler: command that compiles C and links. kernels: the sanitizer that checks their loads and stores."""

    name: str
    compiler: list[str]
    flags: list[str]
    kernels: str


def cases() -> list[Case]:
    """Every operation without gates and with them, Winograd's method by blocks of channels, 3x3 of an odd size, and 5x5
    of an image that is smaller than its window.

    "gated" is so large that several threads add up one of its gates.
    """
    return [
        Case("tiny", random_network(tiny_spec()), 24, 40),
        Case("gated", random_network(gated_spec()), 104, 168),
        Case("nano-gates", random_network(student_spec("nano", gates=True)), 48, 64),
        Case("conv3x3", random_network(single_layer_spec()), 17, 23),
        Case("conv5x5", random_network(single_layer_spec(kernel=5)), 1, 3),
    ]


def modes() -> list[Mode]:
    """Those that can be had here; what is left out is said."""
    found = []
    compiler = shutil.which("cc")
    for name, flags, kernels in (
        ("address", ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], "address"),
        ("thread", ["-fsanitize=thread"], "thread"),
    ):
        if compiler and links(compiler, flags):
            found.append(Mode(name, [compiler], flags, kernels))
        else:
            print(f"{name}: left out, no C compiler with this sanitizer (apt-get install gcc)")
    if not found:
        raise SystemExit("no C compiler with sanitizers; nothing was checked: apt-get install gcc")
    return found


def links(compiler: str, flags: list[str]) -> bool:
    """Whether the compiler makes a program with these flags: its runtime library may not be installed."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.c").write_text("int main(void) { return 0; }\n")
        return subprocess.run([compiler, *flags, "a.c", "-o", "a"], cwd=folder, capture_output=True).returncode == 0


def instrumented_kernels(case: Case, target: Target, sanitizer: str, folder: Path) -> None:
    """OBJECT from LLVM's code for the kernels, every load and store of it checked by the sanitizer."""
    kernels = kernel_module(lower(layer_kernels(case.network, case.height, case.width, target, {})))
    code = compile_functions(kernels, target).inspect_source("ll")
    code = re.sub(r"^(attributes #\d+ = \{)", rf"\1 sanitize_{sanitizer}", code, flags=re.M)
    code = re.sub(r"\bmemory\([^)]*\)", "", code)  # what LLVM inferred does not hold of instrumented code
    (folder / "kernels.ll").write_text(code)
    zig = link.zig_cc(f"{target.architecture}-linux-gnu")
    flags = ["-mcpu=x86_64_v3"] if target.architecture == "x86_64" else []
    link.run_compiler(
        [*zig, *flags, "-w", "-O1", "-fPIC", f"-fsanitize={sanitizer}", "-c", "kernels.ll", "-o", names.OBJECT], folder
    )


def build(case: Case, compiled: CompiledKernels, mode: Mode, target: Target, folder: Path) -> None:
    """The driver and the bench program in the folder, with the images that they need."""
    link.copy_sources(folder)
    (folder / CONSTANTS).write_bytes(compiled.plan.constants)
    (folder / MODEL_C).write_text(emit_model_c(compiled.plan, ModelFacts(case.name, "1", target.isa, 2)))
    instrumented_kernels(case, target, mode.kernels, folder)
    link_programs(mode, folder)
    image = np.random.default_rng(3).integers(0, 256, (case.height, case.width, 3), np.uint8)
    (folder / "image.rgb").write_bytes(image.tobytes())
    (folder / "due.rgb").write_bytes(interpreter.run(case.network, image).tobytes())


def link_programs(mode: Mode, folder: Path) -> None:
    """`driver` and `bench` from the sources in the folder."""
    library = [MODEL_C, *(f"runtime/{name}" for name in LIBRARY_SOURCES), names.OBJECT]
    library += [str(TSAN_CALLS)] if mode.kernels == "thread" else []
    bench = [f"runtime/{name}" for name in BENCH_SOURCES]
    for program, sources in (("driver", [str(DRIVER)]), ("bench", bench)):
        link.run_compiler([*mode.compiler, *FLAGS, *mode.flags, *sources, *library, "-o", program], folder)


def run(folder: Path) -> tuple[int, int, str]:
    """(checks, failures, what a sanitizer or a check reported) of the programs in the folder."""
    done = start(folder, ["./driver", "image.rgb", "due.rgb"])
    numbers = done.stdout.split()
    checks, failures = map(int, numbers) if len(numbers) == 2 else (1, 1)
    failures = max(failures, int(done.returncode != 0))
    report = done.stderr if failures else ""
    for status, options in BENCH_RUNS:
        done = start(folder, ["./bench", *options])
        good = done.returncode == status and "Sanitizer" not in done.stderr and "runtime error" not in done.stderr
        checks, failures = checks + 1, failures + (not good)
        report += "" if good else f"bench {' '.join(options)} ended with {done.returncode}\n{done.stderr}"
    return checks, failures, report


def start(folder: Path, command: list[str]) -> subprocess.CompletedProcess:
    """Without random addresses where that can be had: older ThreadSanitizers do not start with today's."""
    fixed = ["setarch", "-R"] if subprocess.run(["setarch", "-R", "true"], capture_output=True).returncode == 0 else []
    try:
        return subprocess.run([*fixed, *command], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"did not end within {TIMEOUT_S} s")


def check(case: Case, chosen: list[Mode]) -> tuple[int, int]:
    """(checks, failures) of one network under each sanitizer; prints a line for each."""
    target = load_target("host")
    compiled = build_plan(case.network, case.height, case.width, target)
    total = failed = 0
    for mode in chosen:
        with tempfile.TemporaryDirectory(prefix="edgedeblur-sanitize-") as folder:
            build(case, compiled, mode, target, Path(folder))
            checks, failures, report = run(Path(folder))
        total, failed = total + checks, failed + failures
        size = f"{case.name} {case.height}x{case.width}"
        print(f"{mode.name:10} {size:14} {checks:4} checks, {failures} failures", flush=True)
        if report:
            print(report[-4000:])
    return total, failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", help="only this one: address or thread")
    parser.add_argument("--case", help="only this network")
    arguments = parser.parse_args()
    chosen = [mode for mode in modes() if arguments.mode in (None, mode.name)]
    results = [check(case, chosen) for case in cases() if arguments.case in (None, case.name)]
    total, failed = (sum(numbers) for numbers in zip(*results, strict=True))
    print(f"{total} checks, {failed} failures")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
