"""Layers with gates or prelu as TFLite: in float32 operators between DEQUANTIZE and QUANTIZE.

An int8 convolution of TFLite has one scale for all images. So that of a gated layer is computed in float32 from the
same integers, and rounded once, to its output's scale: sums are exact up to 2^24, and the gate is a sigmoid in place of
the interpreter's table of it, so that values close to a tie may differ by one step. PRELU on integers would clamp
negative values before it takes their slope.
"""

from typing import TYPE_CHECKING

import numpy as np

from edgedeblur.quantize.network import GATE_STEPS, MEAN_STEPS, QuantisedConv, QuantisedNetwork, read_scale
from edgedeblur.student import ConvSpec

if TYPE_CHECKING:
    from edgedeblur.export.tflite import Graph

_MEAN_AXES = np.array([1, 2], np.int32)


def gated_convolution(
    graph: "Graph", network: QuantisedNetwork, layer: QuantisedConv, x: int, gating: int, window: tuple[object, tuple]
) -> int:
    """The operators of one layer; the number of its output, int8 [1, H, W, out].

    Args:
        x, gating: int8 tensors: what it convolves, and what its gate averages.
        window: the convolution's options, and the output's (height, width).
    """
    spec, (_, size) = layer.spec, window
    name, read = spec.name, read_scale(layer.winograd, network.tensors[spec.source])
    y = _float_convolution(graph, layer, x, read, window, factor=2)  # 2: the factor is twice the sigmoid
    gate = _sigmoid(graph, network, layer, gating)
    y = graph.add("MUL", [y, gate], graph.floats(f"{name}.gated", (*size, spec.out_channels)), graph.options("Mul"))
    return graph.convert(y, f"{name}.out", (*size, spec.out_channels), network.tensors[name], "INT8")


def bent_convolution(
    graph: "Graph", network: QuantisedNetwork, layer: QuantisedConv, x: int, window: tuple[object, tuple]
) -> int:
    """The operators of a layer with prelu, up to its convolution; arguments and result as `gated_convolution`."""
    spec, (_, size) = layer.spec, window
    name, shape = spec.name, (*size, spec.out_channels)
    y = _float_convolution(graph, layer, x, network.tensors[spec.source].scale, window)
    slope = graph.constant(f"{name}.slope", (layer.negative_scale / layer.scale).reshape(1, 1, -1))
    y = graph.add("PRELU", [y, slope], graph.floats(f"{name}.prelu", shape))
    return graph.convert(y, f"{name}.out", shape, network.tensors[name], "INT8")


def _float_convolution(
    graph: "Graph",
    layer: QuantisedConv,
    x: int,
    source_scale: float,
    window: tuple[object, tuple],
    factor: int = 1,
) -> int:
    """The convolution's real values, times a factor; source_scale: of one step of x."""
    spec, (options, size) = layer.spec, window
    name, scale = spec.name, factor * np.float32(source_scale) * layer.weight_scale
    values = graph.dequantise(x, f"{name}.float")
    weights = layer.weight * (factor * layer.weight_scale[:, None, None, None])
    kind, weights, _ = convolution_operator(spec, weights.astype(np.float32))
    weight = graph.constant(f"{name}.weight", weights)
    bias = graph.constant(f"{name}.bias", (layer.bias * scale).astype(np.float32))
    return graph.add(kind, [values, weight, bias], graph.floats(f"{name}.conv", (*size, spec.out_channels)), options)


def depthwise(spec: ConvSpec) -> bool:
    """Whether TFLite has the convolution as DEPTHWISE_CONV_2D."""
    return 1 < spec.groups == spec.in_channels == spec.out_channels


def convolution_operator(spec: ConvSpec, weight: np.ndarray) -> tuple[str, np.ndarray, int]:
    """TFLite's operator, its weights, and the axis of their output channels, from weights [out, y, x, in / groups]."""
    if depthwise(spec):
        return "DEPTHWISE_CONV_2D", np.ascontiguousarray(weight.transpose(3, 1, 2, 0)), 3
    return "CONV_2D", weight, 0


def _sigmoid(graph: "Graph", network: QuantisedNetwork, layer: QuantisedConv, gating: int) -> int:
    """Half of what each channel is multiplied by, float32 [1, 1, 1, out]."""
    spec, gate = layer.spec, layer.gate
    name, channels = f"{spec.name}.gate", gate.weight.shape[1]
    steps = gate.scale.astype(np.float64) / GATE_STEPS
    weight = gate.weight * steps[:, None] * (MEAN_STEPS / network.tensors[spec.gate].scale)
    values = graph.dequantise(gating, f"{name}.float")
    axes = graph.constant(f"{name}.axes", _MEAN_AXES)
    mean = graph.floats(f"{name}.mean", (1, 1, channels))
    y = graph.add("MEAN", [values, axes], mean, graph.options("Reducer", keepDims=True))
    matrix = graph.constant(f"{name}.weight", weight.astype(np.float32)[:, None, None, :])
    bias = graph.constant(f"{name}.bias", (gate.bias * steps).astype(np.float32))
    sums = graph.floats(f"{name}.sums", (1, 1, spec.out_channels))
    y = graph.add("CONV_2D", [y, matrix, bias], sums, graph.options("Conv2D", strideW=1, strideH=1))
    return graph.add("LOGISTIC", [y], graph.floats(f"{name}.sigmoid", (1, 1, spec.out_channels)))
