"""The quantised network as a Relax function: one `call_tir` per layer, planned by TVM's own memory planner."""

from dataclasses import dataclass

import tvm
from tvm import relax

from edgedeblur.compile.kernels.convolution import conv_kernel
from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.signature import Parameter, parameters
from edgedeblur.compile.schedule import Schedule
from edgedeblur.student import IMAGE

ENTRY = "main"
CONSTANTS = ("weight", "bias", "scale")


@dataclass(frozen=True)
class LayerKernel:
    """One layer, how it is computed, and the tensors it reads by name. `symbol`: the kernel's name in the module."""

    layer: ConvLayer
    schedule: Schedule
    isa: InstructionSet
    symbol: str
    source: str
    residual: str | None = None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return parameters(self.layer, self.schedule, self.isa)


def lower(kernels: tuple[LayerKernel, ...]) -> tvm.IRModule:
    """The network as a Relax module.

    `main` takes the image and then every layer's weight, bias and scale, in order, and returns the restored image; the
    kernels lie beside it as TIR functions under their symbols.
    """
    builder = relax.BlockBuilder()
    image = _variable(IMAGE, kernels[0].parameters[0])
    constants = {
        (kernel.symbol, p.name): _variable(f"{kernel.symbol}_{p.name}", p)
        for kernel in kernels
        for p in kernel.parameters
        if p.name in CONSTANTS
    }
    with builder.function(ENTRY, [image, *constants.values()]):
        with builder.dataflow():
            tensors = {IMAGE: image}
            for kernel in kernels:
                tensors[kernel.layer.name] = _emit(builder, kernel, tensors, constants)
            output = builder.emit_output(tensors[kernels[-1].layer.name])
        builder.emit_func_output(output)
    return builder.get()


def plan_memory(module: tvm.IRModule) -> tvm.IRModule:
    """`main` in destination-passing form, its tensors in storages that are reused once their last reader has run."""
    return relax.transform.StaticPlanBlockMemory()(relax.transform.CallTIRRewrite()(module))


def kernel_module(module: tvm.IRModule) -> tvm.IRModule:
    """The TIR kernels alone: what is compiled to machine code."""
    return tvm.IRModule({var: f for var, f in module.functions.items() if isinstance(f, tvm.tirx.PrimFunc)})


def _emit(builder: relax.BlockBuilder, kernel: LayerKernel, tensors: dict, constants: dict) -> relax.Var:
    function = conv_kernel(kernel.layer, kernel.schedule, kernel.isa, kernel.symbol)
    symbol = builder.add_func(function, kernel.symbol)
    arguments = [tensors[kernel.source], *(constants[kernel.symbol, name] for name in CONSTANTS)]
    if kernel.residual is not None:
        arguments.append(tensors[kernel.residual])
    return builder.emit(relax.call_tir(symbol, arguments, _type(kernel.parameters[-1])))


def _variable(name: str, parameter: Parameter) -> relax.Var:
    return relax.Var(name, _type(parameter))


def _type(parameter: Parameter) -> relax.TensorType:
    return relax.TensorType(parameter.shape, parameter.dtype)
