"""From a graph to a student: every operator read by its entry of the table, then the student held against the network.

1. read the nodes that the output depends on, in order; 2. say all that is not taken; 3. check the graph and its size;
4. build the student with the folded weights; 5. where the network can be run, compare the two on a random image.
"""

import inspect
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgedeblur.errors import UserError
from edgedeblur.student.check import check_graph
from edgedeblur.student.importing.graph import SIDES, Graph, Node, Ref
from edgedeblur.student.importing.layers import Layers
from edgedeblur.student.importing.operators import OPERATORS
from edgedeblur.student.importing.refusals import NotTakenError, not_known, refusal_error
from edgedeblur.student.importing.torch_graph import trace_module
from edgedeblur.student.importing.values import Gate, Value
from edgedeblur.student.module import Student
from edgedeblur.student.operations import OpSpec
from edgedeblur.student.spec import StudentSpec, deepest_layer, smallest_multiple
from edgedeblur.student.table import require_small

_ACTIVATIONS = {"input", "other"}  # arguments that may depend on the image
_TOLERANCE = 1e-3  # of the largest magnitude of the output; folding rounds in float32


def import_module(module: nn.Module, name: str) -> Student:
    """A torch module as a student with the same weights, in evaluation mode.

    Args:
        module: float32 [N, 3, H, W] in [0, 1] to the same shape; it is put into evaluation mode.
        name: for messages, such as "package.module:callable"; the student is called after its end.

    Raises:
        UserError: it cannot be traced; operators that are not taken, each with the reason, exit code 2; 5 M parameters
            or more; weights that are not finite.
    """
    module = module.float().cpu().eval()
    student = import_graph(trace_module(module, name), name)
    require_equal(student, module, name)
    return student


def import_graph(graph: Graph, name: str) -> Student:
    """A graph as a student; errors as `import_module`."""
    layers = Layers(*graph.sides)
    output = layers.finish(_unclamped(_read(graph, layers)))
    if layers.rows:
        raise refusal_error(name, layers.rows)
    (term,) = output.terms
    if not layers.specs or layers.specs[-1].name != term.source or isinstance(layers.specs[-1], OpSpec):
        raise UserError(f"{name} ends in no convolution of its own", exit_code=2)
    spec = StudentSpec(
        _student_name(name), tuple(layers.specs), deepest_layer(layers.specs), smallest_multiple(layers.specs)
    )
    try:
        check_graph(spec)
    except ValueError as error:
        raise UserError(f"{name} cannot become a student: {error}", exit_code=2) from None
    require_small(spec, name)
    return _with_weights(spec, layers, name)


def _unclamped(value: Value) -> Value:
    """Without a clamp to [0, 1], which pixels do anyway."""
    return replace(value, relu=False, limit=None) if value.limit == 1 else value


def _read(graph: Graph, layers: Layers) -> Value:
    """The value of the output, after every node was read once."""
    nodes = graph.live()
    readers = Counter(name for node in nodes for name in set(node.reads))
    readers[graph.output] += 1
    values: dict[str, Value | Gate] = {graph.image: layers.tensor("image")}
    for node in nodes:
        try:
            value = _read_node(node, values, layers)
        except NotTakenError as error:
            value = layers.refuse(node, error)
        if isinstance(value, Value):
            value = replace(value, node=node)
            if readers[node.id] > 1:
                value = layers.store(value)
        values[node.id] = value
    final = values[graph.output]
    if isinstance(final, Gate):
        raise UserError("the network's output is no image", exit_code=2)
    return final


def _read_node(node: Node, values: dict[str, Value | Gate], layers: Layers) -> Value | Gate:
    reader = OPERATORS.get(node.operator)
    if reader is None:
        raise not_known(node)
    arguments = {key: _resolved(value, values) for key, value in node.arguments.items()}
    try:
        inspect.signature(reader).bind(layers, node, **arguments)
    except TypeError:
        raise NotTakenError(f"with the arguments {', '.join(arguments)}") from None
    computed = [key for key, value in arguments.items() if isinstance(value, Value | Gate) and key not in _ACTIVATIONS]
    if computed:
        raise NotTakenError(f"its {computed[0]} is computed from the image", "a parameter or a constant")
    try:
        return reader(layers, node, **arguments)
    except (ValueError, TypeError, RuntimeError, IndexError) as error:  # NumPy's and torch's, of what does not fit
        raise NotTakenError(f"it does not fit together: {' '.join(str(error).split())[:80]}") from error


def _resolved(value: Any, values: dict[str, Value | Gate]) -> Any:
    if isinstance(value, list | tuple) and any(isinstance(each, Ref) for each in value):
        return [_resolved(each, values) for each in value]
    return values[value.node] if isinstance(value, Ref) else value


def _with_weights(spec: StudentSpec, layers: Layers, name: str) -> Student:
    with torch.random.fork_rng(devices=[]):  # building draws initial weights
        student = Student(spec)
    with torch.no_grad():
        for layer in spec.convolutions:
            _copy(student.conv(layer.name), layers.weights[layer.name], f"{name}: {layer.name}")
            if layer.prelu:
                _copy_one(student.slope(layer.name), layers.slopes[layer.name], f"{name}: the slopes of {layer.name}")
            if layer.gate is not None:
                _copy(student.gate(layer.name), layers.gates[layer.name], f"{name}: the gate of {layer.name}")
    return student.eval()


def _copy(module: nn.Module, arrays: tuple[np.ndarray, np.ndarray], name: str) -> None:
    for parameter, array in zip((module.weight, module.bias), arrays, strict=True):
        _copy_one(parameter, array, name)


def _copy_one(parameter: nn.Parameter, array: np.ndarray, name: str) -> None:
    if not np.isfinite(array).all():
        raise UserError(f"{name} has weights that are NaN or infinite", "train again with a lower rate")
    parameter.copy_(torch.from_numpy(array))


def require_equal(
    student: Student, network: Callable[[Tensor], Tensor], name: str, sides: tuple[int, int] = SIDES
) -> None:
    """Nothing is taken on trust: the student computes what the network does on a random image.

    Raises:
        UserError: it does not.
    """
    image = torch.rand(1, 3, *sides, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = student(image), network(image)
    if ours.shape == theirs.shape and theirs.min() >= 0 and theirs.max() <= 1:  # it may clamp, which pixels do anyway
        ours = ours.clamp(0, 1)
    difference = float((ours - theirs).abs().max())
    if not difference <= _TOLERANCE * max(1.0, float(theirs.abs().max())):
        raise UserError(
            f"the student made of {name} differs from it by {difference:.3g} on a random image",
            "this is a defect of the import; please report it with the network",
        )


def _student_name(name: str) -> str:
    """Of "package.module:callable" or a path: a name that files may have."""
    last = re.split(r"[:/]", name)[-1].removesuffix(".onnx")
    return re.sub(r"[^A-Za-z0-9_.-]", "_", last).lstrip(".-")[:64] or "own"
