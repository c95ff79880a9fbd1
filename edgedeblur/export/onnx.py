"""The quantised network as ONNX: standard operators between quantise/dequantise pairs, ONNX Runtime's integer ones,
plain integer ones, or float32 ones.

Input and output are the image, uint8 [1, H, W, 3] RGB. A convolution whose layer adds a residual is quantised at the
layer's output scale, so one addition joins them: `round(conv + residual * ratio)`. That is the interpreter's sum unless
the convolution alone leaves int8 (it saturates here before the addition; calibration leaves room for what it saw, see
quantize/decide.py) or the sum falls on a tie. Where neither happens the bytes are the interpreter's.

On x86 without VNNI ONNX Runtime's kernels for uint8 by int8 add pairs of products in 16 bits, which saturates; the
session option `session.x64quantprecision` = "1" makes them exact there and changes nothing elsewhere.

Layers with gates or prelu are in plain integer operators in all forms but float32, see onnx_integer.py.
"""

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgedeblur.errors import UserError
from edgedeblur.export.description import description
from edgedeblur.export.onnx_gate import float_factors
from edgedeblur.export.onnx_graph import Graph, folded, limited, oihw, read_source, unfolded, window
from edgedeblur.export.onnx_integer import integer_layer
from edgedeblur.export.onnx_operations import float_operation, integer_operation
from edgedeblur.quantize.network import (
    IMAGE_SCALE,
    QuantisedConv,
    QuantisedNetwork,
    QuantisedOp,
    TensorScale,
    read_scale,
)
from edgedeblur.sizes import check_sides
from edgedeblur.storage.files import atomic_path
from edgedeblur.student import IMAGE

Form = Literal["qdq", "qlinear", "integer", "float"]
FORMS: tuple[str, ...] = get_args(Form)
OPSET = 17
RESTORED = "restored"
IR_VERSION = 8


def export_onnx(
    network: QuantisedNetwork, path: str | Path, height: int = 512, width: int = 512, form: Form = "qdq"
) -> None:
    """Writes the network for images of one size.

    Args:
        form: "qdq" runs anywhere that reads ONNX and is fused to integer kernels by runtimes that know the pattern;
            "qlinear" uses QLinearConv and ONNX Runtime's QLinearAdd; "integer" gives the interpreter's bytes with
            standard operators, and is slower; "float" computes in float32 with the dequantised weights: what the
            network costs, and gives, without int8.

    Raises:
        UserError: no such form, a size that is not a multiple of `spec.multiple`, int16 activations in another form
            than "float", or the file cannot be written.
    """
    model = onnx_model(network, height, width, form)
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def onnx_model(network: QuantisedNetwork, height: int, width: int, form: Form = "qdq") -> onnx.ModelProto:
    """As `export_onnx`, in memory."""
    if form not in FORMS:
        raise UserError(f"no ONNX form {form!r}; there are {', '.join(FORMS)}", exit_code=2)
    check_sides(height, width, network.spec.multiple)
    if network.int16_tensors and form != "float":
        raise UserError(
            f"layer {network.int16_tensors[0]} has int16 activations: QLinearConv and ConvInteger take int8 only, and "
            "between quantise/dequantise pairs (opset 21) runtimes convolve int16 in float32, whose sums are not exact "
            "from 2^24 on, so the bytes would not be edgedeblur's",
            "--form float, or quantise without int16 activations: a larger --max-drop, or none",
            exit_code=2,
        )
    graph = Graph(network.spec.sizes(height, width))
    names = {IMAGE: graph.add("Transpose", [IMAGE], "image.nchw", perm=[0, 3, 1, 2])}
    if form == "float":
        names[IMAGE] = _pixels_to_real(graph, names[IMAGE])
    for layer in network.layers:
        if isinstance(layer, QuantisedOp):
            nodes = float_operation if form == "float" else integer_operation
            names[layer.spec.name] = nodes(graph, network, layer, names)
            continue
        spelt_out = (layer.gate is not None or layer.negative_scale is not None) and form != "float"
        nodes = integer_layer if spelt_out else _LAYER_NODES[form]
        names[layer.spec.name] = nodes(graph, network, layer, names)
    last = names[network.spec.layers[-1].name]
    graph.add("Transpose", [_real_to_pixels(graph, last) if form == "float" else last], RESTORED, perm=[0, 2, 3, 1])
    shape = [1, height, width, 3]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            network.spec.name,
            [helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, shape)],
            [helper.make_tensor_value_info(RESTORED, TensorProto.UINT8, shape)],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in graph.constants.items()],
        ),
        producer_name="edgedeblur",
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(model, description(network, (height, width), form))
    return model


def _qdq_layer(graph: Graph, network: QuantisedNetwork, layer: QuantisedConv, names: dict[str, str]) -> str:
    """Dequantise, convolve, quantise; then dequantise, add, quantise. Rearrangements move integers."""
    spec, name = layer.spec, layer.spec.name
    source, read = read_source(graph, network, layer, names)
    x = graph.add("DequantizeLinear", [source, *read], f"{name}.x")
    weight_scale = graph.constant(f"{name}.weight_scale", layer.weight_scale)
    weight = graph.constant(f"{name}.weight", oihw(layer.weight))
    weight_zero = graph.constant(f"{name}.weight_zero", np.zeros(len(layer.weight), np.int8))
    w = graph.add("DequantizeLinear", [weight, weight_scale, weight_zero], f"{name}.w", axis=0)
    bias_scale = np.float32(read_scale(layer.winograd, network.tensors[spec.source])) * layer.weight_scale
    bias = graph.constant(f"{name}.bias", layer.bias)
    bias_scale = graph.constant(f"{name}.bias_scale", bias_scale)
    bias_zero = graph.constant(f"{name}.bias_zero", np.zeros(len(layer.bias), np.int32))
    b = graph.add("DequantizeLinear", [bias, bias_scale, bias_zero], f"{name}.b", axis=0)
    y = graph.add("Conv", [x, w, b], f"{name}.conv", **window(layer))
    out = graph.scale(name, network.tensors[name])
    if spec.residual is None:
        y = graph.add("Relu", [y], f"{name}.relu") if spec.relu else y
        y = graph.add("QuantizeLinear", [y, *out], f"{name}.q")
        return unfolded(graph, layer, limited(graph, network, layer, y))
    centred = graph.scale(f"{name}.convolved", convolved_scale(network, layer))
    convolved = unfolded(graph, layer, graph.add("QuantizeLinear", [y, *centred], f"{name}.conv_q"))
    y = graph.add("DequantizeLinear", [convolved, *centred], f"{name}.conv_dq")
    residual = graph.scale(spec.residual, network.tensors[spec.residual])
    other = graph.add("DequantizeLinear", [names[spec.residual], *residual], f"{name}.residual")
    y = graph.add("Add", [y, other], f"{name}.sum")
    y = graph.add("Relu", [y], f"{name}.relu") if spec.relu else y
    return limited(graph, network, layer, graph.add("QuantizeLinear", [y, *out], f"{name}.q"))


def _qlinear_layer(graph: Graph, network: QuantisedNetwork, layer: QuantisedConv, names: dict[str, str]) -> str:
    """QLinearConv; then com.microsoft's QLinearAdd."""
    spec, name = layer.spec, layer.spec.name
    result = convolved_scale(network, layer)
    source, read = read_source(graph, network, layer, names)
    inputs = [
        source,
        *read,
        graph.constant(f"{name}.weight", oihw(layer.weight)),
        graph.constant(f"{name}.weight_scale", layer.weight_scale),
        graph.constant(f"{name}.weight_zero", np.zeros(len(layer.weight), np.int8)),
        *graph.scale(f"{name}.convolved", result),
        graph.constant(f"{name}.bias", layer.bias),
    ]
    y = unfolded(graph, layer, graph.add("QLinearConv", inputs, f"{name}.conv", **window(layer)))
    out = network.tensors[name]
    if spec.residual is not None:
        inputs = [
            y,
            *graph.scale(f"{name}.convolved", result),
            names[spec.residual],
            *graph.scale(spec.residual, network.tensors[spec.residual]),
            *graph.scale(name, out),
        ]
        y = graph.add("QLinearAdd", inputs, f"{name}.sum", domain="com.microsoft")
    if spec.relu and out.zero_point > -128:  # else the type itself clamps at real zero
        y = graph.add("Max", [y, graph.scale(name, out)[1]], f"{name}.relu")
    return limited(graph, network, layer, y)


def _float_layer(graph: Graph, network: QuantisedNetwork, layer: QuantisedConv, names: dict[str, str]) -> str:
    """Convolve, add, rectify in float32."""
    spec, name = layer.spec, layer.spec.name
    weight = layer.weight * layer.weight_scale[:, None, None, None]
    bias = layer.bias * (np.float32(read_scale(layer.winograd, network.tensors[spec.source])) * layer.weight_scale)
    inputs = [
        folded(graph, layer, names),
        graph.constant(f"{name}.weight", oihw(weight.astype(np.float32))),
        graph.constant(f"{name}.bias", bias.astype(np.float32)),
    ]
    y = graph.add("Conv", inputs, f"{name}.conv", **window(layer))
    if layer.negative_scale is not None:
        slope = graph.constant(f"{name}.slope", (layer.negative_scale / layer.scale).reshape(-1, 1, 1))
        y = graph.add("PRelu", [y, slope], f"{name}.prelu")
    y = unfolded(graph, layer, y)
    if spec.residual is not None:
        y = graph.add("Add", [y, names[spec.residual]], f"{name}.sum")
    y = graph.add("Relu", [y], f"{name}.relu") if spec.relu else y
    if spec.limit is not None:
        y = graph.add("Min", [y, graph.constant(f"{name}.limit", np.float32(spec.limit))], f"{name}.limited")
    if layer.gate is None:
        return y
    factors = float_factors(graph, layer, names[spec.gate], network.tensors[spec.gate])
    return graph.add("Mul", [y, factors], f"{name}.gated")


def _pixels_to_real(graph: Graph, image: str) -> str:
    x = graph.add("Cast", [image], "image.float", to=TensorProto.FLOAT)
    return graph.add("Mul", [x, graph.constant("image.scale", np.float32(IMAGE_SCALE))], "image.real")


def _real_to_pixels(graph: Graph, restored: str) -> str:
    y = graph.add("Mul", [restored, graph.constant("restored.scale", np.float32(1 / IMAGE_SCALE))], "restored.scaled")
    ends = [graph.constant("restored.low", np.float32(0)), graph.constant("restored.high", np.float32(255))]
    y = graph.add("Round", [graph.add("Clip", [y, *ends], "restored.clipped")], "restored.rounded")
    return graph.add("Cast", [y], "restored.pixels", to=TensorProto.UINT8)


_LAYER_NODES = {"qdq": _qdq_layer, "qlinear": _qlinear_layer, "integer": integer_layer, "float": _float_layer}


def convolved_scale(network: QuantisedNetwork, layer: QuantisedConv) -> TensorScale:
    """How the convolution alone is quantised: as the output; around zero where a residual is still to be added."""
    out = network.tensors[layer.spec.name]
    return out if layer.spec.residual is None else TensorScale(out.scale, 0)
