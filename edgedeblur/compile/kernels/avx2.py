"""AVX2: int16 x int16 pairs into int32 by `vpmaddwd`, exact.

`vpmaddubsw` would do twice the products per instruction, but saturates its int16 sums. Activations are widened and
centred (q - zero_point) once, in the tile, so the inner loop is a broadcast load, `vpmaddwd` and `vpaddd`.
"""

from dataclasses import replace

from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet

_LANES, _PAIR = 8, 2


def _load(tile, index):
    pair = T.reinterpret("int32", tile.vload([index], "int16x2"))
    return T.reinterpret("int16x16", T.broadcast(pair, _LANES))


def _dot(sums, activation, part, weight):
    products = T.call_llvm_pure_intrin("int32x8", "llvm.x86.avx2.pmadd.wd", activation, weight)
    return sums + products


def alone(values, lanes: int):
    """int16 x lanes, each beside a zero: what a product of pairs leaves as it is."""
    unsigned = T.cast(T.reinterpret(f"uint16x{lanes}", values), f"uint32x{lanes}")
    return T.reinterpret(f"int16x{2 * lanes}", unsigned)


def _tap(sums, activation, weight):
    return [_dot(sums[0], alone(activation, _LANES), 0, alone(weight, _LANES))]


def to_int(values):
    """float32 x 8 to int32, half to even: the mode in MXCSR, which no program changes."""
    return T.call_llvm_pure_intrin("int32x8", "llvm.x86.avx.cvt.ps2dq.256", values)


_PRODUCTS = InstructionSet(
    name="avx2",
    lanes=_LANES,
    group=_PAIR,
    step=_PAIR,
    registers=16,
    reserved=2,  # the broadcast activation and the products
    tile_dtype="int16",
    weight_dtype="int16",
    tile_bias=None,
    dot=_dot,
    load=_load,
    to_int=to_int,
    mnemonic=r"vpmaddwd",
    tap=_tap,
    tap_mnemonic=r"vpmaddwd",
    cache_bytes=256 << 10,  # Haswell
)
AVX2 = replace(_PRODUCTS, wide=_PRODUCTS, int16=_PRODUCTS)
