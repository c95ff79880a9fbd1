"""A layer's constants as its GPU kernel reads them: four weights a word, in the order of the inner loops."""

import numpy as np

from edgedeblur.compile.gpu.convolution import layer_numbers
from edgedeblur.compile.gpu.schedule import GpuSchedule, output_words
from edgedeblur.compile.gpu.tensor import LANES, words_for
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.pack import without_groups
from edgedeblur.quantize.network import GATE_TABLE, QuantisedConv, QuantisedGate


def pack_constants(conv: QuantisedConv, layer: ConvLayer, schedule: GpuSchedule) -> dict[str, np.ndarray]:
    """weight: uint32, flat, in `in_loop_order`. bias int32, scale and, with prelu, negative_scale float32: [output
    channels], with those that fill a word; behind the scale a residual's. numbers: int32, `layer_numbers`.

    The kernel's sums are over q where the network's are over q - zero_point: the difference is known and moves to the
    bias. Both wrap modulo 2^32; the wraps cancel.
    """
    weight = np.zeros(
        (LANES * output_words(layer), *conv.weight.shape[1:3], LANES * words_for(layer.in_channels)), np.int8
    )
    places = channel_places(layer)
    weight[places, :, :, : layer.in_channels] = without_groups(conv)
    made_up = layer.source_zero_point * conv.weight.sum(axis=(1, 2, 3), dtype=np.int64)
    bias, scale = np.zeros(len(weight), np.int32), np.zeros(len(weight), np.float32)
    bias[places] = (conv.bias.astype(np.int64) - made_up).astype(np.int32)
    scale[places] = conv.scale
    if conv.residual_scale is not None:
        scale = np.append(scale, np.float32(conv.residual_scale))
    arrays = {"weight": in_loop_order(weight, schedule), "bias": bias, "scale": scale}
    if conv.negative_scale is not None:
        arrays["negative_scale"] = np.zeros(len(weight), np.float32)
        arrays["negative_scale"][places] = conv.negative_scale
    return arrays | {"numbers": np.array(layer_numbers(layer), np.int32)}


def in_loop_order(weight: np.ndarray, schedule: GpuSchedule) -> np.ndarray:
    """Weights [out, kernel, kernel, in] of whole words in both: uint32, flat, [blocks, kernel rows, words of input
    channels, kernel columns, channels of a block, uint32 of a word]."""
    rows, columns, inputs = weight.shape[1:]
    split = weight.reshape(-1, LANES * schedule.words, rows, columns, inputs // LANES, LANES)
    return np.ascontiguousarray(split.transpose(0, 2, 4, 3, 1, 5)).view(np.uint32).reshape(-1)


def pack_gate(gate: QuantisedGate, layer: ConvLayer) -> dict[str, np.ndarray]:
    """A gate's constants by the names of its kernel's arguments (gate.py)."""
    outputs, inputs = LANES * output_words(layer), gate.weight.shape[1]
    places = channel_places(layer)
    weight = np.zeros((outputs, LANES * words_for(inputs)), np.int8)
    weight[places, :inputs] = gate.weight
    bias, scale = np.zeros(outputs, np.int32), np.zeros(outputs, np.float32)
    bias[places], scale[places] = gate.bias, gate.scale
    words = np.ascontiguousarray(weight).view(np.uint32)  # [outputs, words]
    return {
        "gate_weight": np.ascontiguousarray(words.T).reshape(-1),
        "gate_bias": bias,
        "gate_scale": scale,
        "gate_table": GATE_TABLE,
    }


def channel_places(layer: ConvLayer) -> np.ndarray:
    """Where each output channel lies among those of whole words: what a pixel unfolds to begins a new word."""
    channel = np.arange(layer.out_channels)
    channels = layer.out[2]
    return channel // channels * (LANES * words_for(channels)) + channel % channels
