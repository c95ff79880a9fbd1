"""Plain Armv8.0: int8 x int8 by `smull` and `smlal` into int16, pairs of those into int32 by `sadalp`; exact.

A weight lies within +-127, so two products are at most 2 * 128 * 127 = 32,512 and fit int16. An instruction multiplies
eight values: two output channels by four input channels. A lane of a sum is half a channel's; the halves meet last.
"""

from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, SumLayout
from edgedeblur.compile.kernels.sdot import (
    AARCH64_WEIGHTS,
    TAP_ROWS,
    halve_difference,
    halve_sum,
    int16_products,
    raised_by_distance,
    to_int,
)

_LANES, _GROUP = 4, 8


def _load(tile, index):
    return T.reinterpret("int32x2", tile.vload([index], "int8x8"))


def _operands(weights):
    """Eight input channels for the first two output channels, and for the other two."""
    return tuple(T.Shuffle([weights[pair], weights[pair + 2]], list(range(16))) for pair in (0, 1))


def _dot(sums, activation, part, weight):
    first, second = (_products(activation, weight, half) for half in (0, 1))
    pairs = T.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.saddlp.v4i32.v8i16", first + second)
    return sums + pairs


def _products(activation, weight, half: int):
    four = T.reinterpret("int8x8", T.Shuffle([activation], [half, half]))
    eight = T.Shuffle([weight], list(range(8 * half, 8 * half + 8)))
    return T.call_llvm_pure_intrin("int16x8", "llvm.aarch64.neon.smull.v8i16", eight, four)


def _tap(sums, activation, weight):
    """Four rows of four channels: two channels in each of the two registers."""
    added = []
    for half, total in enumerate(sums):
        places = list(range(8 * half, 8 * half + 8))
        operands = (T.Shuffle([values], places) for values in (activation, weight))
        products = T.call_llvm_pure_intrin("int16x8", "llvm.aarch64.neon.smull.v8i16", *operands)
        added.append(total + T.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.saddlp.v4i32.v8i16", products))
    return added


def _begin(bias):
    """Each channel's bias in the first of its two lanes."""
    zero = T.broadcast(T.int32(0), _LANES)
    return tuple(T.Shuffle([bias, zero], [at, 4, at + 1, 4]) for at in (0, 2))


def _totals(sums):
    return [T.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.addp.v4i32", *sums)]


NEON = InstructionSet(
    name="neon",
    lanes=_LANES,
    group=_GROUP,
    step=_GROUP,
    registers=32,
    reserved=15,  # as many again for weights, which come in halves; an activation broadcast twice, products in flight
    tile_dtype="int8",
    weight_dtype="int8",
    tile_bias=0,
    dot=_dot,
    load=_load,
    to_int=to_int,
    mnemonic=r"(smull|smlal)2?",
    sums=SumLayout(
        pixels=1, registers=2, weight_loads=4, operands=_operands, begin=_begin, totals=_totals, whole=False
    ),
    cache_bytes=128 << 10,  # Cortex-A53
    halve_sum=halve_sum,
    halve_difference=halve_difference,
    raised=raised_by_distance,
    order=AARCH64_WEIGHTS,
    adds_to_round=True,
    load_cost=3,
    weight_cost=2,
    tap=_tap,
    tap_mnemonic=r"(smull|smlal)2?",
    tap_rows=TAP_ROWS,
    tap_sums=SumLayout(
        pixels=1, registers=2, weight_loads=1, operands=tuple, begin=_begin, totals=_totals, whole=False
    ),
    dot_cost=6,
    int16=int16_products("neon", 128 << 10),
)
