"""A layer's constants as its float16 kernel reads them: as pack.py, with four weights in two uint32."""

import numpy as np

from edgedeblur.compile.gpu.half.network import HalfConv, HalfGate
from edgedeblur.compile.gpu.pack import channel_places, in_loop_order
from edgedeblur.compile.gpu.schedule import GpuSchedule, output_words
from edgedeblur.compile.gpu.tensor import LANES, words_for
from edgedeblur.compile.kernels.layer import ConvLayer


def pack_half_constants(conv: HalfConv, layer: ConvLayer, schedule: GpuSchedule) -> dict[str, np.ndarray]:
    """weight: uint32, flat, in `in_loop_order`. bias, scale (behind the channels' a residual's) and, with prelu,
    negative_scale: float32. numbers: float32, the lower and the upper clamp."""
    places, outputs = channel_places(layer), LANES * output_words(layer)
    weight = np.zeros((outputs, layer.kernel, layer.kernel, LANES * words_for(layer.in_channels)), np.float16)
    own, inputs = layer.out_channels // layer.groups, layer.in_channels // layer.groups
    for group in range(layer.groups):  # zeros between the groups
        rows = places[group * own : (group + 1) * own]
        weight[rows, :, :, group * inputs : (group + 1) * inputs] = conv.weight[group * own : (group + 1) * own]
    arrays = {"weight": in_loop_order(weight, schedule), "bias": _filled(conv.bias, places, outputs)}
    arrays["scale"] = _filled(conv.scale, places, outputs)
    if conv.residual_scale is not None:
        arrays["scale"] = np.append(arrays["scale"], conv.residual_scale)
    if conv.negative_scale is not None:
        arrays["negative_scale"] = _filled(conv.negative_scale, places, outputs)
    return arrays | {"numbers": np.array([conv.low, conv.high], np.float32)}


def pack_half_gate(gate: HalfGate, layer: ConvLayer) -> dict[str, np.ndarray]:
    """gate_weight: float32 [inputs, outputs], flat. gate_bias: float32 [outputs]."""
    places, outputs = channel_places(layer), LANES * output_words(layer)
    weight = np.zeros((outputs, LANES * words_for(gate.weight.shape[1])), np.float32)
    weight[places, : gate.weight.shape[1]] = gate.weight
    return {
        "gate_weight": np.ascontiguousarray(weight.T).reshape(-1),
        "gate_bias": _filled(gate.bias, places, outputs),
    }


def _filled(values: np.ndarray, places: np.ndarray, outputs: int) -> np.ndarray:
    filled = np.zeros(outputs, np.float32)
    filled[places] = values
    return filled
