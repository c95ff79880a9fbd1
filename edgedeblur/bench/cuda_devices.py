"""Which NVIDIA GPUs this machine has, by the driver's library that artefacts load too."""

import ctypes
from dataclasses import dataclass

_LIBRARY = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
OLDEST = (7, 5)  # compute capability that runs the kernels


@dataclass(frozen=True)
class CudaDevice:
    name: str
    capability: tuple[int, int]


def cuda_devices() -> list[CudaDevice] | None:
    """Every device; None where the driver is not installed. A driver that fails has none."""
    try:
        library = ctypes.CDLL(_LIBRARY)
        count = ctypes.c_int()
        if library.cuInit(0) != 0 or library.cuDeviceGetCount(ctypes.byref(count)) != 0:
            return []
        return [one for index in range(count.value) if (one := _device(library, index)) is not None]
    except (OSError, AttributeError):
        return None


def _device(library: ctypes.CDLL, index: int) -> CudaDevice | None:
    device, major, minor, name = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    failed = library.cuDeviceGet(ctypes.byref(device), index) or library.cuDeviceGetName(name, len(name), device)
    for what, into in ((_MAJOR, major), (_MINOR, minor)):
        failed = failed or library.cuDeviceGetAttribute(ctypes.byref(into), what, device)
    return None if failed else CudaDevice(name.value.decode(errors="replace"), (major.value, minor.value))
