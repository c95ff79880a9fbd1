"""Runs what `build_plan` made on this machine without the artefact's runtime: TVM loads the object and calls it."""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import tvm

from edgedeblur.compile.build import CompiledKernels
from edgedeblur.compile.plan import ALIGNMENT, KernelCall, Operand

_CPU = 1  # kDLCPU
_DLTENSOR_POINTER = 7  # kTVMFFIDLTensorPtr
_DTYPES = {"int8": (0, 8), "int16": (0, 16), "int32": (0, 32), "uint8": (1, 8), "float32": (2, 32)}


class _DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Any(ctypes.Structure):
    _fields_ = [("type_index", ctypes.c_int32), ("small", ctypes.c_uint32), ("pointer", ctypes.c_void_p)]


def aligned_bytes(size: int) -> np.ndarray:
    """uint8 [size] that begins on a cache line."""
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


def load_kernels(compiled: CompiledKernels, folder: Path) -> ctypes.CDLL:
    """The object, linked by zig as artefacts are; TVM's loader gives it a thread pool and workspace."""
    (folder / "kernels.o").write_bytes(compiled.object_code)
    library = folder / "kernels.so"
    link = [sys.executable, "-m", "ziglang", "cc", "-shared", "-o", str(library), str(folder / "kernels.o")]
    subprocess.run(link, check=True)
    kernels = ctypes.CDLL(str(library))
    kernels.loaded_by_tvm = tvm.runtime.load_module(str(library))
    return kernels


def run_plan(compiled: CompiledKernels, image: np.ndarray, folder: Path) -> np.ndarray:
    """The restored image. The caller's images are put at odd addresses: callers may pass any pointer."""
    plan, kernels = compiled.plan, load_kernels(compiled, folder)
    memory = {
        "input": aligned_bytes(image.size + 1)[1:],
        "output": aligned_bytes(image.size + 3)[3:],
        "arena": aligned_bytes(plan.arena_bytes),
        "constant": aligned_bytes(len(plan.constants)),
    }
    memory["arena"][:] = 0xA5  # nothing may rely on cleared memory
    memory["input"][:] = image.reshape(-1)
    memory["constant"][:] = np.frombuffer(plan.constants, np.uint8)
    for call in plan.calls:
        _run_call(kernels, call, memory)
    return memory["output"].reshape(image.shape).copy()


def _run_call(kernels: ctypes.CDLL, call: KernelCall, memory: dict[str, np.ndarray]) -> None:
    tensors = [_tensor(operand, memory) for operand in call.operands]
    arguments = (_Any * len(tensors))(*(_Any(_DLTENSOR_POINTER, 0, ctypes.addressof(t)) for t in tensors))
    result = _Any()
    status = getattr(kernels, call.symbol)(None, arguments, len(tensors), ctypes.byref(result))
    assert status == 0, f"{call.symbol} returned {status}"


def _tensor(operand: Operand, memory: dict[str, np.ndarray]) -> _DLTensor:
    raw, (code, bits) = memory[operand.place], _DTYPES[operand.dtype]
    end = operand.offset + int(np.prod(operand.shape)) * bits // 8
    assert operand.offset % ALIGNMENT == 0 and end <= len(raw), f"{operand} does not lie in its memory"
    shape = (ctypes.c_int64 * len(operand.shape))(*operand.shape)
    device = (ctypes.c_int32 * 2)(_CPU, 0)
    return _DLTensor(raw.ctypes.data + operand.offset, device, len(operand.shape), code, bits, 1, shape, None, 0)
