"""The instruction sets that there are kernels for: one row each.

A further one is a row here, a file in compile/kernels/, and its check in runtime/library/cpu.c.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Isa:
    """architecture: LLVM's name ("x86_64", "aarch64"). flags: of /proc/cpuinfo, that a processor must have; the C
    runtime asks the processor for the same. features: what LLVM must be allowed to use.
    on_request: the system allows them to a process that asks, and may refuse: then a fall-back runs."""

    name: str
    architecture: str
    flags: tuple[str, ...]
    features: tuple[str, ...]
    on_request: bool = False


_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl")
_ROWS = (
    Isa("avx2", "x86_64", ("avx2", "fma"), ("+avx2", "+fma")),
    Isa("vnni", "x86_64", (*_AVX512, "avx512_vnni"), (*(f"+{flag}" for flag in _AVX512), "+avx512vnni")),
    Isa("avxvnni", "x86_64", ("avx2", "fma", "avx_vnni"), ("+avx2", "+fma", "+avxvnni")),
    Isa(
        "amx",
        "x86_64",
        (*_AVX512, "avx512_vnni", "avx512vbmi", "amx_tile", "amx_int8"),
        (*(f"+{flag}" for flag in _AVX512), "+avx512vnni", "+avx512vbmi", "+amx-tile", "+amx-int8"),
        on_request=True,
    ),
    Isa("sdot", "aarch64", ("asimddp",), ("+neon", "+dotprod")),
    Isa("i8mm", "aarch64", ("i8mm",), ("+neon", "+i8mm")),
    Isa("neon", "aarch64", ("asimd",), ("+neon",)),
)
ISAS = {row.name: row for row in _ROWS}
