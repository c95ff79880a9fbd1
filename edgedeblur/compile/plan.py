"""What the compiler hands to the emitter: kernel calls in order, with every operand at a planned place."""

from dataclasses import dataclass
from typing import Literal

ALIGNMENT = 64
MAX_BYTES = 2**31 - 1  # of a tensor, the arena, the workspace or the constants: kernels compute indices in 32 bits


@dataclass(frozen=True)
class Operand:
    """One tensor argument of a kernel call.

    place: "input" and "output" are the caller's image buffers (uint8, HxWx3); "arena" is the planned scratch memory;
    "constant" is the read-only data beside the code.
    offset: bytes from the start of the arena or of the constants; 0 for the images. A multiple of 64.
    shape, dtype: as the kernel declares them (dtype by TVM's names: "uint8", "int8", "int16", "int32", "float32").
    """

    place: Literal["input", "output", "arena", "constant"]
    offset: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class KernelCall:
    """One call of a compiled kernel. `symbol` is its packed entry in the object, which several layers may have, such as
    `__tvm_ffi_sdot_conv1_3x3x256x256x16`.
    names: of the operands, for readers ("source", "weight", ...); may be left out."""

    layer: str
    symbol: str
    operands: tuple[Operand, ...]
    macs: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The whole network as calls. Sizes in bytes; `workspace_bytes` is what one thread may hold at once in a kernel."""

    calls: tuple[KernelCall, ...]
    height: int
    width: int
    arena_bytes: int
    workspace_bytes: int
    constants: bytes
