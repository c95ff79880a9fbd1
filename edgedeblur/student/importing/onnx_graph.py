"""A float ONNX file's graph, its operators as ATen's: what a network is exported to by torch, TensorFlow and others."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.reference
import torch
from onnx import TensorProto, numpy_helper, shape_inference

from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin, read_contents
from edgedeblur.student.importing.graph import SIDES, Graph, Node, Ref
from edgedeblur.student.importing.importer import import_graph, require_equal
from edgedeblur.student.module import Student
from edgedeblur.student.user_module import first_line

_MOST_PIXELS = 1 << 20  # of an image of fixed size; every element's place is followed
_LARGEST = 256 << 20  # bytes; 5 M parameters in float64 are 40 MB
_FIX = "export the network again as float32, with one image [1, 3, H, W] in [0, 1]"


def import_onnx(path: str | Path) -> Student:
    """The network in a float ONNX file as a student with its weights.

    Args:
        path: a model with one input, float32 [N, 3, H, W] in [0, 1], and one output of its shape. Sides may be dynamic.

    Raises:
        UserError: no such file, no such model, operators that are not taken, 5 M parameters or more.
    """
    graph, model = _read(Path(path))
    student = import_graph(graph, str(path))
    if math.prod(graph.sides) <= math.prod(SIDES):
        require_equal(student, lambda image: _run(model, graph, image), str(path), graph.sides)
    return student


def _run(model: onnx.ModelProto, graph: Graph, image: torch.Tensor) -> torch.Tensor:
    """By ONNX's own reference in NumPy, which is slow."""
    evaluator = onnx.reference.ReferenceEvaluator(model)
    return torch.from_numpy(evaluator.run([graph.output], {graph.image: image.numpy()})[0])


def _read(path: Path) -> tuple[Graph, onnx.ModelProto]:
    origin = Origin(str(path), _FIX)
    data = read_contents(path, _LARGEST, origin)
    try:
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
        image, output = _interface(model.graph, origin)
        inferred = shape_inference.infer_shapes(model, strict_mode=False, data_prop=True).graph
        return _graph(inferred, image, output, origin), model
    except UserError:
        raise
    except Exception as error:  # protobuf, onnx's checker, NumPy: whatever a damaged file leads to
        raise origin.error(f"not a readable ONNX model: {first_line(error)}") from None


def _interface(graph: onnx.GraphProto, origin: Origin) -> tuple[str, str]:
    """Names of the image and of the output; the image's dynamic sides become those that networks are traced at."""
    stored = {each.name for each in graph.initializer}
    inputs = [each for each in graph.input if each.name not in stored]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise origin.error(f"it has {len(inputs)} inputs and {len(graph.output)} outputs; one of each is needed")
    kind = inputs[0].type.tensor_type
    dims = kind.shape.dim
    if kind.elem_type != TensorProto.FLOAT or len(dims) != 4 or dims[1].dim_value not in (0, 3):
        raise origin.error("its input is not float32 [N, 3, H, W]")
    sides = [dim.dim_value or side for dim, side in zip(dims[2:], SIDES, strict=True)]
    if math.prod(sides) > _MOST_PIXELS:
        raise origin.error(f"it is for images of {sides[0]}x{sides[1]}; export it with dynamic sides, or smaller ones")
    for dim, side in zip(dims, (1, 3, *sides), strict=True):
        dim.dim_value = side
    del graph.value_info[:]
    graph.output[0].type.tensor_type.ClearField("shape")
    return inputs[0].name, graph.output[0].name


def _graph(graph: onnx.GraphProto, image: str, output: str, origin: Origin) -> Graph:
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    shapes = {each.name: _shape(each) for each in [*graph.value_info, *graph.output, *graph.input]}
    nodes = []
    for number, node in enumerate(graph.node):
        attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant(attributes)
        elif node.op_type == "Identity" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
        else:
            inputs = [_argument(name, constants) for name in node.input]
            shape = shapes.get(node.output[0], ())
            operator, arguments = _translated(node.op_type, inputs, attributes, shape)
            nodes.append(Node(node.output[0], operator, _place(node, number), arguments, shape))
    if shapes.get(output) not in (shapes[image], ()):
        raise origin.error(f"its output is {list(shapes[output])} for an image {list(shapes[image])}")
    return Graph(tuple(nodes), image, output, shapes[image][2:])


def _place(node: onnx.NodeProto, number: int) -> str:
    """The module that a node's weights are called after, as torch exports them, else the node's name."""
    weights = [name.rpartition(".")[0] for name in node.input[1:] if name.endswith(".weight")]
    return next(iter(weights), "") or node.name.strip("/").replace("/", ".") or f"{node.op_type}{number}"


def _argument(name: str, constants: dict[str, np.ndarray]) -> Any:
    if not name:
        return None
    stored = constants.get(name)
    if stored is None:
        return Ref(name)
    return stored.astype(np.float64) if np.issubdtype(stored.dtype, np.floating) else stored


def _constant(attributes: dict[str, Any]) -> np.ndarray:
    value = attributes.get("value")
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(next(iter(attributes.values())))


def _shape(info: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)


def _translated(
    kind: str, inputs: list[Any], attributes: dict[str, Any], shape: tuple[int, ...]
) -> tuple[str, dict[str, Any]]:
    """An ONNX operator as ATen's with its arguments by name; one that is not in the table under its own name."""
    if kind in _RESHAPES and shape and all(shape):  # however the shape is computed, it is known by now
        return "reshape", {"input": inputs[0], "shape": list(shape)}
    translate = _TRANSLATIONS.get(kind)
    if translate is None:
        return _NAMES.get(kind, kind), {f"argument{number}": value for number, value in enumerate(inputs)}
    return translate(inputs, attributes)


def _conv(inputs: list[Any], attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    pads = attributes.get("pads", [0, 0, 0, 0])
    padding: Any = list(pads[:2]) if list(pads[:2]) == list(pads[2:]) else str(pads)
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
        padding = attributes["auto_pad"].decode()
        padding = "same" if padding.startswith("SAME") else padding
    names = ("input", "weight", "bias")
    return "conv2d", dict(zip(names, inputs, strict=False)) | {
        "stride": list(attributes.get("strides", [1, 1])),
        "padding": padding,
        "dilation": list(attributes.get("dilations", [1, 1])),
        "groups": attributes.get("group", 1),
    }


def _batch_norm(inputs: list[Any], attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    names = ("input", "weight", "bias", "running_mean", "running_var")
    training = bool(attributes.get("training_mode", 0))
    return "batch_norm", dict(zip(names, inputs, strict=True)) | {
        "eps": attributes.get("epsilon", 1e-5),
        "training": training,
    }


def _gemm(inputs: list[Any], attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    weight = inputs[1] if attributes.get("transB", 0) or isinstance(inputs[1], Ref) else inputs[1].T
    bias = inputs[2] if len(inputs) > 2 else None
    plain = attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1 and not attributes.get("transA", 0)
    return ("linear" if plain else "Gemm"), {"input": inputs[0], "weight": weight, "bias": bias}


def _clip(inputs: list[Any], attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    ends = [*inputs[1:], None, None][:2]
    low = attributes.get("min") if ends[0] is None else ends[0]
    high = attributes.get("max") if ends[1] is None else ends[1]
    high = None if high is not None and not isinstance(high, Ref) and not math.isfinite(float(high)) else high
    return "clamp", {"input": inputs[0], "min": low, "max": high}


def _axes(inputs: list[Any], attributes: dict[str, Any]) -> list[int]:
    given = inputs[1] if len(inputs) > 1 and inputs[1] is not None else attributes.get("axes", [])
    return [int(axis) for axis in np.ravel(given)]


def _one(name: str) -> Callable[[list[Any], dict[str, Any]], tuple[str, dict[str, Any]]]:
    return lambda inputs, attributes: (name, {"input": inputs[0]})


def _two(name: str) -> Callable[[list[Any], dict[str, Any]], tuple[str, dict[str, Any]]]:
    return lambda inputs, attributes: (name, {"input": inputs[0], "other": inputs[1]})


_TRANSLATIONS: dict[str, Callable[[list[Any], dict[str, Any]], tuple[str, dict[str, Any]]]] = {
    "Conv": _conv,
    "BatchNormalization": _batch_norm,
    "Gemm": _gemm,
    "Clip": _clip,
    "Cast": lambda inputs, attributes: (
        "to_float" if attributes.get("to") == TensorProto.FLOAT else "Cast",
        {"input": inputs[0]},
    ),
    "Relu": _one("relu"),
    "LeakyRelu": lambda inputs, attributes: (
        "leaky_relu",
        {"input": inputs[0], "negative_slope": attributes.get("alpha", 0.01)},
    ),
    "PRelu": lambda inputs, attributes: ("prelu", {"input": inputs[0], "weight": inputs[1]}),
    "Sigmoid": _one("sigmoid"),
    "Neg": _one("neg"),
    "Identity": _one("identity"),
    "Dropout": _one("dropout"),
    "Add": _two("add"),
    "Sub": _two("sub"),
    "Mul": _two("mul"),
    "Div": _two("div"),
    "GlobalAveragePool": lambda inputs, attributes: (
        "adaptive_avg_pool2d",
        {"input": inputs[0], "output_size": [1, 1]},
    ),
    "ReduceMean": lambda inputs, attributes: ("mean", {"input": inputs[0], "dim": _axes(inputs, attributes)}),
    "Transpose": lambda inputs, attributes: ("permute", {"input": inputs[0], "dims": list(attributes["perm"])}),
    "DepthToSpace": lambda inputs, attributes: (
        "depth_to_space",
        {
            "input": inputs[0],
            "blocksize": attributes["blocksize"],
            "mode": attributes.get("mode", b"DCR").decode(),
        },
    ),
    "SpaceToDepth": lambda inputs, attributes: (
        "space_to_depth",
        {"input": inputs[0], "blocksize": attributes["blocksize"]},
    ),
}
_RESHAPES = {"Reshape", "Flatten", "Squeeze", "Unsqueeze"}
_NAMES = {  # what has a reason to be refused, under ATen's name
    "Elu": "elu",
    "Gelu": "gelu",
    "HardSwish": "hardswish",
    "HardSigmoid": "hardsigmoid",
    "Tanh": "tanh",
    "Softmax": "softmax",
    "LayerNormalization": "layer_norm",
    "GroupNormalization": "group_norm",
    "InstanceNormalization": "instance_norm",
    "Concat": "cat",
    "Resize": "interpolate",
    "Upsample": "interpolate",
    "MaxPool": "max_pool2d",
    "AveragePool": "avg_pool2d",
    "ConvTranspose": "conv_transpose2d",
    "Pad": "pad",
    "Split": "getitem",
    "Slice": "getitem",
    "MatMul": "matmul",
}
