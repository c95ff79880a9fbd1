"""What a gate multiplies a layer's scales by, as ONNX: in plain integer operators, or in float32."""

import numpy as np
from onnx import TensorProto

from edgedeblur.export.onnx_graph import Graph
from edgedeblur.quantize.network import GATE_STEPS, GATE_TABLE, MAX_GATE_INDEX, MEAN_STEPS, QuantisedConv, TensorScale

_INT32_PIXELS = (2**31 - 1) // 255  # whose sum of uint8 values int32 holds


def gate_scales(graph: Graph, layer: QuantisedConv, gating: str, zero_point: int) -> str:
    """The nodes from a tensor (uint8 NCHW) to the scales of the layer that it gates, float32 [1, out, 1, 1].

    Args:
        zero_point: of that tensor, as uint8.
    """
    name, gate = f"{layer.spec.name}.gate", layer.gate
    height, width = graph.sizes[layer.spec.gate]
    pixels = height * width
    kind = TensorProto.INT32 if pixels <= _INT32_PIXELS else TensorProto.INT64
    y = graph.add("Cast", [gating], f"{name}.wide", to=kind)
    axes = graph.constant(f"{name}.axes", np.array([2, 3], np.int64))
    y = graph.add("ReduceSum", [y, axes], f"{name}.stored", keepdims=0)
    y = graph.add("Cast", [y], f"{name}.long", to=TensorProto.INT64)

    def integer(kind: str, x: str, value: int, what: str) -> str:
        return graph.add(kind, [x, graph.constant(f"{name}.{what}_by", np.int64(value))], f"{name}.{what}")

    y = integer("Sub", y, pixels * zero_point, "total")
    y = integer("Add", integer("Mul", y, MEAN_STEPS, "steps"), pixels // 2, "half_up")
    y = integer("Div", y, pixels, "mean")
    matrix = graph.constant(f"{name}.weight", np.ascontiguousarray(gate.weight.T.astype(np.int64)))
    y = graph.add("MatMul", [y, matrix], f"{name}.products")
    y = graph.add("Add", [y, graph.constant(f"{name}.bias", gate.bias.astype(np.int64))], f"{name}.sums")
    y = graph.add("Cast", [y], f"{name}.float", to=TensorProto.FLOAT)
    y = graph.add("Mul", [y, graph.constant(f"{name}.scale", gate.scale)], f"{name}.index_float")
    ends = [
        graph.constant(f"{name}.{end}", np.float32(sign * MAX_GATE_INDEX)) for end, sign in (("low", -1), ("high", 1))
    ]
    y = graph.add("Clip", [graph.add("Round", [y], f"{name}.rounded"), *ends], f"{name}.held")
    y = integer("Add", graph.add("Cast", [y], f"{name}.index", to=TensorProto.INT64), MAX_GATE_INDEX, "place")
    y = graph.add("Gather", [graph.constant("gate.table", GATE_TABLE), y], f"{name}.factors")
    y = graph.add("Mul", [y, graph.constant(f"{name}.own_scale", layer.scale)], f"{name}.scales")
    shape = graph.constant(f"{name}.per_channel", np.array([1, -1, 1, 1], np.int64))
    return graph.add("Reshape", [y, shape], f"{name}.out")


def float_factors(graph: Graph, layer: QuantisedConv, gating: str, tensor: TensorScale) -> str:
    """The nodes from a float tensor (NCHW) to what a layer's channels are multiplied by, [1, out, 1, 1]."""
    name, gate = f"{layer.spec.name}.gate", layer.gate
    steps = gate.scale.astype(np.float64) / GATE_STEPS
    weight = gate.weight * steps[:, None] * (MEAN_STEPS / tensor.scale)
    y = graph.add("GlobalAveragePool", [gating], f"{name}.mean")
    matrix = graph.constant(f"{name}.weight", weight.astype(np.float32)[:, :, None, None])
    y = graph.add(
        "Conv", [y, matrix, graph.constant(f"{name}.bias", (gate.bias * steps).astype(np.float32))], f"{name}.z"
    )
    y = graph.add("Sigmoid", [y], f"{name}.sigmoid")
    return graph.add("Mul", [y, graph.constant(f"{name}.two", np.float32(2))], f"{name}.factors")
