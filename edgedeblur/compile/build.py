"""A quantised network to machine code and a memory plan: what the emitter turns into an artefact.

1. every layer's numbers for the image size     kernels/layer.py
2. a schedule for each                          schedule.py
3. the graph, its kernels and its memory        lower.py, memory.py
4. the constants, packed for the kernels        pack.py
5. one object file                              here
"""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tvm

from edgedeblur.compile.kernels import instruction_set
from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.lower import CONSTANTS, LayerKernel, kernel_module, lower, plan_memory
from edgedeblur.compile.memory import MemoryPlan, aligned, read_memory_plan
from edgedeblur.compile.pack import pack_constants
from edgedeblur.compile.plan import KernelCall, Plan
from edgedeblur.compile.schedule import Schedule, default_schedule
from edgedeblur.compile.target import Target
from edgedeblur.compile.workspace import workspace_bytes
from edgedeblur.errors import UserError
from edgedeblur.quantize.network import QuantisedNetwork

ENTRY_PREFIX = "__tvm_ffi_"  # TVM's packed calling convention: the symbol that takes tensors


@dataclass(frozen=True)
class CompiledKernel:
    """What became of one layer, for inspection.

    dot_instructions: dot products in its machine code. passes: how often it goes over memory for its tensors.
    """

    layer: str
    schedule: Schedule
    macs: int
    dot_instructions: int
    workspace_bytes: int


@dataclass(frozen=True)
class CompiledKernels:
    """object_code: a relocatable, position-independent object with every kernel. kernels: one per layer, in order."""

    object_code: bytes
    plan: Plan
    kernels: tuple[CompiledKernel, ...]


def build_plan(network: QuantisedNetwork, height: int, width: int, target: Target) -> CompiledKernels:
    """Compiles the network for images of height x width.

    Raises:
        UserError: a size that the network cannot take, or a target whose instruction set has no kernels.
    """
    check_size(network, height, width)
    kernels = layer_kernels(network, height, width, target)
    module = lower(kernels)
    constants, offsets = _pack(network, kernels)
    memory = read_memory_plan(plan_memory(module), offsets)
    executable = kernel_module(module)
    scratch = {kernel.symbol: workspace_bytes(executable[kernel.symbol]) for kernel in kernels}
    compiled = tvm.compile(executable, target=llvm_target(target)).mod
    dots = count_dots(compiled.inspect_source("asm"), kernels[0].isa)
    report = tuple(
        CompiledKernel(k.layer.name, k.schedule, k.layer.macs, dots[k.symbol], scratch[k.symbol]) for k in kernels
    )
    plan = Plan(_calls(kernels, memory), height, width, memory.arena_bytes, max(scratch.values()), constants)
    return CompiledKernels(_object_code(compiled), plan, report)


def check_size(network: QuantisedNetwork, height: int, width: int) -> None:
    """Raises UserError unless the network can take images of that size."""
    multiple = network.spec.multiple
    if height <= 0 or width <= 0 or height % multiple or width % multiple:
        raise UserError(
            f"an image size of {height}x{width} does not fit the network: both must be positive multiples of {multiple}",
            exit_code=2,
        )


def llvm_target(target: Target) -> tvm.target.Target:
    """TVM's form of a target."""
    return tvm.target.Target(
        {"kind": "llvm", "mtriple": target.triple, "mcpu": target.cpu, "mattr": list(target.features)}
    )


def layer_kernels(network: QuantisedNetwork, height: int, width: int, target: Target) -> tuple[LayerKernel, ...]:
    """Every layer with the schedule that the rule chooses for the target."""
    isa = instruction_set(target.isa)
    layers = conv_layers(network, height, width)
    return tuple(
        LayerKernel(
            layer,
            default_schedule(layer, isa, target.threads),
            isa,
            layer.name.replace(".", "_"),
            conv.spec.source,
            conv.spec.residual,
        )
        for layer, conv in zip(layers, network.layers, strict=True)
    )


def count_dots(assembly: str, isa: InstructionSet) -> dict[str, int]:
    """Dot-product instructions per kernel. A kernel's parallel body is `<symbol>_compute_`, a function of its own."""
    counts: dict[str, int] = {}
    symbol = ""
    mnemonic = re.compile(rf"\s+{isa.mnemonic}\b")
    for line in assembly.splitlines():
        label = re.match(r"([A-Za-z_]\w*):", line)
        if label:
            symbol = label[1].removeprefix("__tvm_parallel_lambda").removesuffix("_compute_")
            counts.setdefault(symbol, 0)
        elif mnemonic.match(line):
            counts[symbol] += 1
    return counts


def _pack(network: QuantisedNetwork, kernels: tuple[LayerKernel, ...]) -> tuple[bytes, list[int]]:
    """All constants, each on its own cache line, and where each begins, in the order of `main`'s parameters."""
    blob, offsets = bytearray(), []
    for conv, kernel in zip(network.layers, kernels, strict=True):
        packed = pack_constants(conv, kernel.layer, kernel.schedule, kernel.isa)
        for name in CONSTANTS:
            offsets.append(len(blob))
            blob += getattr(packed, name).tobytes()
            blob += bytes(aligned(len(blob)) - len(blob))
    return bytes(blob), offsets


def _calls(kernels: tuple[LayerKernel, ...], memory: MemoryPlan) -> tuple[KernelCall, ...]:
    by_symbol = {kernel.symbol: kernel for kernel in kernels}
    return tuple(
        KernelCall(
            by_symbol[call.symbol].layer.name,
            ENTRY_PREFIX + call.symbol,
            call.operands,
            by_symbol[call.symbol].layer.macs,
        )
        for call in memory.calls
    )


def _object_code(compiled) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernels.o"
        compiled.write_to_file(str(path))
        return path.read_bytes()
