"""Runs single kernels of other processors in an emulator, many in one program.

AArch64's run in qemu-aarch64, on a core that has just their instructions; x86's in the emulator that
EDGEDEBLUR_X86_EMULATOR names (docs/development.md), or directly where the processor has them.
"""

import atexit
import functools
import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tvm

from edgedeblur.artefact import names
from edgedeblur.artefact.cpu import runs_here
from edgedeblur.artefact.names import CONSTANTS, MODEL_C
from edgedeblur.artefact.target import Target, load_target
from edgedeblur.compile.build import ENTRY_PREFIX, compile_functions
from edgedeblur.compile.emit import ModelFacts, emit_model_c, operand_bytes
from edgedeblur.compile.kernels import instruction_set
from edgedeblur.compile.kernels.convolution import conv_kernel
from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer, layer_isa
from edgedeblur.compile.kernels.signature import parameters
from edgedeblur.compile.linking import link
from edgedeblur.compile.memory import aligned
from edgedeblur.compile.pack import pack_constants
from edgedeblur.compile.plan import KernelCall, Operand, Plan
from edgedeblur.compile.schedules.schedule import Schedule
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.network import QuantisedNetwork, is_image

QEMU = "qemu-aarch64"
CORES = {"sdot": "cortex-a76", "i8mm": "max", "neon": "cortex-a53"}  # of qemu, by instruction set
_LLVM = {"sdot": ("cortex-a77", "+dotprod"), "i8mm": ("cortex-a78", "+i8mm"), "neon": ("cortex-a53", "+neon")}
_ZIG = "aarch64-linux-musl"
X86_EMULATOR = "EDGEDEBLUR_X86_EMULATOR"
X86 = {"vnni": "x86-64-v4-vnni", "avxvnni": "x86-64-v3-vnni"}  # shipped targets, by instruction set
_GUARD = 64  # bytes after each output, which no kernel may touch
_UNTOUCHED = 0xA5  # of run_tables.c


@dataclass(frozen=True)
class Trial:
    """One layer to run. tensors: [H, W, C] by name: the layer's source and residual, as the interpreter's."""

    network: QuantisedNetwork
    index: int
    layer: ConvLayer
    schedule: Schedule
    tensors: dict[str, np.ndarray]

    def isa(self, name: str) -> InstructionSet:
        """What its kernel multiplies with."""
        return layer_isa(self.layer, instruction_set(name))


def arm_target(isa: str) -> Target:
    """A core with that instruction set and nothing beyond it that kernels could use."""
    cpu, feature = _LLVM[isa]
    return Target(isa, "for a test", "aarch64-linux-gnu", cpu, (feature,), isa, _ZIG, 4, (), 35.0, 150.0)


def command_prefix(isa: str) -> tuple[str, ...] | None:
    """What a program with kernels of that instruction set is started by; None where nothing here runs it."""
    if isa in CORES:
        return (QEMU, "-cpu", CORES[isa]) if shutil.which(QEMU) else None
    return () if runs_here(isa) else tuple(shlex.split(os.environ.get(X86_EMULATOR, ""))) or None


def where_it_runs(isa: str) -> object:
    """The instruction set as a parameter of a test that is skipped where nothing here runs it."""
    fix = "qemu-user is not installed" if isa in CORES else f"no such processor, and no emulator in {X86_EMULATOR}"
    return pytest.param(isa, marks=pytest.mark.skipif(command_prefix(isa) is None, reason=fix))


def run_trials(isa: str, trials: list[Trial]) -> list[np.ndarray]:
    """Each layer's output [H, W, C], as the interpreter's."""
    plan = _plan(isa, trials)
    with tempfile.TemporaryDirectory(prefix="edgedeblur-arm-") as name:
        folder = Path(name)
        program = _build(isa, trials, plan, folder)
        subprocess.run([*command_prefix(isa), str(program), str(folder / "arena")], check=True, timeout=300)
        arena = np.fromfile(folder / "arena", np.uint8)
    return [_output(trial.layer, call.operands[-1], arena) for trial, call in zip(trials, plan.calls, strict=True)]


def _plan(isa: str, trials: list[Trial]) -> Plan:
    """Inputs and constants lie in the program, outputs one after another in the arena."""
    constants, calls, arena_bytes = bytearray(), [], 0

    def constant(array: np.ndarray, shape: tuple[int, ...]) -> Operand:
        nonlocal constants
        operand = Operand("constant", len(constants), shape, str(array.dtype))
        constants += array.tobytes()
        constants += bytes(aligned(len(constants)) - len(constants))
        return operand

    for number, trial in enumerate(trials):
        packed = pack_constants(trial.network.layers[trial.index], trial.layer, trial.schedule, trial.isa(isa))
        spec = trial.network.layers[trial.index].spec
        arrays = {"source": _stored(trial, spec.source)} | packed.arrays
        if spec.residual is not None:
            arrays["residual"] = _stored(trial, spec.residual)
        *inputs, out = parameters(trial.layer, trial.schedule, trial.isa(isa))
        operands = [constant(arrays[p.name], p.shape) for p in inputs]
        operands.append(Operand("arena", arena_bytes, out.shape, out.dtype))
        arena_bytes += aligned(operand_bytes(operands[-1]) + _GUARD)
        calls.append(KernelCall(f"trial {number}", f"{ENTRY_PREFIX}conv{number}", tuple(operands), 1))
    return Plan(tuple(calls), 1, 1, arena_bytes, 0, bytes(constants))


def _build(isa: str, trials: list[Trial], plan: Plan, folder: Path) -> Path:
    kernels = {
        f"conv{number}": conv_kernel(trial.layer, trial.schedule, trial.isa(isa), f"conv{number}")
        for number, trial in enumerate(trials)
    }
    target = load_target(X86[isa]) if isa in X86 else arm_target(isa)
    compiled = compile_functions(tvm.IRModule(kernels), target)
    compiled.write_to_file(str(folder / "kernels.o"))
    (folder / CONSTANTS).write_bytes(plan.constants)
    (folder / MODEL_C).write_text(emit_model_c(plan, ModelFacts("trials", "1", isa, 1)))
    runner = _runner(target.zig_target)
    sources = [str(folder / MODEL_C), str(folder / "kernels.o"), str(runner)]
    like_artefacts = ["-O2", "-s", "-fPIC", "-static"]  # so zig has their C library already
    command = [*link.zig_cc(target.zig_target), *like_artefacts, f"-I{folder}", *_includes(runner.parent), *sources]
    link.run_compiler([*command, "-o", str(folder / "trials")], folder)
    return folder / "trials"


@functools.cache
def _runner(zig_target: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="edgedeblur-arm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    link.copy_sources(folder)
    source = Path(__file__).with_name("run_tables.c")
    command = [*link.zig_cc(zig_target), "-O2", "-fPIC", *_includes(folder), "-c", str(source), "-o", "run_tables.o"]
    link.run_compiler(command, folder)
    return folder / "run_tables.o"


def _includes(folder: Path) -> list[str]:
    return [f"-I{folder / name}" for name in (names.RUNTIME_FOLDER, names.INCLUDE_FOLDER)]


def _stored(trial: Trial, name: str) -> np.ndarray:
    tensor = trial.tensors[name]
    return interpreter.to_image(tensor) if is_image(name, trial.network.spec) else tensor


def _output(layer: ConvLayer, operand: Operand, arena: np.ndarray) -> np.ndarray:
    end = operand.offset + operand_bytes(operand)
    assert np.all(arena[end : aligned(end + _GUARD)] == _UNTOUCHED), f"{layer} writes beyond its output"
    stored = arena[operand.offset : end].view(operand.dtype).reshape(layer.out)
    return interpreter.from_image(stored) if layer.image_out else stored
