"""A gate's kernels in float32, from a float16 tensor: as gate.py, without its integers.

sum     a work item adds up every 256th pixel of a plane: four channels
scale   one work group: the mean of each channel, then the matrix, 2 / (1 + exp(-z)), the product with the scale
"""

from tvm.ir import Expr
from tvm.script.ir_builder import IRBuilder
from tvm.tirx import Buffer, PrimFunc
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.gpu.form import FP16
from edgedeblur.compile.gpu.gate import WordGate, scale_program, sum_launch
from edgedeblur.compile.gpu.launch import Argument, work_items
from edgedeblur.compile.gpu.tensor import LANES, WordTensor, half_lane
from edgedeblur.quantize.network import MAX_FACTOR


def half_sum_arguments(gate: WordGate) -> tuple[Argument, ...]:
    """source, out: float32 [parts, channels]."""
    elements = WordTensor(*gate.source, parts=FP16.parts).elements
    return Argument("source", elements, "uint32"), Argument("out", gate.parts * gate.channels, "float32")


def half_sum_kernel(gate: WordGate, symbol: str) -> PrimFunc:
    """The kernel as TIR; its parameters are `half_sum_arguments`, in that order."""
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(symbol)
        T.func_attr({"global_symbol": symbol, "tirx.noalias": True})
        source, out = (T.arg(a.name, T.buffer((a.elements,), a.dtype)) for a in half_sum_arguments(gate))
        tensor = WordTensor(*gate.source, parts=FP16.parts)
        with work_items(sum_launch(gate)) as (part, plane, _):
            sums = T.alloc_buffer((LANES,), "float32", scope="local")
            for index in range(LANES):
                T.buffer_store(sums, T.cast(0.0, "float32"), [index])
            with T.serial(T.floordiv(gate.pixels - part + (gate.parts - 1), gate.parts)) as step:
                place = T.bind(plane * gate.pixels + part + step * gate.parts)
                read = [T.bind(source[tensor.element(place, half)]) for half in range(FP16.parts)]
                for index in range(LANES):
                    T.buffer_store(sums, sums[index] + half_lane(read, index), [index])
            for index in range(LANES):
                T.buffer_store(out, sums[index], [part * gate.channels + plane * LANES + index])
    return builder.get()


def half_scale_arguments(gate: WordGate) -> tuple[Argument, ...]:
    """sums, gate_weight ([inputs, outputs]), gate_bias, scale, out."""
    return (
        Argument("sums", gate.parts * gate.channels, "float32"),
        Argument("gate_weight", gate.channels * gate.outputs, "float32"),
        Argument("gate_bias", gate.outputs, "float32"),
        Argument("scale", gate.outputs, "float32"),
        Argument("out", gate.outputs, "float32"),
    )


def half_scale_kernel(gate: WordGate, symbol: str) -> PrimFunc:
    """The kernel as TIR; its parameters are `half_scale_arguments`, in that order."""
    return scale_program(gate, symbol, half_scale_arguments(gate), "float32", _mean, _scale)


def _mean(gate: WordGate, sums: Buffer, total: Buffer, means: Buffer, channel: Expr) -> None:
    T.buffer_store(total, T.cast(0.0, "float32"), [0])
    with T.serial(gate.parts) as part:
        T.buffer_store(total, total[0] + sums[part * gate.channels + channel], [0])
    T.buffer_store(means, total[0] * T.cast(1.0 / gate.pixels, "float32"), [channel])


def _scale(gate: WordGate, buffers: dict[str, Buffer], total: Buffer, means: Buffer, output: Expr) -> None:
    T.buffer_store(total, buffers["gate_bias"][output], [0])
    with T.serial(gate.channels) as channel:
        product = buffers["gate_weight"][channel * gate.outputs + output] * means[channel]
        T.buffer_store(total, total[0] + product, [0])
    power = T.call_pure_extern("float32", "ed_exp", T.cast(0.0, "float32") - total[0])
    factor = T.cast(MAX_FACTOR, "float32") / (T.cast(1.0, "float32") + power)
    T.buffer_store(buffers["out"], buffers["scale"][output] * factor, [output])
