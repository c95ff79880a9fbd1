"""AVX512-VNNI: uint8 x int8 groups of four into int32 by `vpdpbusd`; for Winograd's method int16 pairs by `vpdpwssd`.

The tile of bytes holds q + 128; the bias makes up for the shift. `vpdpwssd` does half the products of `vpdpbusd` per
instruction; Winograd's method needs a quarter of them. LLVM 22 wants operands as 64 bytes, or as 32 int16.
"""

from dataclasses import replace

from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.avx2 import alone
from edgedeblur.compile.kernels.instruction_set import InstructionSet

_LANES, _GROUP, _PAIR = 16, 4, 2


def _load(tile, index):
    four = T.reinterpret("int32", tile.vload([index], "uint8x4"))
    return T.reinterpret("uint8x64", T.broadcast(four, _LANES))


def _dot(sums, activation, part, weight):
    return T.call_llvm_pure_intrin("int32x16", "llvm.x86.avx512.vpdpbusd.512", sums, activation, weight)


def _load_pair(tile, index):
    pair = T.reinterpret("int32", tile.vload([index], "int16x2"))
    return T.reinterpret("int16x32", T.broadcast(pair, _LANES))


def _dot_pairs(sums, activation, part, weight):
    return T.call_llvm_pure_intrin("int32x16", "llvm.x86.avx512.vpdpwssd.512", sums, activation, weight)


def _tap_pairs(sums, activation, weight):
    return [_dot_pairs(sums[0], alone(activation, _LANES), 0, alone(weight, _LANES))]


def _tap(sums, activation, weight):
    return [_dot(sums[0], activation, 0, weight)]


def _to_int(values):
    """Half to even is the processor's own mode (4: as MXCSR says, which no program changes)."""
    return T.call_llvm_pure_intrin(
        "int32x16",
        "llvm.x86.avx512.mask.cvtps2dq.512",
        values,
        T.broadcast(T.int32(0), _LANES),
        T.uint16(0xFFFF),
        T.int32(4),
    )


_COMMON = {
    "name": "vnni",
    "lanes": _LANES,
    "registers": 32,
    "reserved": 1,  # the broadcast activation
    "to_int": _to_int,
    "mnemonic": r"vpdp(busd|wssd)",
    "tap": _tap,
    "tap_mnemonic": r"vpdpbusd",
    "tap_rows": _GROUP,
    "cache_bytes": 1 << 20,  # Zen 4; Ice Lake has more
}
_WIDE = InstructionSet(
    **_COMMON,
    group=_PAIR,
    step=_PAIR,
    tile_dtype="int16",
    weight_dtype="int16",
    tile_bias=None,
    dot=_dot_pairs,
    load=_load_pair,
)
VNNI = InstructionSet(
    **_COMMON,
    group=_GROUP,
    step=_GROUP,
    tile_dtype="uint8",
    weight_dtype="int8",
    tile_bias=128,
    dot=_dot,
    load=_load,
    wide=_WIDE,
    int16=replace(_WIDE, tap=_tap_pairs, tap_mnemonic=r"vpdpwssd", tap_rows=1),
)
