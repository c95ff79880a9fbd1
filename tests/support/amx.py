"""AMX's own instructions on a processor without them: amx_double.c executes them in this process."""

import ctypes
import dataclasses
import functools
import subprocess
import sys
import tempfile
from pathlib import Path

from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.matrix.registers import MatrixRegisters

TILES_WITH_AVX2 = ("+avx2", "+fma", "+amx-tile", "+amx-int8")  # what LLVM may use where the double executes tiles


@functools.cache
def ask_for_tiles() -> None:
    """Asks the system for this process's tiles, as the runtime does: TVM loads kernels without it."""
    arch_prctl, request, tile_data = 158, 0x1023, 18
    assert ctypes.CDLL(None, use_errno=True).syscall(arch_prctl, request, tile_data) == 0


@functools.cache
def amx_double() -> ctypes.CDLL:
    """The double, executing for this process from now on; its `amx_executed()` counts for the calling thread."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "amx_double.so"
        source = Path(__file__).with_name("amx_double.c")
        how = [sys.executable, "-m", "ziglang", "cc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC"]
        subprocess.run([*how, str(source), "-o", str(library)], check=True)
        double = ctypes.CDLL(str(library))
    double.amx_executed.restype = ctypes.c_uint64
    assert double.amx_begin() == 0
    return double


def with_portable_narrowing(registers: MatrixRegisters) -> MatrixRegisters:
    """The same registers, and narrowing without AVX-512."""

    def narrowed(dtype, first, second, lanes, together):
        """Element by element: LLVM takes seconds for shuffles of vectors that this processor does not have."""
        low, high = {"int16": (-(2**15), 2**15 - 1), "int8": (-128, 127), "uint8": (0, 255)}[dtype]
        source = "int32" if dtype == "int16" else "int16"
        given, out = T.alloc_buffer((2 * lanes,), source), T.alloc_buffer((2 * lanes,), dtype)
        for half, values in enumerate((first, second)):
            T.buffer_store(given, values, [T.ramp(half * lanes, 1, lanes)])
        with T.serial(lanes // together) as group, T.serial(2) as half, T.serial(together) as value:
            one = given[half * lanes + group * together + value]
            held = T.max(T.min(one, T.cast(high, source)), T.cast(low, source))
            T.buffer_store(out, T.cast(held, dtype), [(group * 2 + half) * together + value])
        return out.vload([T.ramp(0, 1, 2 * lanes)])

    return dataclasses.replace(
        registers,
        narrow=lambda first, second: narrowed("int16", first, second, 16, 4),
        narrow_to=lambda dtype, first, second: narrowed(dtype, first, second, 32, 8),
    )
