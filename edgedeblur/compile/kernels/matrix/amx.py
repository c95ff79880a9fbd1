"""AMX: int8 matrices of 16 pixels by 64 products and 64 products by 16 channels into int32 by `tdpbssd`.

Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18. A `tdpbssd` makes 16,384 products;
activations are signed bytes, as tensors hold them, so that a 1x1 convolution reads its source where it lies. Layers
without matrices (depthwise ones, int16 activations) are done by AVX512-VNNI, which every processor with AMX has.

LLVM's intrinsics that name a register by an immediate number need no type of TVM's. Each task configures the registers
of its thread and releases them, so that no thread sleeps with their 8 KB to be saved. The process must have asked the
system for them before (runtime/library/cpu.c).
"""

from collections.abc import Sequence
from dataclasses import replace

from tvm.ir import Expr
from tvm.tirx import Buffer
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.matrix.registers import MatrixRegisters
from edgedeblur.compile.kernels.vnni import VNNI

_COUNT, _ROWS, _ROW_BYTES = 8, 16, 64
_CONFIGURATION_BYTES = 64


def configuration(shapes: Sequence[tuple[int, int]]) -> bytes:
    """What `ldtilecfg` reads: palette 1, and each register's (rows, bytes of a row)."""
    table = bytearray(_CONFIGURATION_BYTES)
    table[0] = 1
    for register, (rows, row_bytes) in enumerate(shapes):
        table[16 + 2 * register] = row_bytes
        table[48 + register] = rows
    return bytes(table)


def _emit(name: str, *arguments) -> None:
    T.evaluate(T.call_llvm_intrin("void", f"llvm.x86.{name}", *arguments))


def _configure(shapes: Sequence[tuple[int, int]]) -> list[int]:
    table = configuration(shapes)
    buffer = T.alloc_buffer((_CONFIGURATION_BYTES // 8,), "int64")
    for word in range(_CONFIGURATION_BYTES // 8):
        number = int.from_bytes(table[8 * word : 8 * word + 8], "little")
        T.buffer_store(buffer, T.int64(number), [word])
    _emit("ldtilecfg", T.address_of(buffer[0]))
    return list(range(len(shapes)))


def _load(register: int, buffer: Buffer, place: Sequence[Expr], pitch: int) -> None:
    _emit("tileloadd64", T.uint8(register), T.address_of(buffer[tuple(place)]), T.int64(pitch))


def _multiply(total: int, left: int, right: int) -> None:
    _emit("tdpbssd", T.uint8(total), T.uint8(left), T.uint8(right))


def _store(register: int, buffer: Buffer, place: Sequence[Expr], pitch: int) -> None:
    _emit("tilestored64", T.uint8(register), T.address_of(buffer[tuple(place)]), T.int64(pitch))


def _release() -> None:
    _emit("tilerelease")


def _narrow(first: Expr, second: Expr) -> Expr:
    return T.call_llvm_pure_intrin("int16x32", "llvm.x86.avx512.packssdw.512", first, second)


def _narrow_to(dtype: str, first: Expr, second: Expr) -> Expr:
    name = "packuswb" if dtype == "uint8" else "packsswb"
    return T.call_llvm_pure_intrin(f"{dtype}x64", f"llvm.x86.avx512.{name}.512", first, second)


REGISTERS = MatrixRegisters(
    _COUNT, _ROWS, _ROW_BYTES, _configure, _load, _multiply, _store, _release, _narrow, _narrow_to
)
_CACHE_BYTES = 2 << 20  # Sapphire Rapids
_VECTORS = replace(VNNI, name="amx", cache_bytes=_CACHE_BYTES)
_MATRICES = replace(  # its `dot` and `load` are of no use: a register tile is `matrix_registers`
    _VECTORS,
    tile_dtype="int8",
    tile_bias=0,
    mnemonic=r"tdpbssd",
    wide=None,
    int16=None,
    matrix_registers=REGISTERS,
)
AMX: InstructionSet = replace(
    _VECTORS,
    wide=replace(VNNI.wide, name="amx", cache_bytes=_CACHE_BYTES),
    int16=replace(VNNI.int16, name="amx", cache_bytes=_CACHE_BYTES),
    matrix=_MATRICES,
)
