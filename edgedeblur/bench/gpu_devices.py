"""Which devices for OpenCL and for CUDA this machine has, by the libraries that artefacts load too."""

import ctypes
from dataclasses import dataclass

_LIBRARIES = ("libOpenCL.so.1", "libOpenCL.so")
_CUDA_LIBRARY = "libcuda.so.1"
_ALL, _GPU = 0xFFFFFFFF, 1 << 2  # CL_DEVICE_TYPE_*
_TYPE, _NAME = 0x1000, 0x102B  # CL_DEVICE_TYPE, CL_DEVICE_NAME
_MOST = 16
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
OLDEST_CUDA = (7, 5)  # compute capability that runs the kernels


@dataclass(frozen=True)
class OpenClDevice:
    name: str
    is_gpu: bool


@dataclass(frozen=True)
class CudaDevice:
    name: str
    capability: tuple[int, int]


def opencl_devices() -> list[OpenClDevice] | None:
    """Every device of every platform; None where OpenCL's library is not installed. A platform that fails has none."""
    library = _load()
    if library is None:
        return None
    found = []
    for platform in _handles(lambda *out: library.clGetPlatformIDs(*out)):
        for device in _handles(lambda *out, one=platform: library.clGetDeviceIDs(one, ctypes.c_uint64(_ALL), *out)):
            name, kind = ctypes.create_string_buffer(256), ctypes.c_uint64()
            facts = ((_NAME, name, len(name)), (_TYPE, kind, ctypes.sizeof(kind)))
            if not any(_get(library, device, what, ctypes.byref(into), size) for what, into, size in facts):
                found.append(OpenClDevice(name.value.decode(errors="replace").strip(), bool(kind.value & _GPU)))
    return found


def cuda_devices() -> list[CudaDevice] | None:
    """Every device; None where the driver is not installed. A driver that fails has none."""
    try:
        library = ctypes.CDLL(_CUDA_LIBRARY)
        count = ctypes.c_int()
        if library.cuInit(0) != 0 or library.cuDeviceGetCount(ctypes.byref(count)) != 0:
            return []
        return [one for index in range(count.value) if (one := _cuda_device(library, index)) is not None]
    except (OSError, AttributeError):
        return None


def _load() -> ctypes.CDLL | None:
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
            if library.clGetPlatformIDs and library.clGetDeviceIDs and library.clGetDeviceInfo:
                return library
        except (OSError, AttributeError):
            continue
    return None


def _handles(call) -> list[ctypes.c_void_p]:
    """What an OpenCL function that fills (room, array, count) gives; none where it fails."""
    array, count = (ctypes.c_void_p * _MOST)(), ctypes.c_uint32()
    if call(ctypes.c_uint32(_MOST), array, ctypes.byref(count)) != 0:
        return []
    return [ctypes.c_void_p(handle) for handle in array[: count.value]]


def _get(library: ctypes.CDLL, device: ctypes.c_void_p, what: int, into, size: int) -> int:
    return library.clGetDeviceInfo(device, ctypes.c_uint32(what), ctypes.c_size_t(size), into, None)


def _cuda_device(library: ctypes.CDLL, index: int) -> CudaDevice | None:
    device, major, minor, name = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    failed = library.cuDeviceGet(ctypes.byref(device), index) or library.cuDeviceGetName(name, len(name), device)
    for what, into in ((_MAJOR, major), (_MINOR, minor)):
        failed = failed or library.cuDeviceGetAttribute(ctypes.byref(into), what, device)
    return None if failed else CudaDevice(name.value.decode(errors="replace"), (major.value, minor.value))
