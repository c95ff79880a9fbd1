"""An ONNX graph as it grows: nodes, constants, and the rearrangements that every form of the network shares.

Activations are uint8, q + 128, the same integers: ONNX Runtime has fast x86 kernels for uint8 by int8 only.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork, TensorScale, read_tensor

UNSIGNED = 128  # what is added to int8


class Graph:
    """Nodes and constants as they are added."""

    def __init__(self, sizes: dict[str, tuple[int, int]]) -> None:
        self.sizes = sizes  # height and width of every tensor of the network
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def add(self, kind: str, inputs: Sequence[str], output: str, domain: str = "", **attributes) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants[name] = value
        return name

    def scale(self, name: str, tensor: TensorScale) -> list[str]:
        """Names of the scale and the zero point of a tensor."""
        return [self.constant(f"{name}.scale", np.float32(tensor.scale)), self.zero_point(name, tensor)]

    def zero_point(self, name: str, tensor: TensorScale) -> str:
        """Name of the zero point of a tensor."""
        return self.constant(f"{name}.zero_point", np.uint8(tensor.zero_point + UNSIGNED))


def oihw(weight: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(weight.transpose(0, 3, 1, 2))


def window(layer: QuantisedConv) -> dict:
    spec = layer.spec
    plain = {"kernel_shape": [spec.kernel] * 2, "strides": [spec.stride] * 2, "pads": [spec.padding] * 4}
    return plain | {
        key: value
        for key, value in (("group", spec.groups), ("dilations", [spec.dilation] * 2))
        if value not in (1, [1, 1])
    }


def read_source(
    graph: Graph, network: QuantisedNetwork, layer: QuantisedConv, names: dict[str, str]
) -> tuple[str, list[str]]:
    """What a layer's convolution reads, folded, and the names of its scale and zero point.

    In Winograd form half steps: a quarter of one is added before rounding to the nearest, so that halves go up.
    """
    name, source, stored = layer.spec.name, layer.spec.source, network.tensors[layer.spec.source]
    if not layer.winograd:
        return folded(graph, layer, names), graph.scale(source, stored)
    x = graph.add("DequantizeLinear", [names[source], *graph.scale(source, stored)], f"{name}.whole")
    x = graph.add("Add", [x, graph.constant(f"{name}.quarter", np.float32(stored.scale / 2))], f"{name}.up")
    halved = graph.scale(f"{name}.halved", read_tensor(stored))
    x = graph.add("QuantizeLinear", [x, *halved], f"{name}.half")
    return folded(graph, layer, {source: x}), halved


def folded(graph: Graph, layer: QuantisedConv, names: dict[str, str]) -> str:
    source, factor = names[layer.spec.source], layer.spec.space_to_depth
    if factor == 1:
        return source
    height, width = graph.sizes[layer.spec.source]
    channels = layer.spec.in_channels // factor**2
    split = (height // factor, factor, width // factor, factor * channels)
    joined = (height // factor, width // factor, layer.spec.in_channels)
    return _rearranged(graph, f"{layer.spec.name}.folded", source, split, joined)


def unfolded(graph: Graph, layer: QuantisedConv, y: str) -> str:
    factor = layer.spec.depth_to_space
    if factor == 1:
        return y
    height, width = graph.sizes[layer.spec.name]
    channels = layer.spec.out_channels // factor**2
    split = (height // factor, width // factor, factor, factor * channels)
    return _rearranged(graph, f"{layer.spec.name}.shuffled", y, split, (height, width, channels))


def _rearranged(graph: Graph, name: str, x: str, split: tuple[int, ...], joined: tuple[int, ...]) -> str:
    """Space-to-depth and depth-to-space as one transposition in NHWC: ONNX Runtime keeps quantised convolutions in that
    layout, so the outer two cancel there, while its own operators of those names would be wrapped in two more."""
    split_shape = graph.constant(f"{name}.split", np.array([1, *split], np.int64))
    joined_shape = graph.constant(f"{name}.joined", np.array([1, *joined], np.int64))
    y = graph.add("Transpose", [x], f"{name}.nhwc", perm=[0, 2, 3, 1])
    y = graph.add("Reshape", [y, split_shape], f"{name}.parts")
    y = graph.add("Transpose", [y], f"{name}.swapped", perm=[0, 1, 3, 2, 4])
    y = graph.add("Reshape", [y, joined_shape], f"{name}.whole")
    return graph.add("Transpose", [y], name, perm=[0, 3, 1, 2])


def limited(graph: Graph, network: QuantisedNetwork, layer: QuantisedConv, y: str) -> str:
    """The upper clamp, on integers, so that runtimes fuse what is before it as without one."""
    if network.high(layer) == 127:
        return y
    high = graph.constant(f"{layer.spec.name}.high", np.uint8(network.high(layer) + UNSIGNED))
    return graph.add("Min", [y, high], f"{layer.spec.name}.limited")
