"""Armv8.2 dot product: int8 x int8 groups of four into int32 by `sdot`, by element.

One 16-byte load holds four groups of four input channels of a pixel; `sdot` picks a group by lane, so that no
instruction is spent on broadcasting.
"""

from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, WeightOrder

AARCH64_WEIGHTS = WeightOrder(group=4, multiple=16)  # as `sdot` reads them; all AArch64 kernels do
_LANES, _GROUP, _LOAD = 4, 4, 16


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
    order=AARCH64_WEIGHTS,
    **DOT_TAPS,
)
