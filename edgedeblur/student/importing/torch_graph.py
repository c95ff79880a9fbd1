"""A torch module's graph by `torch.export`, with parameters, buffers and everything computed from them as constants."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export.graph_signature import InputKind

from edgedeblur.errors import UserError
from edgedeblur.student.importing.graph import SIDES, Graph, Node, Ref
from edgedeblur.student.user_module import first_line

_FLOAT = "to_float"  # conversions of type that change nothing, since everything is float32
_CONVERSIONS = {"to", "_to_copy", "type_as"}


def trace_module(module: nn.Module, name: str) -> Graph:
    """The graph of a module in evaluation mode, for one float32 image [1, 3, 64, 128].

    Raises:
        UserError: it cannot be traced, or does not give one image of the input's shape.
    """
    image = torch.full((1, 3, *SIDES), 0.5)
    try:
        with _quietly(), torch.no_grad():
            program = torch.export.export(module, (image,), strict=False)
    except Exception as error:  # a user's own network, and all that torch.export can run into
        raise UserError(
            f"{name} cannot be traced for an image of {SIDES[0]}x{SIDES[1]}: {first_line(error)}",
            "a student takes one image [1, 3, H, W] in [0, 1], and has no control flow that depends on pixels",
            exit_code=2,
        ) from error
    return _graph(program, name)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """What torch says while it traces is of its own insides; the error that it ends with is told."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _graph(program: torch.export.ExportedProgram, name: str) -> Graph:
    constants, places = _constants(program)
    (image,) = (each.arg.name for each in program.graph_signature.input_specs if each.kind is InputKind.USER_INPUT)
    nodes, returned = [], None
    for node in program.graph.nodes:
        if node.op == "output":
            returned = node.args[0]
        elif node.op == "call_function":
            _read(node, nodes, constants, places)
    outputs = [each for each in returned or () if isinstance(each, torch.fx.Node)]
    shapes = [list(each.meta["val"].shape) for each in outputs]
    if shapes != [[1, 3, *SIDES]] or outputs[0].name in constants:
        raise UserError(
            f"{name} gives {shapes} for an image [1, 3, {SIDES[0]}, {SIDES[1]}]; it must give one of that shape",
            exit_code=2,
        )
    return Graph(tuple(nodes), image, outputs[0].name)


def _constants(program: torch.export.ExportedProgram) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by the graph's names, and the name in the module of each that has one."""
    constants, places = {}, {}
    for each in program.graph_signature.input_specs:
        if each.kind is not InputKind.USER_INPUT:
            stored = program.state_dict.get(each.target, program.constants.get(each.target))
            if isinstance(stored, Tensor):
                constants[each.arg.name] = stored.detach()
                places[each.arg.name] = each.target
    return constants, places


def _read(node: torch.fx.Node, nodes: list[Node], constants: dict[str, Tensor], places: dict[str, str]) -> None:
    """One node of torch's graph: a constant where it depends on constants alone."""
    random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
    if not random and all(each.name in constants for each in node.all_input_nodes):
        args, kwargs = torch.fx.map_arg((node.args, node.kwargs), lambda each: constants[each.name])
        with torch.no_grad():
            result = node.target(*args, **kwargs)
        if isinstance(result, Tensor):
            constants[node.name] = result
            return
    value = node.meta.get("val")
    shape = tuple(value.shape) if isinstance(value, Tensor) else ()
    nodes.append(Node(node.name, _operator(node), _place(node, places), _arguments(node, constants), shape))


def _operator(node: torch.fx.Node) -> str:
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return getattr(target, "__name__", str(target))
    name = target._schema.name.partition("::")[2].rstrip("_")
    value = node.meta.get("val")
    if name in _CONVERSIONS and isinstance(value, Tensor) and value.dtype is torch.float32:
        return _FLOAT
    return name


def _arguments(node: torch.fx.Node, constants: dict[str, Tensor]) -> dict[str, Any]:
    target, values = node.target, dict(node.kwargs)
    if isinstance(target, torch._ops.OpOverload):
        names = [argument.name for argument in target._schema.arguments]
        values |= dict(zip(names, node.args, strict=False))
    else:
        values |= {f"argument{number}": value for number, value in enumerate(node.args)}
    return {"input" if key == "self" else key: _plain(value, constants) for key, value in values.items()}


def _plain(value: Any, constants: dict[str, Tensor]) -> Any:
    if isinstance(value, torch.fx.Node):
        stored = constants.get(value.name)
        return Ref(value.name) if stored is None else _array(stored)
    if isinstance(value, list | tuple):
        return [_plain(each, constants) for each in value]
    return value


def _array(stored: Tensor) -> np.ndarray:
    return stored.to(torch.float64).numpy() if stored.is_floating_point() else stored.numpy()


def _place(node: torch.fx.Node, places: dict[str, str]) -> str:
    """The module that a node's weights are in, else the module that it is in, else its own name."""
    owned = [places[each.name].rpartition(".")[0] for each in node.all_input_nodes if each.name in places]
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    module = stack[-1][0] if stack else ""
    return next(filter(None, owned), "") or (f"{module}: {node.name}" if module else node.name)
