"""The quantised network as an int8 TFLite model, for LiteRT with XNNPACK.

Input and output are the image, uint8 [1, H, W, 3] RGB; all between is int8 NHWC with weights per output channel. As in
onnx.py, a convolution with a residual is quantised at its layer's output scale around zero, and ADD joins them. XNNPACK
scales the convolution in float32 as the interpreter does, but adds in fixed point with its own rounding, so a sum
close to a tie may differ by one step.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.export.description import description
from edgedeblur.export.onnx import RESTORED, convolved_scale
from edgedeblur.export.tflite_gate import bent_convolution, convolution_operator, depthwise, gated_convolution
from edgedeblur.export.tflite_operations import operation
from edgedeblur.quantize.network import (
    QuantisedConv,
    QuantisedNetwork,
    QuantisedOp,
    TensorScale,
    image_scale,
    read_scale,
    read_tensor,
)
from edgedeblur.sizes import check_sides
from edgedeblur.storage.files import write_bytes
from edgedeblur.student import IMAGE

try:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
except ImportError:  # the peers extra is not installed; export_tflite says so
    schema = None

SIGNATURE = "serving_default"
_METADATA = "edgedeblur"
_SCHEMA_VERSION = 3
_ALIGNMENT = 16  # of constant data, as the schema's force_align says


def export_tflite(network: QuantisedNetwork, path: str | Path, height: int = 512, width: int = 512) -> None:
    """Writes the network for images of one size.

    Raises:
        UserError: ai-edge-litert is missing, a size that is not a multiple of `spec.multiple`, int16 activations, or
            the file cannot be written.
    """
    write_bytes(path, tflite_model(network, height, width))


def tflite_model(network: QuantisedNetwork, height: int, width: int) -> bytes:
    """As `export_tflite`, in memory."""
    if schema is None:
        raise UserError("TFLite export needs the package ai-edge-litert", 'pip install "edgedeblur[peers]"')
    check_sides(height, width, network.spec.multiple)
    if network.int16_tensors:
        raise UserError(
            f"layer {network.int16_tensors[0]} has int16 activations: TFLite's CONV_2D takes them (int16x8) only where "
            "input and output are both int16; between int8 and int16 a QUANTIZE would round a second time",
            "quantise without int16 activations: a larger --max-drop, or none; compile takes it as it is",
            exit_code=2,
        )
    graph = Graph(network.spec.sizes(height, width))
    pixels = TensorScale(image_scale().scale, 0)
    image = graph.tensor(IMAGE, (height, width, 3), pixels, "UINT8")
    names = {IMAGE: graph.convert(image, "image.int8", (height, width, 3), image_scale(), "INT8")}
    for layer in network.layers:
        emit = operation if isinstance(layer, QuantisedOp) else _layer
        names[layer.spec.name] = emit(graph, network, layer, names)
    restored = graph.convert(names[network.spec.layers[-1].name], RESTORED, (height, width, 3), pixels, "UINT8")
    return graph.finish(network.spec.name, image, restored, description(network, (height, width), "int8"))


def _layer(graph: "Graph", network: QuantisedNetwork, layer: QuantisedConv, names: dict[str, int]) -> int:
    """SPACE_TO_DEPTH, PAD, CONV_2D, DEPTH_TO_SPACE, ADD, as far as the layer has them; the output's tensor number.

    A layer with a gate has no residual and unfolds nothing (tflite_gate.py).
    """
    spec = layer.spec
    height, width = graph.sizes[spec.source]
    x, source = names[spec.source], network.tensors[spec.source]
    if layer.winograd:  # QUANTIZE rounds halves up, as the form does
        shape, source = tuple(graph.tensors[x].shape[1:]), read_tensor(source)
        x = graph.convert(x, f"{spec.name}.half", shape, source, "INT8")
    if spec.space_to_depth > 1:
        height, width = height // spec.space_to_depth, width // spec.space_to_depth
        folded = graph.tensor(f"{spec.name}.folded", (height, width, spec.in_channels), source)
        options = schema.SpaceToDepthOptionsT(blockSize=spec.space_to_depth)
        x = graph.add("SPACE_TO_DEPTH", [x], folded, options, version=2)
    same = spec.stride == 1 or spec.kernel == 1
    if not same:  # SAME would pad even sizes at the end only
        x = _pad(graph, layer, x, (height, width), source)
    size = (height // spec.stride, width // spec.stride)
    options = _window(layer, same)
    if layer.gate is not None:
        return gated_convolution(graph, network, layer, x, names[spec.gate], (options, size))
    if layer.negative_scale is not None:
        y = bent_convolution(graph, network, layer, x, (options, size))
    else:
        y = _convolve(graph, network, layer, x, options, size)
    shape = (*graph.sizes[spec.name], spec.out_channels // spec.depth_to_space**2)
    if spec.depth_to_space > 1:
        shuffled = graph.tensor(f"{spec.name}.shuffled", shape, convolved_scale(network, layer))
        y = graph.add("DEPTH_TO_SPACE", [y], shuffled, schema.DepthToSpaceOptionsT(blockSize=spec.depth_to_space))
    if spec.residual is None:
        return _limited(graph, network, layer, y, shape)
    total = graph.tensor(f"{spec.name}.sum", shape, network.tensors[spec.name])
    options = schema.AddOptionsT(fusedActivationFunction=_activation(spec.relu))
    y = graph.add("ADD", [y, names[spec.residual]], total, options, version=2)
    return _limited(graph, network, layer, y, shape)


def _limited(graph: "Graph", network: QuantisedNetwork, layer: QuantisedConv, y: int, shape: tuple[int, ...]) -> int:
    """MINIMUM, where a limit lies below what the type itself clamps at."""
    if network.high(layer) == 127:
        return y
    name, out = layer.spec.name, network.tensors[layer.spec.name]
    limit = graph.constant(f"{name}.limit", np.full((1, 1, 1, 1), network.high(layer), np.int8), out)
    limited = graph.tensor(f"{name}.limited", shape, out)
    return graph.add("MINIMUM", [y, limit], limited, graph.options("MaximumMinimum"), version=2)


def _pad(graph: "Graph", layer: QuantisedConv, x: int, size: tuple[int, int], scale: TensorScale) -> int:
    """Zeros around the image as far as the windows reach: kernel // 2 before, what the last window needs after."""
    kernel, stride = layer.spec.reach, layer.spec.stride
    before = layer.spec.padding
    after = [max(0, (side // stride - 1) * stride + kernel - before - side) for side in size]
    amounts = np.array([[0, 0], [before, after[0]], [before, after[1]], [0, 0]], np.int32)
    shape = (size[0] + before + after[0], size[1] + before + after[1], layer.spec.in_channels)
    padded = graph.tensor(f"{layer.spec.name}.padded", shape, scale)
    return graph.add(
        "PAD", [x, graph.constant(f"{layer.spec.name}.pads", amounts)], padded, schema.PadOptionsT(), version=2
    )


def _window(layer: QuantisedConv, same: bool) -> Any:
    spec = layer.spec
    shared = {
        "padding": schema.Padding.SAME if same else schema.Padding.VALID,
        "strideW": spec.stride,
        "strideH": spec.stride,
        "dilationWFactor": spec.dilation,
        "dilationHFactor": spec.dilation,
        "fusedActivationFunction": _activation(spec.relu and spec.residual is None),
    }
    return (
        schema.DepthwiseConv2DOptionsT(depthMultiplier=1, **shared)
        if depthwise(spec)
        else schema.Conv2DOptionsT(**shared)
    )


def _convolve(
    graph: "Graph", network: QuantisedNetwork, layer: QuantisedConv, x: int, options: Any, size: tuple[int, int]
) -> int:
    spec = layer.spec
    source_scale = np.float32(read_scale(layer.winograd, network.tensors[spec.source]))
    kind, values, axis = convolution_operator(spec, layer.weight)
    weight = graph.constant(f"{spec.name}.weight", values, layer.weight_scale, axis)
    bias = graph.constant(f"{spec.name}.bias", layer.bias, source_scale * layer.weight_scale)
    output = graph.tensor(f"{spec.name}.conv", (*size, spec.out_channels), convolved_scale(network, layer))
    return graph.add(kind, [x, weight, bias], output, options, version=3)


def _activation(relu: bool) -> int:
    return schema.ActivationFunctionType.RELU if relu else schema.ActivationFunctionType.NONE


class Graph:
    """Tensors, operators and buffers as they are added; numbers are positions in the model's lists."""

    def __init__(self, sizes: dict[str, tuple[int, int]]) -> None:
        self.sizes = sizes  # height and width of every tensor of the network
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: list[tuple[str, int]] = []
        self.buffers: list[np.ndarray] = [np.zeros(0, np.uint8)]  # the first is empty by convention

    def tensor(self, name: str, shape: tuple[int, ...], scale: TensorScale, dtype: str = "INT8") -> int:
        """An activation [1, *shape]."""
        quantisation = schema.QuantizationParametersT(scale=[float(scale.scale)], zeroPoint=[scale.zero_point])
        return self._append(name, [1, *shape], dtype, 0, quantisation)

    def constant(
        self, name: str, value: np.ndarray, scale: np.ndarray | TensorScale | None = None, axis: int = 0
    ) -> int:
        """Constant data, quantised along an axis where `scale` is an array, as a whole where it is a tensor's."""
        quantisation = None
        if isinstance(scale, TensorScale):
            quantisation = schema.QuantizationParametersT(scale=[float(scale.scale)], zeroPoint=[scale.zero_point])
        elif scale is not None:
            quantisation = schema.QuantizationParametersT(
                scale=scale.tolist(), zeroPoint=[0] * len(scale), quantizedDimension=axis
            )
        data = np.frombuffer(np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes(), np.uint8)
        self.buffers.append(data)
        return self._append(name, list(value.shape), value.dtype.name.upper(), len(self.buffers) - 1, quantisation)

    def floats(self, name: str, shape: tuple[int, ...]) -> int:
        """An activation [1, *shape], float32."""
        return self._append(name, [1, *shape], "FLOAT32", 0, None)

    def integers(self, name: str, shape: tuple[int, ...]) -> int:
        """Values [1, *shape], int32."""
        return self._append(name, [1, *shape], "INT32", 0, None)

    def dequantise(self, x: int, name: str) -> int:
        """DEQUANTIZE: an int8 activation's real values, float32."""
        output = self._append(name, self.tensors[x].shape, "FLOAT32", 0, None)
        return self.add("DEQUANTIZE", [x], output, schema.DequantizeOptionsT(), version=2)

    def options(self, kind: str, **fields: Any) -> Any:
        """The options of an operator: `options("Mul")`."""
        return getattr(schema, f"{kind}OptionsT")(**fields)

    def add(self, kind: str, inputs: list[int], output: int, options: Any = None, version: int = 1) -> int:
        """An operator with one output; returns the output."""
        code = (kind, version)
        if code not in self.codes:
            self.codes.append(code)
        self.operators.append(
            schema.OperatorT(
                opcodeIndex=self.codes.index(code),
                inputs=inputs,
                outputs=[output],
                builtinOptionsType=_options_type(options),
                builtinOptions=options,
            )
        )
        return output

    def convert(self, x: int, name: str, shape: tuple[int, ...], scale: TensorScale, dtype: str) -> int:
        """QUANTIZE: the same real values at another scale or type."""
        output = self.tensor(name, shape, scale, dtype)
        return self.add("QUANTIZE", [x], output, schema.QuantizeOptionsT())

    def finish(self, name: str, image: int, restored: int, said: dict[str, str]) -> bytes:
        """The model file's bytes. said: goes into the metadata, as JSON under the key "edgedeblur"."""
        ends = [(IMAGE, image), (RESTORED, restored)]
        source, result = ([schema.TensorMapT(end.encode(), tensor)] for end, tensor in ends)
        self.buffers.append(np.frombuffer(json.dumps(said, indent=1).encode(), np.uint8))
        subgraph = schema.SubGraphT(
            tensors=self.tensors, inputs=[image], outputs=[restored], operators=self.operators, name=name
        )
        model = schema.ModelT(
            version=_SCHEMA_VERSION,
            operatorCodes=[_operator_code(kind, version) for kind, version in self.codes],
            subgraphs=[subgraph],
            description="edgedeblur",
            signatureDefs=[schema.SignatureDefT(source, result, SIGNATURE.encode(), 0)],
            metadata=[schema.MetadataT(_METADATA.encode(), len(self.buffers) - 1)],
            buffers=[_AlignedBuffer(data) for data in self.buffers],
        )
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _append(self, name: str, shape: list[int], dtype: str, buffer: int, quantisation: Any) -> int:
        kind = getattr(schema.TensorType, dtype)
        self.tensors.append(
            schema.TensorT(shape=shape, type=kind, buffer=buffer, name=name, quantization=quantisation, hasRank=True)
        )
        return len(self.tensors) - 1


def _options_type(options: Any) -> int:
    name = "NONE" if options is None else type(options).__name__.removesuffix("T")
    return getattr(schema.BuiltinOptions, name)


def _operator_code(kind: str, version: int) -> Any:
    number = getattr(schema.BuiltinOperator, kind)
    return schema.OperatorCodeT(deprecatedBuiltinCode=min(number, 127), version=version, builtinCode=number)


class _AlignedBuffer:
    """A buffer whose data starts at a multiple of 16, which the generated Python classes do not do."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = data

    def Pack(self, builder: Any) -> int:
        vector = None
        if len(self.data):
            builder.StartVector(1, len(self.data), _ALIGNMENT)
            builder.head = builder.head - len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = self.data.tobytes()
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)
