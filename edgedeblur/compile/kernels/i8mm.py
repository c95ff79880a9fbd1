"""Armv8.6 matrix product: 2x8 by 8x2 int8 into 2x2 int32 by `smmla`: two pixels by two output channels at once.

The tile holds, beside eight channels of a pixel, the same channels of the pixel that the next output pixel reads there,
so one load is the left operand (kernels/tile.py). The weights lie as `sdot` reads them, four output channels by four
input channels; `zip1` and `zip2` of two such groups make two right operands, which all columns of a tile then use.
"""

from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, SumLayout
from edgedeblur.compile.kernels.sdot import (
    AARCH64_WEIGHTS,
    DOT_TAPS,
    halve_difference,
    halve_sum,
    int16_products,
    raised_by_distance,
    to_int,
)

_LANES, _GROUP = 4, 8


def _load(tile, index):
    return tile.vload([index], "int8x16")


def _operands(weights):
    """Eight input channels for the first two output channels, and for the other two."""
    groups = [T.reinterpret("int32x4", weight) for weight in weights]
    zips = (T.Shuffle(groups, [at, at + 4, at + 1, at + 5]) for at in (0, 2))
    return tuple(T.reinterpret("int8x16", values) for values in zips)


def _dot(sums, activation, part, weight):
    return T.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.smmla.v4i32.v16i8", sums, activation, weight)


def _begin(bias):
    return tuple(T.Shuffle([bias], [at, at + 1, at, at + 1]) for at in (0, 2))


def _totals(sums):
    return [T.Shuffle(sums, [at, at + 1, at + 4, at + 5]) for at in (0, 2)]


I8MM = InstructionSet(
    name="i8mm",
    lanes=_LANES,
    group=_GROUP,
    step=_GROUP,
    registers=32,
    reserved=4,  # activations on their way past the weights, and weights before they are zipped
    tile_dtype="int8",
    weight_dtype="int8",
    tile_bias=0,
    dot=_dot,
    load=_load,
    to_int=to_int,
    mnemonic=r"smmla",
    sums=SumLayout(pixels=2, registers=2, weight_loads=2, operands=_operands, begin=_begin, totals=_totals),
    cache_bytes=128 << 10,  # Cortex-A510
    halve_sum=halve_sum,
    halve_difference=halve_difference,
    raised=raised_by_distance,
    order=AARCH64_WEIGHTS,
    adds_to_round=True,
    load_cost=1,
    weight_cost=4,
    int16=int16_products("i8mm", 128 << 10),
    **DOT_TAPS,
    dot_cost=2,
)
