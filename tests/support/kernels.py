"""Compiles and runs single kernels on this machine, with the real dot product or one of plain integer arithmetic."""

import dataclasses

import numpy as np
import tvm
from amx import TILES_WITH_AVX2, amx_double, ask_for_tiles, with_portable_narrowing
from tvm.tirx.script.builder import ir as T

from edgedeblur.artefact.isa import ISAS
from edgedeblur.artefact.target import Target
from edgedeblur.compile.kernels.convolution import conv_kernel
from edgedeblur.compile.kernels.instruction_set import InstructionSet, round_half_even
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.matrix.amx import AMX
from edgedeblur.compile.kernels.vnni import AVXVNNI, VNNI
from edgedeblur.compile.llvm.functions import compile_functions
from edgedeblur.compile.pack import pack_constants
from edgedeblur.compile.schedules.schedule import Schedule
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.network import QuantisedNetwork, is_image
from edgedeblur.student import IMAGE, ConvSpec, StudentSpec


def has_avx2() -> bool:
    """Whether this machine runs the AVX2 kernels."""
    try:
        with open("/proc/cpuinfo", encoding="ascii") as cpu:
            return " avx2 " in cpu.read()
    except OSError:
        return False


def avx2_target(threads: int = 2) -> Target:
    """Any x86-64 with AVX2."""
    return _target("x86_64-linux-gnu", "x86-64-v3", (), "avx2", "x86_64-linux-musl", threads)


def vnni_target() -> Target:
    """A server with AVX512-VNNI."""
    return _target("x86_64-linux-gnu", "icelake-server", (), "vnni", "x86_64-linux-musl", 2)


def avxvnni_target() -> Target:
    """A client processor with AVX-VNNI."""
    return _target("x86_64-linux-gnu", "alderlake", (), "avxvnni", "x86_64-linux-musl", 2)


def amx_target() -> Target:
    """A server with AMX."""
    return _target("x86_64-linux-gnu", "x86-64-v4", ISAS["amx"].features, "amx", "x86_64-linux-musl", 2)


def sdot_target() -> Target:
    """A phone's big cores."""
    return _target("aarch64-linux-gnu", "cortex-a77", ("+neon", "+dotprod"), "sdot", "aarch64-linux-musl", 4)


def _target(triple: str, cpu: str, features: tuple[str, ...], isa: str, zig_target: str, threads: int) -> Target:
    return Target(isa, "for a test", triple, cpu, features, isa, zig_target, threads, (), 35.0, 150.0)


def with_portable_dot(isa: InstructionSet) -> InstructionSet:
    """The same schedules, tiles and packing, without an instruction of its own: the dot product is plain integers. Only
    AMX keeps its tiles, which `run_kernel` has executed by a double."""
    others = {name: getattr(isa, name) for name in ("wide", "int16", "matrix")}
    others = {name: one and with_portable_dot(one) for name, one in others.items()}
    if isa.matrix_registers is not None:
        others["matrix_registers"] = with_portable_narrowing(isa.matrix_registers)
    wide = f"int32x{isa.lanes}"

    def dot(sums, activation, part, weight):
        for k in range(isa.group):
            lanes = [lane * isa.group + k for lane in range(isa.lanes)]
            chosen = [part * isa.group + k] * isa.lanes if isa.holds_activations else lanes
            product = T.cast(T.Shuffle([activation], chosen), wide) * T.cast(T.Shuffle([weight], lanes), wide)
            sums = sums + product
        return sums

    def tap(sums, activation, weight):
        total, taken = sums[0], isa.tap_rows
        for k in range(taken):
            lanes = [lane * taken + k for lane in range(isa.lanes)]
            one, other = (values if taken == 1 else T.Shuffle([values], lanes) for values in (activation, weight))
            total = total + T.cast(one, wide) * T.cast(other, wide)
        return [total]

    def to_int(values):
        return round_half_even(values, isa.lanes)

    own = ("halve_sum", "halve_difference", "raised")
    halves = {field.name: field.default for field in dataclasses.fields(isa) if field.name in own}
    return dataclasses.replace(isa, dot=dot, tap=tap, to_int=to_int, **others, **halves)


def one_layer_between(source_channels: int, layer: ConvSpec) -> StudentSpec:
    """image -> source -> the layer under test -> image. Only the layer under test is compiled."""
    out = layer.out_channels // layer.depth_to_space**2
    return StudentSpec(
        "probe",
        (
            ConvSpec("source", IMAGE, 3, source_channels, kernel=1),
            layer,
            ConvSpec("last", layer.name, out, 3, kernel=1),
        ),
        layer.name,
        multiple=1,
    )


def run_kernel(
    network: QuantisedNetwork,
    index: int,
    layer: ConvLayer,
    schedule: Schedule,
    isa: InstructionSet,
    tensors: dict[str, np.ndarray],
) -> np.ndarray:
    """Layer `index` of the network on this machine. tensors and result: [H, W, C], as the interpreter's."""
    kernel = conv_kernel(layer, schedule, isa, "kernel")
    own = {"vnni": vnni_target, "avxvnni": avxvnni_target, "amx": amx_target}
    target = own[isa.name]() if isa in (VNNI, AVXVNNI, AMX) else avx2_target()
    if isa is AMX:
        ask_for_tiles()
    elif isa.name == "amx":
        target = dataclasses.replace(target, features=TILES_WITH_AVX2)
        amx_double()
    compiled = compile_functions(tvm.IRModule({"kernel": kernel}), target)
    conv = network.layers[index]
    constants = pack_constants(conv, layer, schedule, isa)
    inputs = [_stored(network, conv.spec.source, tensors), *constants.arrays.values()]
    if conv.spec.residual is not None:
        inputs.append(_stored(network, conv.spec.residual, tensors))
    height, width, channels = layer.out
    dtype = "uint8" if layer.image_out else "int16" if layer.int16_out else "int8"
    out = tvm.runtime.tensor(np.zeros((height, width * channels), dtype))
    compiled["kernel"](*(tvm.runtime.tensor(array) for array in inputs), out)
    result = out.numpy().reshape(layer.out)
    return interpreter.from_image(result) if layer.image_out else result


def _stored(network: QuantisedNetwork, name: str, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """A tensor as it lies in memory: rows, the image as pixels."""
    tensor = tensors[name]
    stored = interpreter.to_image(tensor) if is_image(name, network.spec) else tensor
    return np.ascontiguousarray(stored.reshape(len(stored), -1))
