"""The scratch that a kernel asks the runtime for: what TVM does not put on the stack."""

from math import prod

import numpy as np
import tvm
import tvm_ffi

from edgedeblur.compile.memory import aligned

_STACK_LIMIT = 1024  # bytes; TVM's LowerTVMBuiltin turns larger allocations into workspace calls (kMaxStackAlloca)


def workspace_bytes(kernel: tvm.tirx.PrimFunc) -> int:
    """The most bytes that one thread holds at once in a kernel; every allocation starts on a cache line."""
    sizes: list[int] = []

    def add(allocation: tvm.tirx.AllocBuffer) -> None:
        buffer = allocation.buffer
        sizes.append(prod(int(extent) for extent in buffer.shape) * np.dtype(str(buffer.dtype)).itemsize)

    tvm_ffi.structural_walk(kernel.body, ((tvm.tirx.AllocBuffer, add),))
    return sum(aligned(size) for size in sizes if size >= _STACK_LIMIT)
