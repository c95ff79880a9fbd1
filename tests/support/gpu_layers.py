"""Single layers as plans for a GPU, many with one text: a driver builds only the kernels of the layers under test."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedeblur.compile.gpu.build import GpuBuffer, GpuCall, GpuPlan
from edgedeblur.compile.gpu.form import INT8
from edgedeblur.compile.gpu.graph import GpuKernel, gpu_kernels
from edgedeblur.compile.gpu.ptx import make_ptx
from edgedeblur.compile.gpu.schedule import GpuSchedule
from edgedeblur.compile.gpu.source import generate_text
from edgedeblur.compile.gpu.tensor import LANES, words_for
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.network import QuantisedNetwork

LAYER = "layer"


@dataclass(frozen=True)
class LayerCase:
    """The layer named LAYER of a network, with a schedule, for an image of height x width."""

    network: QuantisedNetwork
    height: int
    width: int
    schedule: GpuSchedule


@dataclass(frozen=True)
class LayerPlan:
    """plan: what it reads is among its constants; its output are words. expected: int8 [H, W, C], the interpreter's."""

    plan: GpuPlan
    expected: np.ndarray

    def check(self, words: np.ndarray) -> None:
        height, width, channels = self.expected.shape
        planes = words.view(np.int8).reshape(-1, height, width, LANES)
        np.testing.assert_array_equal(
            planes.transpose(1, 2, 0, 3).reshape(height, width, -1)[..., :channels], self.expected
        )


def layer_plans(cases: Sequence[LayerCase], language: str = "opencl") -> list[LayerPlan]:
    """A plan for each case; all have the same text."""
    kernels = [
        [one for one in gpu_kernels(c.network, c.height, c.width, {LAYER: c.schedule}) if one.layer == LAYER]
        for c in cases
    ]
    symbols = {(at, one.symbol): f"c{at}_{one.symbol}" for at, case in enumerate(kernels) for one in case}
    functions = {
        symbols[at, one.symbol]: one.function.with_attr("global_symbol", symbols[at, one.symbol])
        for at, case in enumerate(kernels)
        for one in case
    }
    text = generate_text(functions, language, INT8)
    ptx = make_ptx(text.text) if language == "cuda" else None
    plans = []
    for at, case in enumerate(cases):
        image = np.random.default_rng(at).integers(0, 256, (case.height, case.width, 3), np.uint8)
        tensors = interpreter.run_tensors(case.network, image)
        entries = {one.symbol: text.entries[symbols[at, one.symbol]] for one in kernels[at]}
        plans.append(LayerPlan(_plan(kernels[at], entries, tensors, (language, text.text, ptx)), tensors[LAYER]))
    return plans


def _plan(kernels: list[GpuKernel], entries: dict, tensors: dict[str, np.ndarray], text: tuple) -> GpuPlan:
    buffers: dict[str, GpuBuffer] = {}
    constants = bytearray()
    calls = []
    for kernel in kernels:
        for name, argument in zip((*kernel.reads, kernel.makes), kernel.arguments, strict=True):
            if name in buffers:
                continue
            array = kernel.constants.get(name)
            if array is None and name in tensors and name != LAYER:
                array = _words(tensors[name])
            place = "output" if name == LAYER else "arena" if array is None else "constant"
            buffers[name] = GpuBuffer(place, len(constants), argument.bytes)
            constants += b"" if array is None else array.tobytes()
        places = dict(zip((a.name for a in kernel.arguments), (*kernel.reads, kernel.makes), strict=True))
        name, order = entries[kernel.symbol]
        arguments = tuple(list(buffers).index(places[one]) for one in order)
        calls.append(GpuCall(name, LAYER, kernel.macs, arguments, kernel.launch.groups, kernel.launch.group))
    height, width, _ = tensors[LAYER].shape
    return GpuPlan(*text, tuple(buffers.values()), tuple(calls), bytes(constants), height, width)


def _words(tensor: np.ndarray) -> np.ndarray:
    """int8 [H, W, C] as compile/gpu/tensor.py has it; bytes that only fill a word have any value."""
    height, width, channels = tensor.shape
    filled = np.full((height, width, LANES * words_for(channels)), 77, np.int8)
    filled[..., :channels] = tensor
    return np.ascontiguousarray(filled.reshape(height, width, -1, LANES).transpose(2, 0, 1, 3)).view(np.uint32)
