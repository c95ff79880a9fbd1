"""A gate's kernels: from the tensor that gates a layer to the layer's scales for this image.

    sum     a work item adds up every 256th pixel of a plane: four channels
    scale   one work group: the sums of each channel together and their mean, then the matrix, the table, the product

edgedeblur/quantize/network.py defines the arithmetic. Integers of 32 bits suffice, where
not every GPU language has wider ones: with total = a * pixels + b,
floor((128 * total + pixels // 2) / pixels) is 128 * a + floor((128 * b + pixels // 2) / pixels).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tvm.ir import Expr
from tvm.script.ir_builder import IRBuilder
from tvm.tirx import Buffer, PrimFunc
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.gpu.launch import Argument, Launch, work_items
from edgedeblur.compile.gpu.tensor import LANES, WordTensor, lane, words_for
from edgedeblur.errors import UserError
from edgedeblur.quantize.network import GATE_TABLE, MAX_GATE_INDEX, MEAN_STEPS

_PARTS = 256
GATE_ITEMS = 64  # of a work group
MAX_PIXELS = (1 << 32) // 255 - 1  # of the tensor that gates: its sums in uint32


@dataclass(frozen=True)
class WordGate:
    """source: (height, width, channels) of the tensor that gates. outputs: of the layer, with those filling a word."""

    source: tuple[int, int, int]
    source_zero_point: int
    outputs: int

    @property
    def pixels(self) -> int:
        return self.source[0] * self.source[1]

    @property
    def parts(self) -> int:
        return min(_PARTS, self.pixels)

    @property
    def channels(self) -> int:
        """With those that fill a word."""
        return LANES * words_for(self.source[2])


def check_gate(gate: WordGate, layer: str) -> None:
    """Raises UserError where sums over the tensor would not fit 32 bits."""
    if gate.pixels > MAX_PIXELS:
        raise UserError(
            f"layer {layer}: its gate adds up {gate.pixels:,} pixels; on a GPU at most {MAX_PIXELS:,} can be",
            "compile for fewer pixels, or for the CPU alone: a target without gpu takes this size",
        )


def sum_arguments(gate: WordGate) -> tuple[Argument, ...]:
    """source, out: int32 [parts, channels], of q - zero_point."""
    words = WordTensor(*gate.source).words
    return Argument("source", words, "uint32"), Argument("out", gate.parts * gate.channels, "int32")


def sum_launch(gate: WordGate) -> Launch:
    return Launch((gate.parts, gate.channels // LANES, 1), (min(GATE_ITEMS, gate.parts), 1))


def sum_kernel(gate: WordGate, symbol: str) -> PrimFunc:
    """The kernel as TIR; its parameters are `sum_arguments`, in that order."""
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(symbol)
        T.func_attr({"global_symbol": symbol, "tirx.noalias": True})
        source, out = (T.arg(a.name, T.buffer((a.elements,), a.dtype)) for a in sum_arguments(gate))
        with work_items(sum_launch(gate)) as (part, plane, _):
            sums = T.alloc_buffer((LANES,), "int32", scope="local")
            for index in range(LANES):
                T.buffer_store(sums, 0, [index])
            with T.serial(T.floordiv(gate.pixels - part + (gate.parts - 1), gate.parts)) as step:
                read = T.bind(source[plane * gate.pixels + part + step * gate.parts])
                for index in range(LANES):
                    value = lane(read, index) - gate.source_zero_point
                    T.buffer_store(sums, sums[index] + value, [index])
            for index in range(LANES):
                T.buffer_store(out, sums[index], [part * gate.channels + plane * LANES + index])
    return builder.get()


def scale_arguments(gate: WordGate) -> tuple[Argument, ...]:
    """sums, gate_weight (four input channels a word, [words, outputs]), gate_bias, gate_scale, scale, table, out."""
    return (
        Argument("sums", gate.parts * gate.channels, "int32"),
        Argument("gate_weight", gate.channels // LANES * gate.outputs, "uint32"),
        Argument("gate_bias", gate.outputs, "int32"),
        Argument("gate_scale", gate.outputs, "float32"),
        Argument("scale", gate.outputs, "float32"),
        Argument("gate_table", len(GATE_TABLE), "float32"),
        Argument("out", gate.outputs, "float32"),
    )


def scale_launch(gate: WordGate) -> Launch:
    return Launch((GATE_ITEMS, 1, 1), (GATE_ITEMS, 1))


def scale_kernel(gate: WordGate, symbol: str) -> PrimFunc:
    """The kernel as TIR; its parameters are `scale_arguments`, in that order."""
    return scale_program(gate, symbol, scale_arguments(gate), "int32", _mean, _scale)


def scale_program(
    gate: WordGate,
    symbol: str,
    arguments: Sequence[Argument],
    dtype: str,
    mean: Callable[[WordGate, Buffer, Buffer, Buffer, Expr], None],
    scale: Callable[[WordGate, dict[str, Buffer], Buffer, Buffer, Expr], None],
) -> PrimFunc:
    """One work group makes the mean of each channel, then the scale of each output; TVM puts a barrier between them.

    Args:
        arguments: the parameters; `sums` is among them. dtype: of means and totals.
        mean, scale: emit one channel's and one output's.
    """
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(symbol)
        T.func_attr({"global_symbol": symbol, "tirx.noalias": True})
        buffers = {a.name: T.arg(a.name, T.buffer((a.elements,), a.dtype)) for a in arguments}
        with work_items(scale_launch(gate)) as (item, _, _):
            means = T.alloc_buffer((gate.channels,), dtype, scope="shared")
            total = T.alloc_buffer((1,), dtype, scope="local")
            with T.serial(-(-gate.channels // GATE_ITEMS)) as turn:
                channel = T.bind(turn * GATE_ITEMS + item)
                with T.If(channel < gate.channels), T.Then():
                    mean(gate, buffers["sums"], total, means, channel)
            with T.serial(-(-gate.outputs // GATE_ITEMS)) as turn:
                output = T.bind(turn * GATE_ITEMS + item)
                with T.If(output < gate.outputs), T.Then():
                    scale(gate, buffers, total, means, output)
    return builder.get()


def _mean(gate: WordGate, sums: Buffer, total: Buffer, means: Buffer, channel: Expr) -> None:
    """The mean of one channel in 1/MEAN_STEPS of a step, half up; sums beyond int32 are the right uint32."""
    T.buffer_store(total, 0, [0])
    with T.serial(gate.parts) as part:
        T.buffer_store(total, total[0] + sums[part * gate.channels + channel], [0])
    pixels = T.cast(gate.pixels, "uint32")
    whole = T.bind(T.cast(total[0], "uint32"))
    quotient = T.bind(T.floordiv(whole, pixels))
    rest = T.cast(MEAN_STEPS, "uint32") * (whole - quotient * pixels) + T.cast(gate.pixels // 2, "uint32")
    mean = T.cast(MEAN_STEPS, "uint32") * quotient + T.floordiv(rest, pixels)
    T.buffer_store(means, T.cast(mean, "int32"), [channel])


def _scale(gate: WordGate, buffers: dict[str, Buffer], total: Buffer, means: Buffer, output: Expr) -> None:
    """The scale of one output channel."""
    T.buffer_store(total, buffers["gate_bias"][output], [0])
    with T.serial(gate.channels // LANES) as index:
        weights = T.bind(buffers["gate_weight"][index * gate.outputs + output])
        for part in range(LANES):
            product = lane(weights, part) * means[index * LANES + part]
            T.buffer_store(total, total[0] + product, [0])
    scaled = T.cast(total[0], "float32") * buffers["gate_scale"][output]
    limit = float(MAX_GATE_INDEX)
    held = T.max(T.min(scaled, T.cast(limit, "float32")), T.cast(-limit, "float32"))
    factor = buffers["gate_table"][T.call_pure_extern("int32", "ed_rint", held) + MAX_GATE_INDEX]
    T.buffer_store(buffers["out"], buffers["scale"][output] * factor, [output])
