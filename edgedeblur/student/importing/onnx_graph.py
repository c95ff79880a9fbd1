"""A float ONNX file's graph, its operators as ATen's: what a network is exported to by torch, TensorFlow and others."""

import math
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
from edgedeblur.student.importing.onnx_operators import translated
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
            if node.op_type == "Split":
                nodes += _parts(node, inputs, attributes, [shapes.get(name, ()) for name in node.output])
                continue
            operator, arguments = translated(node.op_type, inputs, attributes, shape)
            nodes.append(Node(node.output[0], operator, _place(node, number), arguments, shape))
    if shapes.get(output) not in (shapes[image], ()):
        raise origin.error(f"its output is {list(shapes[output])} for an image {list(shapes[image])}")
    return Graph(tuple(nodes), image, output, shapes[image][2:])


def _parts(
    node: onnx.NodeProto, inputs: list[Any], attributes: dict[str, Any], shapes: list[tuple[int, ...]]
) -> list[Node]:
    """A Split and a node for each of its outputs, as torch has them."""
    axis, whole, place = attributes.get("axis", 0), f"{node.output[0]} and others", _place(node, 0)
    sizes = [shape[axis] if len(shape) > axis else 0 for shape in shapes]
    arguments = {"input": inputs[0], "split_sizes": sizes, "dim": axis}
    return [
        Node(whole, "split_with_sizes", place, arguments, ()),
        *(
            Node(name, "getitem", place, {"argument0": Ref(whole), "argument1": number}, shape)
            for number, (name, shape) in enumerate(zip(node.output, shapes, strict=True))
        ),
    ]


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
