"""VNNI: uint8 x int8 groups of four into int32 by `vpdpbusd`; for Winograd's method int16 pairs by `vpdpwssd`.

AVX512-VNNI has them for 64 bytes, AVX-VNNI (VEX encoded, processors without AVX-512) for 32.

The tile of bytes holds q + 128; the bias makes up for the shift. `vpdpwssd` does half the products of `vpdpbusd` per
instruction; Winograd's method needs a quarter of them. LLVM 22 wants operands as bytes, or as int16.
"""

from collections.abc import Callable
from dataclasses import replace

from tvm.ir import Expr
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels import avx2
from edgedeblur.compile.kernels.instruction_set import InstructionSet

_GROUP, _PAIR = 4, 2


def _to_int_512(values: Expr) -> Expr:
    """Half to even is the processor's own mode (4: as MXCSR says, which no program changes)."""
    return T.call_llvm_pure_intrin(
        "int32x16",
        "llvm.x86.avx512.mask.cvtps2dq.512",
        values,
        T.broadcast(T.int32(0), 16),
        T.uint16(0xFFFF),
        T.int32(4),
    )


def _products(lanes: int, mnemonic: str, dtype: str, group: int) -> tuple[Callable, Callable]:
    """`load` and `dot` (InstructionSet) of an instruction that adds up `group` products for each lane."""

    def load(tile, index):
        neighbours = T.reinterpret("int32", tile.vload([index], f"{dtype}x{group}"))
        return T.reinterpret(f"{dtype}x{group * lanes}", T.broadcast(neighbours, lanes))

    def dot(sums, activation, part, weight):
        name = f"llvm.x86.avx512.{mnemonic}.{32 * lanes}"
        return T.call_llvm_pure_intrin(f"int32x{lanes}", name, sums, activation, weight)

    return load, dot


def _vnni(name: str, lanes: int, registers: int, to_int: Callable[[Expr], Expr], cache_bytes: int) -> InstructionSet:
    """The instruction set with `lanes` sums in a register."""
    load, dot = _products(lanes, "vpdpbusd", "uint8", _GROUP)
    load_pair, dot_pairs = _products(lanes, "vpdpwssd", "int16", _PAIR)

    def tap(sums, activation, weight):
        return [dot(sums[0], activation, 0, weight)]

    def tap_pairs(sums, activation, weight):
        return [dot_pairs(sums[0], avx2.alone(activation, lanes), 0, avx2.alone(weight, lanes))]

    bytes_by_four = InstructionSet(
        name=name,
        lanes=lanes,
        group=_GROUP,
        step=_GROUP,
        registers=registers,
        reserved=1,  # the broadcast activation
        tile_dtype="uint8",
        weight_dtype="int8",
        tile_bias=128,
        dot=dot,
        load=load,
        to_int=to_int,
        mnemonic=r"(\{vex\}\s+)?vpdp(busd|wssd)",  # LLVM marks what AVX-512 has too
        cache_bytes=cache_bytes,
        tap=tap,
        tap_mnemonic=r"(\{vex\}\s+)?vpdpbusd",
        tap_rows=_GROUP,
    )
    pairs = replace(
        bytes_by_four,
        group=_PAIR,
        step=_PAIR,
        tile_dtype="int16",
        weight_dtype="int16",
        tile_bias=None,
        dot=dot_pairs,
        load=load_pair,
    )
    int16 = replace(pairs, tap=tap_pairs, tap_mnemonic=r"(\{vex\}\s+)?vpdpwssd", tap_rows=1)
    return replace(bytes_by_four, wide=pairs, int16=int16)


VNNI = _vnni("vnni", 16, 32, _to_int_512, 1 << 20)  # Zen 4; Ice Lake has more
AVXVNNI = _vnni("avxvnni", 8, 16, avx2.to_int, 512 << 10)  # Gracemont: four cores share 2 MiB
