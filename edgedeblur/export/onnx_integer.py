"""A layer as ONNX in plain integer operators, whose bytes are the interpreter's on every runtime that keeps ONNX's
specification.

QLinearConv and a QuantizeLinear behind Conv saturate the convolution to 8 bits before a residual can be added
("saturate((x / y_scale) + y_zero_point)"), and have one scale for all images and for sums of either sign. Here the
layer is spelt out: ConvInteger, the bias, the product with the layer's scale, this image's (gates) or the sign's
(PReLU), a rounding, the residual in the output's steps, and one saturation at the end. The values between are integers
below 2^24 in float32, so nothing else is rounded.
"""

import numpy as np
from onnx import TensorProto

from edgedeblur.export.onnx_gate import gate_scales
from edgedeblur.export.onnx_graph import UNSIGNED, Graph, limited, oihw, read_source, unfolded, window
from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork


def integer_layer(graph: Graph, network: QuantisedNetwork, layer: QuantisedConv, names: dict[str, str]) -> str:
    """The nodes of one layer; the name of its output, uint8 NCHW.

    Args:
        names: of the tensors so far, uint8 NCHW, by the names that the network has for them.
    """
    spec, name = layer.spec, layer.spec.name
    zero_point = graph.zero_point(name, network.tensors[name])
    sums = _sums(graph, network, layer, names)
    y = graph.add("Mul", [sums, _scales(graph, network, layer, names, sums)], f"{name}.scaled")
    if spec.residual is not None:
        y = unfolded(graph, layer, graph.add("Round", [y], f"{name}.rounded"))
        y = graph.add("Add", [y, _residual(graph, network, layer, names)], f"{name}.sum")
    one = graph.constant(f"{name}.one", np.float32(1))
    y = graph.add("QuantizeLinear", [y, one, zero_point], f"{name}.q")
    if spec.relu:
        y = graph.add("Max", [y, zero_point], f"{name}.relu")  # nothing where that is the type's own lowest value
    y = limited(graph, network, layer, y)
    return y if spec.residual is not None else unfolded(graph, layer, y)


def _sums(graph: Graph, network: QuantisedNetwork, layer: QuantisedConv, names: dict[str, str]) -> str:
    """The int32 accumulators with their bias, as float32 [1, out, H, W]."""
    name = layer.spec.name
    source, read = read_source(graph, network, layer, names)
    weight = graph.constant(f"{name}.weight", oihw(layer.weight))
    weight_zero = graph.constant(f"{name}.weight_zero", np.int8(0))
    inputs = [source, weight, read[1], weight_zero]
    y = graph.add("ConvInteger", inputs, f"{name}.products", **window(layer))
    bias = graph.constant(f"{name}.bias", layer.bias.reshape(1, -1, 1, 1))
    return graph.add("Cast", [graph.add("Add", [y, bias], f"{name}.sums")], f"{name}.float", to=TensorProto.FLOAT)


def _scales(graph: Graph, network: QuantisedNetwork, layer: QuantisedConv, names: dict[str, str], sums: str) -> str:
    """The name of what the accumulators are multiplied by, float32: by channel, by this image, or by their sign."""
    name, gate = layer.spec.name, layer.spec.gate
    if gate is not None:
        return gate_scales(graph, layer, names[gate], network.tensors[gate].zero_point + UNSIGNED)
    scales = graph.constant(f"{name}.above_zero", layer.scale.reshape(1, -1, 1, 1))
    if layer.negative_scale is None:
        return scales
    negative = graph.constant(f"{name}.below_zero", layer.negative_scale.reshape(1, -1, 1, 1))
    below = graph.add("Less", [sums, graph.constant(f"{name}.zero", np.float32(0))], f"{name}.negative")
    return graph.add("Where", [below, negative, scales], f"{name}.scales")


def _residual(graph: Graph, network: QuantisedNetwork, layer: QuantisedConv, names: dict[str, str]) -> str:
    """The residual in steps of the output's scale, rounded, float32 NCHW."""
    name, residual = f"{layer.spec.name}.residual", layer.spec.residual
    zero_point = graph.constant(f"{name}.zero", np.float32(network.tensors[residual].zero_point + UNSIGNED))
    y = graph.add("Cast", [names[residual]], f"{name}.float", to=TensorProto.FLOAT)
    y = graph.add("Sub", [y, zero_point], f"{name}.centred")
    y = graph.add("Mul", [y, graph.constant(f"{name}.ratio", np.float32(layer.residual_scale))], f"{name}.scaled")
    return graph.add("Round", [y], f"{name}.rounded")
