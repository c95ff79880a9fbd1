"""Armv8.2 dot product: int8 x int8 groups of four into int32 by `sdot`, by element.

One 16-byte load holds four groups of four input channels of a pixel; `sdot` picks a group by lane, so that no
instruction is spent on broadcasting. Also here: what all AArch64 kernels have in common, such as products of int16.
"""

from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, WeightOrder, raised, splat, vector

AARCH64_WEIGHTS = WeightOrder(group=4, multiple=16)  # as `sdot` reads them; all AArch64 kernels do
_LANES, _GROUP, _LOAD = 4, 4, 16
_INT16_LOAD = 8  # channels
_SMLAL = r"(smull|smlal)2?"


def _load(tile, index):
    return tile.vload([index], "int8x16")


def _dot(sums, activation, part, weight):
    groups = T.reinterpret("int32x4", activation)
    chosen = T.reinterpret("int8x16", T.Shuffle([groups], [part] * _LANES))
    return T.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.sdot.v4i32.v16i8", sums, weight, chosen)


def to_int(values):
    """float32 x 4 to int32, half to even."""
    return T.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.fcvtns.v4i32.v4f32", values)


def _tap(sums, activation, weight):
    return [T.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.sdot.v4i32.v16i8", sums[0], activation, weight)]


TAP_ROWS = 4  # what all AArch64 kernels have in common
DOT_TAPS = {"tap": _tap, "tap_mnemonic": r"sdot", "tap_rows": TAP_ROWS}


def halve_sum(a, b):
    """(a + b) >> 1 of int32 x 4, without overflow."""
    return T.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.shadd.v4i32", a, b)


def halve_difference(a, b):
    """(a - b) >> 1."""
    return T.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.shsub.v4i32", a, b)


def raised_by_distance(values, lanes: int):
    """int8 x lanes plus 128: of whole vectors the distance from -128, one instruction with what widens it."""
    lowest = splat(-128, "int8", lanes)
    if lanes < _INT16_LOAD:
        return raised(values, lanes)
    return T.call_llvm_pure_intrin(vector("int8", lanes), "llvm.aarch64.neon.sabd", values, lowest)


def _load_int16(tile, index):
    return tile.vload([index], "int16x8")


def _dot_int16(sums, activation, part, weight):
    return _multiplied(sums, weight, T.Shuffle([activation], [part] * _LANES))


def _tap_int16(sums, activation, weight):
    return [_multiplied(sums[0], activation, weight)]


def _multiplied(sums, a, b):
    return sums + T.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.smull.v4i32", a, b)


def int16_products(name: str, cache_bytes: int) -> InstructionSet:
    """int16 x int16 into int32 by `smlal`, by element, exact, under the name of an AArch64 instruction set.

    One 16-byte load holds eight input channels of a pixel; an instruction multiplies four output channels by one of
    them. Weights are widened to int16 in the constants, so that none has to be on its way past the activations.
    """
    return InstructionSet(
        name=name,
        lanes=_LANES,
        group=1,
        step=_INT16_LOAD,
        registers=32,
        reserved=2,  # weights on their way past the activations
        tile_dtype="int16",
        weight_dtype="int16",
        tile_bias=None,
        dot=_dot_int16,
        load=_load_int16,
        to_int=to_int,
        mnemonic=_SMLAL,
        cache_bytes=cache_bytes,
        order=WeightOrder(group=1, multiple=_INT16_LOAD),
        tap=_tap_int16,
        tap_mnemonic=_SMLAL,
    )


SDOT = InstructionSet(
    name="sdot",
    lanes=_LANES,
    group=_GROUP,
    step=_LOAD,
    registers=32,
    reserved=2,  # weights on their way past the activations
    tile_dtype="int8",
    weight_dtype="int8",
    tile_bias=0,
    dot=_dot,
    load=_load,
    to_int=to_int,
    mnemonic=r"sdot",
    cache_bytes=256 << 10,  # Cortex-A77
    halve_sum=halve_sum,
    halve_difference=halve_difference,
    raised=raised_by_distance,
    order=AARCH64_WEIGHTS,
    int16=int16_products("sdot", 256 << 10),
    adds_to_round=True,
    **DOT_TAPS,
)
