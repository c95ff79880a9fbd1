"""The network as GPU kernels in order: every one with its tensors by name, planned by TVM's memory planner."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import tvm
from tvm import relax

from edgedeblur.compile.gpu.convolution import conv_arguments, conv_kernel, conv_launch, same_kernel
from edgedeblur.compile.gpu.fold import fold_arguments, fold_kernel, fold_launch, needs_fold
from edgedeblur.compile.gpu.form import FP16, INT8, Form
from edgedeblur.compile.gpu.gate import (
    WordGate,
    check_gate,
    scale_arguments,
    scale_kernel,
    scale_launch,
    sum_arguments,
    sum_kernel,
    sum_launch,
)
from edgedeblur.compile.gpu.half.gate import (
    half_scale_arguments,
    half_scale_kernel,
    half_sum_arguments,
    half_sum_kernel,
)
from edgedeblur.compile.gpu.half.network import HalfConv, HalfNetwork, half_layers
from edgedeblur.compile.gpu.half.pack import pack_half_constants, pack_half_gate
from edgedeblur.compile.gpu.launch import Argument, Launch
from edgedeblur.compile.gpu.pack import pack_constants, pack_gate
from edgedeblur.compile.gpu.schedule import GpuSchedule, check_schedule, default_schedule, output_words
from edgedeblur.compile.gpu.tensor import LANES
from edgedeblur.compile.kernels.layer import ConvLayer, conv_layers
from edgedeblur.compile.lower import ENTRY, identifier
from edgedeblur.errors import UserError
from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork
from edgedeblur.student import IMAGE


@dataclass(frozen=True)
class GpuKernel:
    """One kernel call. reads: the names of its arguments but the last, which is what it makes; constants: the arrays of
    those that no kernel makes."""

    layer: str
    macs: int
    function: tvm.tirx.PrimFunc
    launch: Launch
    arguments: tuple[Argument, ...]
    reads: tuple[str, ...]
    makes: str
    constants: Mapping[str, np.ndarray]

    @property
    def symbol(self) -> str:
        """The function's name."""
        return str(self.function.attrs["global_symbol"])


def form_of(network: QuantisedNetwork | HalfNetwork) -> Form:
    """In which form a network's kernels are."""
    return FP16 if isinstance(network, HalfNetwork) else INT8


def gpu_layers(network: QuantisedNetwork | HalfNetwork, height: int, width: int) -> tuple[ConvLayer, ...]:
    """Every convolution of a network for an image of height x width, in order.

    Raises:
        UserError: a layer without weights, or with int16 activations.
    """
    if isinstance(network, HalfNetwork):
        return half_layers(network, height, width)
    check_layers(network)
    return conv_layers(network, height, width)


def gpu_kernels(
    network: QuantisedNetwork | HalfNetwork,
    height: int,
    width: int,
    schedules: Mapping[str, GpuSchedule] | None = None,
) -> tuple[GpuKernel, ...]:
    """Every kernel for an image of height x width, in order; a gate runs right after the layer whose tensor it reads.

    Args:
        schedules: by layer, instead of the default schedule.

    Raises:
        UserError: a gate over more pixels than its sums can hold, a layer without weights, or with int16 activations.
    """
    layers = gpu_layers(network, height, width)
    functions, kernels = _Functions({}), []
    for conv, layer in zip(network.layers, layers, strict=True):
        schedule = (schedules or {}).get(layer.name) or default_schedule(layer)
        check_schedule(layer, schedule)
        kernels += _layer_kernels(conv, layer, schedule, functions)
        for gated, its_layer in zip(network.layers, layers, strict=True):
            if gated.spec.gate == layer.name:
                kernels += _gate_kernels(gated, its_layer, layer, functions)
    return tuple(kernels)


def check_layers(network: QuantisedNetwork) -> None:
    """Raises UserError where a network has layers without weights, or with int16 activations."""
    if network.spec.operations:
        first = network.spec.operations[0]
        raise UserError(
            f"layer {first.name} has no weights ({first.op}); there are no GPU kernels for such layers yet",
            "compile for a target without a GPU",
            exit_code=2,
        )
    if network.int16_tensors:
        raise UserError(
            f"layer {network.int16_tensors[0]} has int16 activations; GPU kernels have int8 ones only",
            "compile for a target without a GPU, or quantise without int16 activations: a larger --max-drop, or none",
            exit_code=2,
        )


@dataclass(frozen=True)
class _Functions:
    """Kernels by what they are specialised for: those of equal layers are one."""

    made: dict[tuple, tvm.tirx.PrimFunc]

    def get(self, make: Callable[..., tvm.tirx.PrimFunc], *described) -> tvm.tirx.PrimFunc:
        """make(*described, symbol), made once; the symbol is "ed_conv0" and so on."""
        key = (make.__name__, *described)
        if key not in self.made:
            self.made[key] = make(*described, f"ed_{make.__name__.removesuffix('_kernel')}{len(self.made)}")
        return self.made[key]


def lower(kernels: tuple[GpuKernel, ...]) -> tvm.IRModule:
    """The kernels as a Relax module; `main` takes the image and the constants, in the order of `constant_arrays`."""
    builder = relax.BlockBuilder()
    image = relax.Var(IMAGE, _type(next(a for k in kernels for a in k.arguments if k.reads[0] == IMAGE)))
    constants = {
        name: relax.Var(identifier(name), relax.TensorType(array.shape, str(array.dtype)))
        for name, array in constant_arrays(kernels).items()
    }
    with builder.function(ENTRY, [image, *constants.values()]):
        with builder.dataflow():
            tensors = {IMAGE: image, **constants}
            for kernel in kernels:
                symbol = builder.add_func(kernel.function, kernel.symbol)
                read = [tensors[name] for name in kernel.reads]
                tensors[kernel.makes] = builder.emit(relax.call_tir(symbol, read, _type(kernel.arguments[-1])))
            output = builder.emit_output(tensors[kernels[-1].makes])
        builder.emit_func_output(output)
    return builder.get()


def constant_arrays(kernels: tuple[GpuKernel, ...]) -> dict[str, np.ndarray]:
    """Every constant once, by the name under which kernels read it."""
    return {name: array for kernel in kernels for name, array in kernel.constants.items()}


def _type(argument: Argument) -> relax.TensorType:
    return relax.TensorType((argument.elements,), argument.dtype)


def _layer_kernels(
    conv: QuantisedConv | HalfConv, layer: ConvLayer, schedule: GpuSchedule, functions: _Functions
) -> list[GpuKernel]:
    form, name, source, kernels, alike = _form(conv), layer.name, conv.spec.source, [], same_kernel(layer)
    if needs_fold(layer):
        source = f"{name}/folded"
        described = (functions.get(fold_kernel, alike, form), fold_launch(layer), fold_arguments(layer, form))
        kernels.append(GpuKernel(name, 0, *described, (conv.spec.source,), source, {}))
    constants = {f"{name}/{key}": array for key, array in _constants(conv, layer, schedule).items()}
    scale = f"{name}/gated" if conv.gate is not None else f"{name}/scale"
    further = (f"{name}/negative_scale",) if layer.prelu else ()
    further += () if conv.spec.residual is None else (conv.spec.residual,)
    function = functions.get(conv_kernel, alike, schedule, form)
    reads = (source, f"{name}/weight", f"{name}/bias", scale, *further, f"{name}/numbers")
    if conv.gate is not None:
        del constants[f"{name}/scale"]  # which the gate's kernel reads
    launch = conv_launch(layer, schedule)
    kernels.append(GpuKernel(name, layer.macs, function, launch, conv_arguments(layer, form), reads, name, constants))
    return kernels


def _form(conv: QuantisedConv | HalfConv) -> Form:
    return FP16 if isinstance(conv, HalfConv) else INT8


def _constants(conv: QuantisedConv | HalfConv, layer: ConvLayer, schedule: GpuSchedule) -> dict[str, np.ndarray]:
    pack = pack_half_constants if isinstance(conv, HalfConv) else pack_constants
    return pack(conv, layer, schedule)


def _gate_kernels(
    conv: QuantisedConv | HalfConv, layer: ConvLayer, source: ConvLayer, functions: _Functions
) -> list[GpuKernel]:
    """What makes the scales of `layer`, from the tensor that `source` has made. Its products are too few to count."""
    name, half = layer.name, isinstance(conv, HalfConv)
    gate = WordGate(source.out, source.out_zero_point, LANES * output_words(layer))
    if half:
        packed, table = pack_half_gate(conv.gate, layer), {}
        sums = (functions.get(half_sum_kernel, gate), sum_launch(gate), half_sum_arguments(gate))
        scales = (functions.get(half_scale_kernel, gate), scale_launch(gate), half_scale_arguments(gate))
    else:
        check_gate(gate, name)
        packed = pack_gate(conv.gate, layer)
        table = {"gate_table": packed.pop("gate_table")}  # one for all gates
        sums = (functions.get(sum_kernel, gate), sum_launch(gate), sum_arguments(gate))
        scales = (functions.get(scale_kernel, gate), scale_launch(gate), scale_arguments(gate))
    packed["scale"] = _constants(conv, layer, default_schedule(layer))["scale"]
    constants = {f"{name}/{key}": array for key, array in packed.items()}
    reads = (f"{name}/sums", *constants, *table)
    return [
        GpuKernel(name, 0, *sums, (source.name,), f"{name}/sums", {}),
        GpuKernel(name, 0, *scales, reads, f"{name}/gated", constants | table),
    ]
