"""Runs what `build_gpu_plan` made through OpenCL on this machine, without the artefact's runtime."""

import functools

import numpy as np
import pytest

from edgedeblur.compile.gpu.build import GpuPlan

QUICK = ("-cl-opt-disable",)  # software OpenCL compiles each kernel several times as fast


@functools.cache
def devices() -> tuple:
    """One device of every OpenCL platform here; none where there is no driver or no pyopencl."""
    try:
        import pyopencl

        return tuple(platform.get_devices()[0] for platform in pyopencl.get_platforms())
    except (ImportError, RuntimeError):  # pyopencl's errors are RuntimeErrors
        return ()


needs_opencl = pytest.mark.skipif(not devices(), reason="no OpenCL driver (apt-get install pocl-opencl-icd)")


def run_on(device, plan: GpuPlan, image: np.ndarray, shape: tuple[int, ...], options: tuple[str, ...]) -> np.ndarray:
    """The restored image, uint8 [H, W, 3] of that shape."""
    import pyopencl as cl

    context = cl.Context([device])
    queue = cl.CommandQueue(context)
    program = cl.Program(context, plan.text).build(list(options), cache_dir=False)
    words = np.full((*image.shape[:2], 4), 77, np.uint8)  # nothing may rely on the fourth byte
    words[..., :3] = image
    flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
    buffers = [cl.Buffer(context, flags, hostbuf=_contents(plan, one, words)) for one in plan.buffers]
    for call in plan.calls:
        items = tuple(groups * size for groups, size in zip(call.groups, call.group, strict=True))
        cl.Kernel(program, call.kernel)(queue, items, call.group, *(buffers[index] for index in call.arguments))
    restored = np.empty((*shape[:2], 4), np.uint8)
    places = [one.place for one in plan.buffers]
    cl.enqueue_copy(queue, restored, buffers[places.index("output")])
    queue.finish()
    return restored[..., :3]


def _contents(plan: GpuPlan, buffer, words: np.ndarray) -> np.ndarray:
    if buffer.place == "constant":
        return np.frombuffer(plan.constants, np.uint8)[buffer.offset : buffer.offset + buffer.bytes].copy()
    if buffer.place == "input":
        return words.reshape(-1).copy()
    return np.full(buffer.bytes, 0xA5, np.uint8)  # nothing may rely on cleared memory
