"""The quantised network as a Relax function: one `call_tir` per layer, planned by TVM's own memory planner."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import tvm
from tvm import relax

from edgedeblur.compile.kernels.convolution import conv_kernel, same_kernel
from edgedeblur.compile.kernels.gate import Gate, gate_kernel, gate_parameters
from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.signature import Parameter, parameters
from edgedeblur.compile.operations.kernel import operation_kernel
from edgedeblur.compile.operations.layer import TABLE, OperationLayer, operation_parameters
from edgedeblur.compile.schedules.schedule import Schedule
from edgedeblur.student import IMAGE

ENTRY = "main"
CONSTANTS = ("weight", "bias", "scale", "negative_scale", "numbers", TABLE)
GATE_CONSTANTS = ("gate_weight", "gate_bias", "gate_scale")
GATE_TABLE = "gate_table"  # one for all gates


@dataclass(frozen=True)
class LayerGate:
    """What computes a layer's scales, the kernel's name, and the tensor that it reads by name."""

    gate: Gate
    symbol: str
    source: str


@dataclass(frozen=True)
class LayerKernel:
    """One layer, how it is computed, and the tensors it reads by name. `symbol`: the kernel's name in the module, which
    is that of every layer with the same (convolution.same_kernel)."""

    layer: ConvLayer
    schedule: Schedule
    isa: InstructionSet
    symbol: str
    source: str
    residual: str | None = None
    gate: LayerGate | None = None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return parameters(self.layer, self.schedule, self.isa)


@dataclass(frozen=True)
class OperationKernel:
    """One layer without weights, and the tensors it reads by name. `symbol`: the kernel's name in the module."""

    layer: OperationLayer
    symbol: str
    sources: tuple[str, ...]

    gate = None  # what walks over kernels asks of any

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return operation_parameters(self.layer)


AnyKernel = LayerKernel | OperationKernel


def lower(kernels: tuple[AnyKernel, ...]) -> tvm.IRModule:
    """The network as a Relax module.

    `main` takes the image and then the constants in the order of `constant_names`, and returns the restored image; the
    kernels lie beside it as TIR functions under their symbols.
    """
    builder = relax.BlockBuilder()
    image = _variable(IMAGE, _image_parameter(kernels))
    constants = {
        (layer, parameter.name): _variable(f"{identifier(layer)}_{parameter.name}", parameter)
        for layer, parameter in _constant_parameters(kernels)
    }
    with builder.function(ENTRY, [image, *constants.values()]):
        with builder.dataflow():
            tensors, symbols = {IMAGE: image}, {}
            scales = {kernel.layer.name: constants.get((kernel.layer.name, "scale")) for kernel in kernels}
            for kernel, gate in calls_in_order(kernels):
                name = kernel.layer.name
                if gate is not None:
                    scales[name] = _emit_gate(builder, kernel, tensors[gate.source], constants)
                elif isinstance(kernel, OperationKernel):
                    tensors[name] = _emit_operation(builder, kernel, tensors, constants)
                else:
                    tensors[name] = _emit(builder, kernel, symbols, tensors, constants, scales[name])
            output = builder.emit_output(tensors[kernels[-1].layer.name])
        builder.emit_func_output(output)
    return builder.get()


def calls_in_order(kernels: tuple[AnyKernel, ...]) -> Iterator[tuple[AnyKernel, LayerGate | None]]:
    """Every layer's kernel, and right after the layer whose tensor it reads a gate, with the kernel that it gates."""
    for kernel in kernels:
        yield kernel, None
        for gated in kernels:
            if gated.gate is not None and gated.gate.source == kernel.layer.name:
                yield gated, gated.gate


def identifier(name: str) -> str:
    """A layer's name as a part of an identifier."""
    return re.sub(r"[^A-Za-z0-9]", "_", name)


def _image_parameter(kernels: tuple[AnyKernel, ...]) -> Parameter:
    """The image, as the kernel that reads it first takes it: the first layer has nothing else to read."""
    first = kernels[0]
    sources = first.sources if isinstance(first, OperationKernel) else (first.source,)
    return first.parameters[sources.index(IMAGE)]


def constant_names(kernels: tuple[AnyKernel, ...]) -> list[tuple[str, str]]:
    """(layer, name of the parameter) of every constant, in order: every layer's, every gate's under the layer that it
    gates, and the gates' table under the first of those."""
    return [(layer, parameter.name) for layer, parameter in _constant_parameters(kernels)]


def _constant_parameters(kernels: tuple[AnyKernel, ...]) -> list[tuple[str, Parameter]]:
    found = [(kernel.layer.name, p) for kernel in kernels for p in kernel.parameters if p.name in CONSTANTS]
    gates = [(kernel.layer.name, kernel.gate.gate) for kernel in kernels if kernel.gate is not None]
    found += [(layer, p) for layer, gate in gates for p in gate_parameters(gate) if p.name in GATE_CONSTANTS]
    return found + [(layer, p) for layer, gate in gates[:1] for p in gate_parameters(gate) if p.name == GATE_TABLE]


def plan_memory(module: tvm.IRModule) -> tvm.IRModule:
    """`main` in destination-passing form, its tensors in storages that are reused once their last reader has run."""
    return relax.transform.StaticPlanBlockMemory()(relax.transform.CallTIRRewrite()(module))


def kernel_module(module: tvm.IRModule) -> tvm.IRModule:
    """The TIR kernels alone: what is compiled to machine code."""
    return tvm.IRModule({var: f for var, f in module.functions.items() if isinstance(f, tvm.tirx.PrimFunc)})


def _emit(
    builder: relax.BlockBuilder, kernel: LayerKernel, symbols: dict, tensors: dict, constants: dict, scale: relax.Var
) -> relax.Var:
    """A layer's call; symbols: those of functions that there are already."""
    if kernel.symbol not in symbols:
        function = conv_kernel(same_kernel(kernel.layer, kernel.isa), kernel.schedule, kernel.isa, kernel.symbol)
        symbols[kernel.symbol] = builder.add_func(function, kernel.symbol)
    own = _own(kernel, constants)
    arguments = [tensors[kernel.source], *(own | {"scale": scale}).values()]
    if kernel.residual is not None:
        arguments.append(tensors[kernel.residual])
    return builder.emit(relax.call_tir(symbols[kernel.symbol], arguments, _type(kernel.parameters[-1])))


def _own(kernel: AnyKernel, constants: dict) -> dict[str, relax.Var]:
    """A layer's constants by name, in the order of its kernel's parameters."""
    keys = {name: (kernel.layer.name, name) for name in CONSTANTS}
    return {name: constants[key] for name, key in keys.items() if key in constants}


def _emit_operation(builder: relax.BlockBuilder, kernel: OperationKernel, tensors: dict, constants: dict) -> relax.Var:
    symbol = builder.add_func(operation_kernel(kernel.layer, kernel.symbol), kernel.symbol)
    arguments = [*(tensors[source] for source in kernel.sources), *_own(kernel, constants).values()]
    return builder.emit(relax.call_tir(symbol, arguments, _type(kernel.parameters[-1])))


def _emit_gate(builder: relax.BlockBuilder, kernel: LayerKernel, source: relax.Var, constants: dict) -> relax.Var:
    """The layer's scales for this image."""
    gate, layer = kernel.gate, kernel.layer.name
    symbol = builder.add_func(gate_kernel(gate.gate, gate.symbol), gate.symbol)
    (table,) = (value for (_, name), value in constants.items() if name == GATE_TABLE)
    own = [constants[layer, name] for name in GATE_CONSTANTS]
    arguments = [source, *own, constants[layer, "scale"], table]
    return builder.emit(relax.call_tir(symbol, arguments, _type(gate_parameters(gate.gate)[-1])))


def _variable(name: str, parameter: Parameter) -> relax.Var:
    return relax.Var(name, _type(parameter))


def _type(parameter: Parameter) -> relax.TensorType:
    return relax.TensorType(parameter.shape, parameter.dtype)
