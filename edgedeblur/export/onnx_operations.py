"""Layers without weights as ONNX: in the integer forms by plain operators, so that the bytes are the interpreter's.

Values between are integers below 2^24, or sixteenths of them, in float32, which holds them exactly; each product with
a scale is rounded once, as the interpreter rounds it.
"""

import math

import numpy as np
from onnx import TensorProto

from edgedeblur.export.onnx_graph import UNSIGNED, Graph
from edgedeblur.quantize.network import MEAN_STEPS, QuantisedNetwork, QuantisedOp
from edgedeblur.student.operations import OpSpec

_ABOVE_MEANS = 1 << 16  # added to means, so that division, which rounds towards zero, rounds down


def integer_operation(graph: Graph, network: QuantisedNetwork, layer: QuantisedOp, names: dict[str, str]) -> str:
    """The nodes of one layer; the name of its output, uint8 NCHW, from tensors that are so."""
    spec, name, combine = layer.spec, layer.spec.name, layer.spec.operation.combine
    read = [_part(graph, network, spec, index, names[source]) for index, source in enumerate(spec.sources)]
    if combine == "table":
        index = graph.add("Cast", read, f"{name}.index", to=TensorProto.INT32)
        table = graph.constant(f"{name}.table", (layer.table.astype(np.int16) + UNSIGNED).astype(np.uint8))
        return graph.add("Gather", [table, index], name)
    if combine == "maximum":
        return _window(graph, spec, read[0], name)
    if combine == "mean":
        return _quantised(graph, network, layer, _mean(graph, network, layer, read[0]), 0, name)
    centred = [_centred(graph, network, spec, index, x) for index, x in enumerate(read)]
    if combine == "multiply":
        return _quantised(graph, network, layer, graph.add("Mul", centred, f"{name}.product"), 0, name)
    if combine == "weigh":
        divisor = graph.constant(f"{name}.divisor", np.float32(spec.operation.divisor))
        sums = graph.add("Mul", [_window(graph, spec, centred[0], f"{name}.window"), divisor], f"{name}.sums")
        return _quantised(graph, network, layer, sums, 0, name)
    if combine == "concatenate":
        parts = [_quantised(graph, network, layer, x, index, f"{name}.q{index}") for index, x in enumerate(centred)]
        return graph.add("Concat", parts, name, axis=1)
    scaled = [_scaled(graph, layer, x, index) for index, x in enumerate(centred)]
    addends = [graph.add("Round", [x], f"{name}.rounded{index}") for index, x in enumerate(scaled)]
    one = graph.constant(f"{name}.one", np.float32(1))
    total = graph.add("Add", addends, f"{name}.total")
    return graph.add("QuantizeLinear", [total, one, graph.zero_point(name, network.tensors[name])], name)


def float_operation(graph: Graph, network: QuantisedNetwork, layer: QuantisedOp, names: dict[str, str]) -> str:
    """The same in float32, from float32 tensors NCHW."""
    spec, name, combine = layer.spec, layer.spec.name, layer.spec.operation.combine
    read = [_part(graph, network, spec, index, names[source]) for index, source in enumerate(spec.sources)]
    if combine == "table":
        return _function(graph, spec, read[0])
    if combine in ("maximum", "weigh"):
        return _window(graph, spec, read[0], name)
    if combine == "mean":
        return graph.add("GlobalAveragePool", read, name)
    if combine == "concatenate":
        return graph.add("Concat", read, name, axis=1)
    return graph.add({"add": "Add", "multiply": "Mul"}[combine], read, name)


def _part(graph: Graph, network: QuantisedNetwork, spec: OpSpec, index: int, x: str) -> str:
    """The channels of a source that the layer reads."""
    channels, start = network.spec.channels()[spec.sources[index]], spec.start(index)
    if not spec.starts or channels == spec.out_channels:
        return x
    ends = [
        graph.constant(f"{spec.name}.{what}{index}", np.array([value], np.int64))
        for what, value in (("first", start), ("end", start + spec.out_channels), ("axis", 1))
    ]
    return graph.add("Slice", [x, *ends], f"{spec.name}.part{index}")


def _centred(graph: Graph, network: QuantisedNetwork, spec: OpSpec, index: int, x: str) -> str:
    name = f"{spec.name}.source{index}"
    zero = graph.constant(f"{name}.zero", np.float32(network.tensors[spec.sources[index]].zero_point + UNSIGNED))
    return graph.add("Sub", [graph.add("Cast", [x], f"{name}.float", to=TensorProto.FLOAT), zero], f"{name}.centred")


def _scaled(graph: Graph, layer: QuantisedOp, x: str, index: int) -> str:
    scale = graph.constant(f"{layer.spec.name}.ratio{index}", np.float32(layer.scales[index]))
    return graph.add("Mul", [x, scale], f"{layer.spec.name}.scaled{index}")


def _quantised(graph: Graph, network: QuantisedNetwork, layer: QuantisedOp, x: str, index: int, output: str) -> str:
    """Integers times their scale, rounded, with the output's zero point, saturated."""
    name = layer.spec.name
    one = graph.constant(f"{name}.one", np.float32(1))
    scaled = _scaled(graph, layer, x, index)
    return graph.add("QuantizeLinear", [scaled, one, graph.zero_point(name, network.tensors[name])], output)


def _window(graph: Graph, spec: OpSpec, x: str, output: str) -> str:
    """Pooling and resizing, which ONNX has for uint8 and float32 alike."""
    if spec.op == "part":
        return graph.add("Identity", [x], output)
    if spec.op in ("max_pool2", "max_pool3", "average_pool2"):
        kind, side = ("AveragePool" if spec.op == "average_pool2" else "MaxPool"), 3 if spec.op == "max_pool3" else 2
        pads = [1, 1, 0, 0] if side == 3 else [0] * 4  # sides are even: behind them no window reaches
        return graph.add(kind, [x], output, kernel_shape=[side] * 2, strides=[2, 2], pads=pads)
    twice = graph.constant("twice", np.array([1, 1, 2, 2], np.float32))
    if spec.op == "nearest2":
        ways = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        ways = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return graph.add("Resize", [x, "", twice], output, **ways)


def _mean(graph: Graph, network: QuantisedNetwork, layer: QuantisedOp, x: str) -> str:
    """The mean of every channel in 1/MEAN_STEPS of a step, rounded half up: an integer, float32 [1, C, 1, 1]."""
    spec, name = layer.spec, layer.spec.name
    pixels = math.prod(graph.sizes[spec.source])
    zero_point = network.tensors[spec.source].zero_point + UNSIGNED

    def integer(kind: str, x: str, value: int, what: str) -> str:
        return graph.add(kind, [x, graph.constant(f"{name}.{what}_by", np.int64(value))], f"{name}.{what}")

    y = graph.add("Cast", [x], f"{name}.long", to=TensorProto.INT64)
    axes = graph.constant(f"{name}.axes", np.array([2, 3], np.int64))
    y = graph.add("ReduceSum", [y, axes], f"{name}.stored", keepdims=1)
    y = integer("Mul", integer("Sub", y, pixels * zero_point, "total"), MEAN_STEPS, "steps")
    y = integer("Div", integer("Add", y, pixels // 2 + _ABOVE_MEANS * pixels, "half_up"), pixels, "above")
    return graph.add("Cast", [integer("Sub", y, _ABOVE_MEANS, "mean")], f"{name}.mean.float", to=TensorProto.FLOAT)


def _function(graph: Graph, spec: OpSpec, x: str) -> str:
    """A function of each value; those that ONNX has no operator for in the opset of the file are made of others."""
    name, parameter = spec.name, spec.parameter
    plain = {
        "relu": ("Relu", {}),
        "leaky_relu": ("LeakyRelu", {"alpha": parameter}),
        "hardswish": ("HardSwish", {}),
        "hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
        "sigmoid": ("Sigmoid", {}),
        "tanh": ("Tanh", {}),
        "elu": ("Elu", {"alpha": parameter}),
        "softplus": ("Softplus", {}),
    }
    if spec.op in plain:
        kind, attributes = plain[spec.op]
        return graph.add(kind, [x], name, **attributes)
    if spec.op == "relu6":
        ends = [graph.constant(f"{name}.{end}", np.float32(value)) for end, value in (("low", 0), ("high", 6))]
        return graph.add("Clip", [x, *ends], name)
    if spec.op == "silu":
        factor = graph.add("Sigmoid", [x], f"{name}.sigmoid")
    elif spec.op == "mish":
        factor = graph.add("Tanh", [graph.add("Softplus", [x], f"{name}.softplus")], f"{name}.tanh")
    else:  # gelu
        root, one, half = (
            graph.constant(f"{name}.{what}", np.float32(value))
            for what, value in (("root", 1 / math.sqrt(2)), ("one", 1), ("half", 0.5))
        )
        erf = graph.add("Erf", [graph.add("Mul", [x, root], f"{name}.in")], f"{name}.erf")
        factor = graph.add("Mul", [graph.add("Add", [erf, one], f"{name}.above"), half], f"{name}.share")
    return graph.add("Mul", [x, factor], name)
