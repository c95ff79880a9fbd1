"""A quantised network to machine code and a memory plan: what the emitter turns into an artefact.

`build_plan` is the list of the stages, in order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import tvm

from edgedeblur.artefact.int8_proof import Int8Evidence
from edgedeblur.artefact.target import Target
from edgedeblur.compile.assembly import dot_instructions, inner_loop, kernel_bodies
from edgedeblur.compile.dump import Dump, graph_text, layers_text, named_functions, nowhere, plan_text
from edgedeblur.compile.int8_evidence import int8_evidence
from edgedeblur.compile.kernels import target_instruction_set
from edgedeblur.compile.kernels.convolution import same_kernel
from edgedeblur.compile.kernels.gate import Gate, gate_parameters
from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer, conv_layers, layer_isa
from edgedeblur.compile.limits import check_memory, check_tensors
from edgedeblur.compile.llvm.functions import assemble, compile_functions
from edgedeblur.compile.llvm.names import check_llvm_names
from edgedeblur.compile.lower import (
    AnyKernel,
    LayerGate,
    LayerKernel,
    OperationKernel,
    calls_in_order,
    constant_names,
    identifier,
    kernel_module,
    lower,
    plan_memory,
)
from edgedeblur.compile.memory import MemoryPlan, aligned, read_memory_plan
from edgedeblur.compile.operations.layer import TABLE, operation_layer
from edgedeblur.compile.pack import pack_constants, pack_gate
from edgedeblur.compile.plan import KernelCall, Plan
from edgedeblur.compile.ranges import check_ranges
from edgedeblur.compile.schedules.default import default_schedule
from edgedeblur.compile.schedules.schedule import Schedule, channel_vectors, check_schedule, input_passes, scratch_bytes
from edgedeblur.compile.workspace import workspace_bytes
from edgedeblur.quantize.network import QuantisedNetwork, QuantisedOp
from edgedeblur.sizes import check_sides
from edgedeblur.student import ConvSpec

ENTRY_PREFIX = "__tvm_ffi_"  # TVM's packed calling convention: the symbol that takes tensors


@dataclass(frozen=True)
class CompiledKernel:
    """One compiled layer, for inspection.

    fused: what is done in the same pass over memory as the convolution, in order. input_passes: how often its input is
    read for it; its output is written once.
    dot_instructions: int8 dot products in its machine code. loop_dots of loop_instructions: of one round of its inner
    loop. workspace_bytes: scratch of one thread. int8: what the machine code multiplies.
    """

    layer: str
    schedule: Schedule
    macs: int
    fused: tuple[str, ...]
    input_passes: int
    dot_instructions: int
    loop_dots: int
    loop_instructions: int
    workspace_bytes: int
    int8: Int8Evidence


@dataclass(frozen=True)
class CompiledPass:
    """One compiled layer without weights. workspace_bytes: scratch of one thread."""

    layer: str
    workspace_bytes: int


@dataclass(frozen=True)
class CompiledKernels:
    """object_code: a relocatable, position-independent object with every kernel. kernels: one per convolution, passes:
    one per layer without weights, in order."""

    object_code: bytes
    plan: Plan
    kernels: tuple[CompiledKernel, ...]
    passes: tuple[CompiledPass, ...] = ()


def build_plan(
    network: QuantisedNetwork,
    height: int,
    width: int,
    target: Target,
    schedules: Mapping[str, Schedule] | None = None,
    dump: Dump = nowhere,
    suffix: str = "",
) -> CompiledKernels:
    """Compiles the network for images of height x width.

    Args:
        schedules: by layer name, instead of the default schedule, for layers that were tuned.
        dump: gets what each stage made, as text.
        suffix: of the kernels' names, for an object with kernels for several sizes.

    Raises:
        UserError: a size that the network cannot take, numbers that leave the integer ranges, a target whose
            instruction set has no kernels, a schedule that does not fit its layer.
    """
    # 1. What cannot be compiled is refused: sizes, integer ranges, cpus that LLVM does not know.
    check_size(network, height, width)
    check_ranges(network)
    check_llvm_names(target)
    # 2. Every layer's numbers at this size, and its schedule (kernels/layer.py, schedules/).
    kernels = _renamed(layer_kernels(network, height, width, target, schedules or {}), suffix)
    dump("1-layers.txt", lambda: layers_text(kernels))
    # 3. The graph: one call for each layer, its kernel as TIR (lower.py, kernels/).
    module = lower(kernels)
    dump("2-graph.py", lambda: graph_text(module))
    functions = kernel_module(module)
    for symbol, function in named_functions(functions):
        dump(f"3-tir/{symbol}.py", function.script)
    # 4. The constants, packed in the order in which the kernels read them (pack.py).
    constants, offsets = _pack(network, kernels)
    # 5. Where every tensor lies: TVM's planner shares the arena's bytes (memory.py).
    memory = read_memory_plan(plan_memory(module), offsets)
    scratch = max(workspace_bytes(function) for _, function in named_functions(functions))
    check_memory(height, width, arena=memory.arena_bytes, workspace=scratch, weights=len(constants))
    plan = Plan(_calls(kernels, memory), height, width, memory.arena_bytes, scratch, constants)
    dump("4-plan.txt", lambda: plan_text(plan))
    # 6. Machine code, and what it says of itself (assembly.py, int8_evidence.py).
    compiled = compile_functions(functions, target)
    assembly = compiled.inspect_source("asm")
    bodies = kernel_bodies(assembly)
    for symbol, body in bodies.items():
        dump(f"5-assembly/{symbol}.s", partial("\n".join, body))
    convolutions = [kernel for kernel in kernels if isinstance(kernel, LayerKernel)]
    report = _describe_all(convolutions, functions, bodies, target, plan)
    passes = tuple(
        CompiledPass(kernel.layer.name, workspace_bytes(functions[kernel.symbol]))
        for kernel in kernels
        if isinstance(kernel, OperationKernel)
    )
    return CompiledKernels(assemble(assembly, target), plan, report, passes)


def check_size(network: QuantisedNetwork, height: int, width: int) -> None:
    """Raises UserError unless the network can take images of that size, and kernels can index its tensors."""
    check_sides(height, width, network.spec.multiple)
    check_tensors(conv_layers(network, height, width), network.spec.multiple)


def layer_kernels(
    network: QuantisedNetwork, height: int, width: int, target: Target, schedules: Mapping[str, Schedule]
) -> tuple[AnyKernel, ...]:
    """Every layer, a convolution with its schedule: the given one, else the default one for the target. Convolutions
    that differ only in data (kernels/layer.py) have one symbol."""
    isa = target_instruction_set(target)
    kernels: list[AnyKernel] = []
    symbols: dict[tuple[ConvLayer, Schedule], str] = {}
    gates: dict[Gate, str] = {}
    layers = {layer.name: layer for layer in conv_layers(network, height, width)}
    sizes = network.spec.sizes(height, width)
    for index, quantised in enumerate(network.layers):
        conv = quantised.spec
        if isinstance(quantised, QuantisedOp):
            symbol = f"{isa.name}_{conv.op}{index}_{identifier(conv.name)}"
            kernels.append(OperationKernel(operation_layer(network, quantised, sizes), symbol, conv.sources))
            continue
        layer, own = layers[conv.name], layer_isa(layers[conv.name], isa)
        schedule = schedules.get(layer.name) or default_schedule(layer, own, target.threads)
        check_schedule(layer, own, schedule)
        check_memory(height, width, **{f"scratch for layer {layer.name}": scratch_bytes(layer, own, schedule)})
        shape = "x".join(map(str, (layer.kernel, layer.kernel, *layer.source)))
        symbol = symbols.setdefault((same_kernel(layer, isa), schedule), f"{isa.name}_conv{len(symbols)}_{shape}")
        gate = None if conv.gate is None else _layer_gate(conv, layers, gates, isa)
        kernels.append(LayerKernel(layer, schedule, own, symbol, conv.source, conv.residual, gate))
    return tuple(kernels)


def _renamed(kernels: tuple[AnyKernel, ...], suffix: str) -> tuple[AnyKernel, ...]:
    def renamed(kernel: AnyKernel) -> AnyKernel:
        if kernel.gate is not None:
            kernel = replace(kernel, gate=replace(kernel.gate, symbol=kernel.gate.symbol + suffix))
        return replace(kernel, symbol=kernel.symbol + suffix)

    return tuple(map(renamed, kernels))


def _layer_gate(
    conv: ConvSpec, layers: Mapping[str, ConvLayer], symbols: dict[Gate, str], isa: InstructionSet
) -> LayerGate:
    """Gates that differ only in data have one symbol, which is added to those that there are."""
    layer, gating = layers[conv.name], layers[conv.gate]
    gate = Gate(gating.out, gating.out_zero_point, layer.out_channels, channel_vectors(layer, isa) * isa.lanes)
    shape = "x".join(map(str, gate.source))
    return LayerGate(gate, symbols.setdefault(gate, f"{isa.name}_gate{len(symbols)}_{shape}"), conv.gate)


def _describe_all(
    kernels: Sequence[LayerKernel],
    functions: tvm.IRModule,
    bodies: Mapping[str, list[str]],
    target: Target,
    plan: Plan,
) -> tuple[CompiledKernel, ...]:
    """One description of each symbol's code, for every layer that has it."""
    calls = {call.symbol: call for call in plan.calls}
    described: dict[str, CompiledKernel] = {}
    for kernel in kernels:
        if kernel.symbol not in described:
            code, call = (functions[kernel.symbol], bodies[kernel.symbol]), calls[ENTRY_PREFIX + kernel.symbol]
            described[kernel.symbol] = _describe(kernel, *code, target, call)
    return tuple(replace(described[kernel.symbol], layer=kernel.layer.name) for kernel in kernels)


def _describe(
    kernel: LayerKernel, function: tvm.tirx.PrimFunc, body: list[str], target: Target, call: KernelCall
) -> CompiledKernel:
    products = kernel.isa.products(kernel.schedule.method)
    loop = inner_loop(body, products)
    dtypes = tuple(operand.dtype for operand in call.operands)
    return CompiledKernel(
        layer=kernel.layer.name,
        schedule=kernel.schedule,
        macs=kernel.layer.macs,
        fused=kernel.layer.fused,
        input_passes=input_passes(kernel.layer, kernel.isa, kernel.schedule),
        dot_instructions=dot_instructions(body, products),
        loop_dots=dot_instructions(loop, products),
        loop_instructions=len(loop),
        workspace_bytes=workspace_bytes(function),
        int8=int8_evidence(kernel, body, target.architecture, dtypes),
    )


def _pack(network: QuantisedNetwork, kernels: tuple[AnyKernel, ...]) -> tuple[bytes, list[int]]:
    """All constants, each on its own cache line, and where each begins, in the order of `main`'s parameters."""
    packed: dict[tuple[str, str], np.ndarray] = {}
    for conv, kernel in zip(network.layers, kernels, strict=True):
        if isinstance(kernel, OperationKernel):
            packed[conv.spec.name, TABLE] = conv.table
            continue
        arrays = pack_constants(conv, kernel.layer, kernel.schedule, kernel.isa)
        found = arrays.arrays | ({} if kernel.gate is None else pack_gate(conv.gate))
        packed |= {(conv.spec.name, name): array for name, array in found.items()}
    blob, offsets = bytearray(), []
    for name in constant_names(kernels):
        offsets.append(len(blob))
        blob += packed[name].tobytes()
        blob += bytes(aligned(len(blob)) - len(blob))
    return bytes(blob), offsets


def _calls(kernels: tuple[AnyKernel, ...], memory: MemoryPlan) -> tuple[KernelCall, ...]:
    """The calls in order; that of a gate counts to the layer that it gates, and its products are too few to count."""
    calls = []
    for (kernel, gate), planned in zip(calls_in_order(kernels), memory.calls, strict=True):
        taken = kernel.parameters if gate is None else gate_parameters(gate.gate)
        macs, names = kernel.layer.macs if gate is None else 0, tuple(parameter.name for parameter in taken)
        calls.append(KernelCall(kernel.layer.name, ENTRY_PREFIX + planned.symbol, planned.operands, macs, names))
    return tuple(calls)
