"""Layers without weights as TFLite: on integers where TFLite's operators keep them, else in float32 between DEQUANTIZE
and QUANTIZE, which round as the interpreter does but for values close to a tie."""

from typing import TYPE_CHECKING

import numpy as np

from edgedeblur.quantize.network import QuantisedNetwork, QuantisedOp

if TYPE_CHECKING:
    from edgedeblur.export.tflite import Graph


def operation(graph: "Graph", network: QuantisedNetwork, layer: QuantisedOp, names: dict[str, int]) -> int:
    """The operators of one layer; the number of its output, int8 [1, H, W, C], from int8 tensors."""
    spec, name, combine = layer.spec, layer.spec.name, layer.spec.operation.combine
    shape, out = (*graph.sizes[name], spec.out_channels), network.tensors[name]
    read = [_part(graph, network, layer, index, names[source]) for index, source in enumerate(spec.sources)]
    if combine == "table":
        return _looked_up(graph, network, layer, read[0])
    if combine == "maximum":
        return _picked(graph, network, layer, read[0])
    if combine == "concatenate":
        channels = network.spec.channels()
        parts = [
            graph.convert(x, f"{name}.part{index}", (*graph.sizes[name], channels[source]), out, "INT8")
            for index, (x, source) in enumerate(zip(read, spec.sources, strict=True))
        ]
        options = graph.options("Concatenation", axis=3)
        return graph.add("CONCATENATION", parts, graph.tensor(name, shape, out), options, version=2)
    reals = [graph.dequantise(x, f"{name}.float{index}") for index, x in enumerate(read)]
    made = graph.floats(f"{name}.float", shape)
    if combine == "mean":
        axes = graph.constant(f"{name}.axes", np.array([1, 2], np.int32))
        graph.add("MEAN", [*reals, axes], made, graph.options("Reducer", keepDims=True))
    elif spec.op == "average_pool2":
        graph.add("AVERAGE_POOL_2D", reals, made, _pool(graph, 2))
    elif spec.op == "bilinear2":
        size = graph.constant(f"{name}.size", np.array(graph.sizes[name], np.int32))
        options = graph.options("ResizeBilinear", alignCorners=False, halfPixelCenters=True)
        graph.add("RESIZE_BILINEAR", [*reals, size], made, options, version=3)
    else:
        kind, options = {"add": ("ADD", "Add"), "multiply": ("MUL", "Mul")}[combine]
        graph.add(kind, reals, made, graph.options(options))
    return graph.convert(made, name, shape, out, "INT8")


def _part(graph: "Graph", network: QuantisedNetwork, layer: QuantisedOp, index: int, x: int) -> int:
    """The channels of a source that the layer reads: SLICE."""
    spec, source = layer.spec, layer.spec.sources[index]
    if not spec.starts or network.spec.channels()[source] == spec.out_channels:
        return x
    height, width = graph.sizes[source]
    begin = graph.constant(f"{spec.name}.begin{index}", np.array([0, 0, 0, spec.start(index)], np.int32))
    size = graph.constant(f"{spec.name}.size{index}", np.array([1, height, width, spec.out_channels], np.int32))
    part = graph.tensor(f"{spec.name}.slice{index}", (height, width, spec.out_channels), network.tensors[source])
    return graph.add("SLICE", [x, begin, size], part, graph.options("Slice"), version=2)


def _looked_up(graph: "Graph", network: QuantisedNetwork, layer: QuantisedOp, x: int) -> int:
    """GATHER from the table by q + 128."""
    spec, name, out = layer.spec, layer.spec.name, network.tensors[layer.spec.name]
    shape = (*graph.sizes[name], spec.out_channels)
    wide = graph.add("CAST", [x], graph.integers(f"{name}.wide", shape), graph.options("Cast"))
    shift = graph.constant(f"{name}.shift", np.array([128], np.int32))
    index = graph.add("ADD", [wide, shift], graph.integers(f"{name}.index", shape), graph.options("Add"))
    table = graph.constant(f"{name}.table", layer.table, out)
    return graph.add("GATHER", [table, index], graph.tensor(name, shape, out), graph.options("Gather"), version=2)


def _picked(graph: "Graph", network: QuantisedNetwork, layer: QuantisedOp, x: int) -> int:
    """What keeps some of the source's integers."""
    spec, name, out = layer.spec, layer.spec.name, network.tensors[layer.spec.name]
    shape = (*graph.sizes[name], spec.out_channels)
    if spec.op == "part":
        return x
    if spec.op == "nearest2":
        size = graph.constant(f"{name}.size", np.array(graph.sizes[name], np.int32))
        options = graph.options("ResizeNearestNeighbor", alignCorners=False, halfPixelCenters=False)
        return graph.add("RESIZE_NEAREST_NEIGHBOR", [x, size], graph.tensor(name, shape, out), options, version=2)
    if spec.op == "max_pool3":  # SAME would pad even sizes at the end
        height, width = graph.sizes[spec.source]
        pads = graph.constant(f"{name}.pads", np.array([[0, 0], [1, 0], [1, 0], [0, 0]], np.int32))
        lowest = graph.constant(f"{name}.lowest", np.array([-128], np.int8), out)
        padded = graph.tensor(f"{name}.padded", (height + 1, width + 1, spec.out_channels), out)
        x = graph.add("PADV2", [x, pads, lowest], padded, graph.options("PadV2"), version=2)
    side = 3 if spec.op == "max_pool3" else 2
    return graph.add("MAX_POOL_2D", [x], graph.tensor(name, shape, out), _pool(graph, side), version=2)


def _pool(graph: "Graph", side: int):
    return graph.options("Pool2D", padding=1, strideW=2, strideH=2, filterWidth=side, filterHeight=side)  # 1: VALID
