"""AVX512-VNNI: uint8 x int8 groups of four into int32 by `vpdpbusd`.

The tile holds q + 128 as uint8; the bias makes up for the shift. LLVM 22 wants the operands as 64 bytes.
"""

from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, round_half_even

_LANES, _GROUP = 16, 4


def _load(tile, index):
    four = T.reinterpret("int32", tile.vload([index], "uint8x4"))
    return T.reinterpret("uint8x64", T.broadcast(four, _LANES))


def _dot(sums, activation, part, weight):
    return T.call_llvm_pure_intrin("int32x16", "llvm.x86.avx512.vpdpbusd.512", sums, activation, weight)


def _to_int(values):
    return round_half_even(values, _LANES)


VNNI = InstructionSet(
    name="vnni",
    lanes=_LANES,
    group=_GROUP,
    step=_GROUP,
    registers=32,
    reserved=1,  # the activation is broadcast by the instruction's own memory operand
    tile_dtype="uint8",
    weight_dtype="int8",
    tile_bias=128,
    dot=_dot,
    load=_load,
    to_int=_to_int,
    mnemonic=r"vpdpbusd",
)
