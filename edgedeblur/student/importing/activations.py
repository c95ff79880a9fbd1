"""Readers of activations, which become part of the convolution before them."""

from dataclasses import replace

import numpy as np

from edgedeblur.student.check import MAX_LIMIT, MIN_LIMIT
from edgedeblur.student.importing.graph import Node
from edgedeblur.student.importing.layers import Layers
from edgedeblur.student.importing.reading import feature_map, unfinished
from edgedeblur.student.importing.refusals import NotTakenError
from edgedeblur.student.importing.values import Value


def relu(layers: Layers, node: Node, input) -> Value:
    value = unfinished(layers, feature_map(layers, input))
    return replace(value, relu=True) if value.linear else value


def clamp(layers: Layers, node: Node, input, min=None, max=None, min_val=None, max_val=None) -> Value:
    low, high = min if min_val is None else min_val, max if max_val is None else max_val
    low, high = (None if end is None else float(end) for end in (low, high))
    if (low, high) == (0.0, None):
        return relu(layers, node, input)
    value = feature_map(layers, input)
    from_zero = low == 0.0 or (value.relu and (low is None or low < 0))
    if not from_zero or high is None or not MIN_LIMIT <= high <= MAX_LIMIT:
        raise NotTakenError(f"a clamp to {low}, {high}", "nn.ReLU() or nn.ReLU6(); a clamp to [0, 1] at the very end")
    if value.relu and value.gate is None and value.limit is None:
        return replace(value, limit=high)  # of what is at least zero already
    value = unfinished(layers, value)
    return replace(value, relu=True, limit=high)


def relu6(layers: Layers, node: Node, input) -> Value:
    return clamp(layers, node, input, 0.0, 6.0)


def leaky_relu(layers: Layers, node: Node, input, negative_slope=0.01) -> Value:
    return prelu(layers, node, input, np.asarray(negative_slope, np.float64))


def prelu(layers: Layers, node: Node, input, weight) -> Value:
    """By one slope for all channels or one for each."""
    value = unfinished(layers, feature_map(layers, input))
    channels = value.shape[1]
    if np.size(weight) not in (1, channels):
        raise NotTakenError(f"slopes of shape {list(np.shape(weight))}", "a slope, or one for each channel")
    return replace(value, slope=np.broadcast_to(np.ravel(weight), (channels,)).copy())
