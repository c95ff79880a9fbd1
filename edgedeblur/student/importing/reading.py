"""What readers of operators share: the kinds of their arguments."""

from collections.abc import Callable
from typing import Any

from edgedeblur.student.importing.layers import Layers
from edgedeblur.student.importing.refusals import NotTakenError
from edgedeblur.student.importing.values import Gate, Value

Reader = Callable[..., Value | Gate]
GATE = "a gate from the mean of an earlier layer with ReLU: docs/own-student.md"


def feature_map(layers: Layers, input: Any) -> Value:
    """A tensor; a gate on its way becomes layers on one pixel."""
    if isinstance(input, Gate):
        return layers.materialised(input)
    if not isinstance(input, Value):
        raise NotTakenError("it is applied to what is no tensor")
    return input


def unfinished(layers: Layers, value: Value) -> Value:
    """A sum that more can be added to; a value with ReLU, a gate or a clamp becomes a tensor first."""
    return value if value.linear else layers.store(value)


def pair(value: Any) -> tuple[int, int]:
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    return (values[0], values[-1])
