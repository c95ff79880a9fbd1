"""Runs what `build_gpu_plan` made through OpenCL on this machine, without the artefact's runtime."""

import functools
from dataclasses import dataclass
from typing import Any

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


@functools.cache
def builds() -> tuple[tuple[Any, tuple[str, ...]], ...]:
    """Every device with the options by which the library builds the kernels' text on it (runtime/units/opencl.c): where
    there are dot-product instructions with them, and once more without."""
    found = []
    for device in devices():
        new_enough = device.version.startswith("OpenCL ") and device.version[7] >= "3"
        options = (*QUICK, *(("-cl-std=CL3.0",) if new_enough else ()))
        found.append((device, options))
        if "cl_khr_integer_dot_product" in device.extensions.split():
            found.append((device, (*options, "-DED_PLAIN_DOT")))
    return tuple(found)


needs_opencl = pytest.mark.skipif(not devices(), reason="no OpenCL driver (apt-get install pocl-opencl-icd)")


def run_on(device, plan: GpuPlan, image: np.ndarray, options: tuple[str, ...]) -> np.ndarray:
    """The restored image, uint8 [H, W, 3]."""
    return image_of(run_plan(build(device, plan.text, options), plan, image_words(image)), image.shape)


@dataclass(frozen=True)
class Built:
    """A program with its context, which Intel's driver ends with the last one who names it."""

    context: Any
    program: Any


def build(device, text: str, options: tuple[str, ...]) -> Built:
    """Kernels on a device, for `run_plan`."""
    import pyopencl as cl

    context = cl.Context([device])
    return Built(context, cl.Program(context, text).build(list(options), cache_dir=False))


def run_plan(built: Built, plan: GpuPlan, words: np.ndarray) -> np.ndarray:
    """What a plan makes of an image's words (none where it reads no image): uint32, flat."""
    import pyopencl as cl

    context = built.context
    queue = cl.CommandQueue(context)
    flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
    buffers = [cl.Buffer(context, flags, hostbuf=_contents(plan, one, words)) for one in plan.buffers]
    for call in plan.calls:
        items = tuple(groups * size for groups, size in zip(call.groups, call.group, strict=True))
        cl.Kernel(built.program, call.kernel)(queue, items, call.group, *(buffers[index] for index in call.arguments))
    place = [one.place for one in plan.buffers].index("output")
    made = np.empty(plan.buffers[place].bytes // 4, np.uint32)
    cl.enqueue_copy(queue, made, buffers[place])
    queue.finish()
    return made


def image_words(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] as uint32, flat; nothing may rely on the fourth byte."""
    words = np.full((*image.shape[:2], 4), 77, np.uint8)
    words[..., :3] = image
    return words.reshape(-1).view(np.uint32)


def image_of(words: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `image_words`, for an image of that shape."""
    return words.view(np.uint8).reshape(*shape[:2], 4)[..., :3]


def _contents(plan: GpuPlan, buffer, words: np.ndarray) -> np.ndarray:
    if buffer.place == "constant":
        return np.frombuffer(plan.constants, np.uint8)[buffer.offset : buffer.offset + buffer.bytes].copy()
    if buffer.place == "input":
        return words.view(np.uint8).copy()
    return np.full(buffer.bytes, 0xA5, np.uint8)  # nothing may rely on cleared memory
