"""The operators that an import takes: one function each, in the table `OPERATORS` by ATen's name.

A reader gets the layers so far, the node, and ATen's arguments by name: values, constants as float64 arrays, plain
numbers. It returns a `Value`, or a `Gate` on its way, or raises `NotTakenError` where this use is not taken.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from edgedeblur.student.check import ALLOWED
from edgedeblur.student.importing.activations import clamp, leaky_relu, prelu, relu, relu6
from edgedeblur.student.importing.compositions import (
    average_pool,
    chunk,
    concatenate,
    elu_parameter,
    gelu_parameter,
    hardsigmoid_parameter,
    max_pool,
    product,
    resize,
    slice_channels,
    softplus_parameter,
    split,
    table,
    take,
    transposed_convolution,
)
from edgedeblur.student.importing.graph import Node
from edgedeblur.student.importing.layers import Layers
from edgedeblur.student.importing.reading import Reader, feature_map, pair, unfinished
from edgedeblur.student.importing.rearrangements import depth_to_space, rearranged, space_to_depth
from edgedeblur.student.importing.refusals import NotTakenError, not_known
from edgedeblur.student.importing.values import Gate, Kernel, Value, channel_slice, convolved, depth_to_space_of, scaled


def _conv2d(
    layers: Layers, node: Node, input, weight, bias=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1
) -> Value | Gate:
    if isinstance(input, Gate) and input.stage == "mean" and weight.shape[2:] == (1, 1) and groups == 1:
        return _linear(layers, node, input, weight[:, :, 0, 0], bias)
    input = feature_map(layers, input)
    kernel, strides = weight.shape[2], pair(stride)
    if weight.shape[2:] == strides == (kernel, kernel) and kernel in (2, 4) and pair(padding) == (0, 0) and groups == 1:
        input, strides = _folded(layers, node, input, kernel), (1, 1)
        weight, kernel = weight.reshape(len(weight), -1, 1, 1), 1
    if weight.shape[2] != weight.shape[3] or kernel not in ALLOWED["kernel"]:
        raise NotTakenError(f"a kernel of {weight.shape[2]}x{weight.shape[3]}", "3x3 or 1x1; 5x5 and 7x7 work too")
    if strides[0] != strides[1] or strides[0] not in ALLOWED["stride"]:
        raise NotTakenError(f"a stride of {strides}", f"a stride of {', '.join(map(str, ALLOWED['stride']))}")
    steps = pair(dilation)
    if steps[0] != steps[1] or steps[0] not in ALLOWED["dilation"]:
        raise NotTakenError(f"a dilation of {steps}", f"a dilation of {' or '.join(map(str, ALLOWED['dilation']))}")
    same, half = padding == "same" and strides == (1, 1), steps[0] * (kernel // 2)
    if not same and (isinstance(padding, str) or pair(padding) != (half, half)):
        found = padding if isinstance(padding, str) else pair(padding)
        raise NotTakenError(f"a padding of {found}", f"padding={half}, half of what the kernel reaches over")
    if input.shape[2] % strides[0] or input.shape[3] % strides[0]:
        raise NotTakenError(f"a stride of {strides[0]} that does not divide {input.shape[2]}x{input.shape[3]}")
    source = input if _can_be_read(input, kernel) else layers.store(input)
    bias = np.zeros(len(weight)) if bias is None else bias
    return convolved(source, bias, Kernel(node.place, weight, strides[0], 1, groups, steps[0]))


def _can_be_read(value: Value, kernel: int) -> bool:
    """Whether a convolution reads it as it is: a stored tensor, perhaps rearranged, scaled or shifted."""
    if not value.linear or len(value.terms) != 1 or value.terms[0].kernel is not None:
        return False
    term = value.terms[0]
    if term.shift.any() and kernel > 1 and term.in_place:
        return False  # padding would be shifted too
    return channel_slice(term) is None or term.in_place  # some of a tensor's channels become a tensor of their own


def _folded(layers: Layers, node: Node, input: Value, factor: int) -> Value:
    """Pixels as channels: a convolution whose windows do not overlap is one by one on them."""
    value = input if _can_be_read(input, 1) else layers.store(input)
    return OPERATORS["pixel_unshuffle"](layers, node, value, downscale_factor=factor)


def _batch_norm(
    layers: Layers,
    node: Node,
    input,
    weight=None,
    bias=None,
    running_mean=None,
    running_var=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
    cudnn_enabled=True,
) -> Value:
    if running_mean is None or training:
        raise NotTakenError(
            "batch normalisation by each batch's own statistics", "track_running_stats=True, and network.eval()"
        )
    scale = (1.0 if weight is None else weight) / np.sqrt(running_var + eps)
    shift = (0.0 if bias is None else bias) - running_mean * scale
    return scaled(unfinished(layers, feature_map(layers, input)), scale, shift)


def _instance_norm(
    layers: Layers,
    node: Node,
    input,
    weight=None,
    bias=None,
    running_mean=None,
    running_var=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
    cudnn_enabled=True,
) -> Value:
    if use_input_stats:
        raise not_known(node)
    return _batch_norm(layers, node, input, weight, bias, running_mean, running_var, eps=eps)


def _add(layers: Layers, node: Node, input, other, alpha=1) -> Value:
    """Of two tensors, or of a tensor and a constant by channel."""
    if not isinstance(input, Value):
        input, other = other, _times(layers, input, alpha) if isinstance(input, Value) else input
    if not isinstance(other, Value):
        value = unfinished(layers, feature_map(layers, input))
        channels = value.shape[1]
        return scaled(value, np.ones(channels), _by_channel(other, channels) * alpha)
    if alpha != 1:
        other = _times(layers, other, alpha)
    one, two = (unfinished(layers, value) for value in (input, other))
    if one.shape != two.shape:
        raise NotTakenError(f"an addition of {one.shape[1:]} and {two.shape[1:]}", "two tensors of one shape")
    return Value(one.terms + two.terms)


def _sub(layers: Layers, node: Node, input, other, alpha=1) -> Value:
    if not isinstance(input, Value):  # a constant less a tensor
        return _add(layers, node, _times(layers, feature_map(layers, other), -alpha), input)
    return _add(layers, node, input, other, -alpha)


def _rsub(layers: Layers, node: Node, input, other, alpha=1) -> Value:
    return _add(layers, node, _times(layers, feature_map(layers, input), -alpha), other)


def _mul(layers: Layers, node: Node, input, other) -> Value | Gate:
    """By a constant or one by channel, or by a gate's factors."""
    if not isinstance(input, Value | Gate) or (isinstance(input, Gate) and isinstance(other, Value)):
        input, other = other, input
    if isinstance(input, Gate) and not isinstance(other, Value | Gate):
        if np.size(other) == 1 and input.stage == "sigmoid" and float(other) > 0:
            return replace(input, factor=input.factor * float(other))
        input = feature_map(layers, input)
    if isinstance(other, Gate) and isinstance(input, Value) and _can_gate(layers, input, other):
        return replace(input, gate=other)
    if isinstance(other, Value | Gate):
        return product(layers, node, input, other)
    return _times(layers, input, other)


def _can_gate(layers: Layers, value: Value, gate: Gate) -> bool:
    """Whether the factors can be a layer's gate, which costs next to nothing: else they are layers of their own."""
    if gate.stage != "sigmoid" or not layers.rectified(gate.source):
        return False
    plain = value.relu and value.gate is None and value.limit is None and len(value.terms) == 1
    return plain and value.terms[0].kernel is not None and depth_to_space_of(value.terms[0])[0] == 1


def _div(layers: Layers, node: Node, input, other) -> Value | Gate:
    if isinstance(other, Value | Gate) or not np.all(other):
        raise NotTakenError("a division by an activation or by zero", "a product with a constant")
    return _mul(layers, node, input, 1.0 / np.asarray(other, np.float64))


def _neg(layers: Layers, node: Node, input) -> Value:
    return _times(layers, feature_map(layers, input), -1.0)


def _mean(layers: Layers, node: Node, input, dim=None, keepdim=False, dtype=None) -> Gate:
    value = feature_map(layers, input)
    if dim is None or sorted(axis % len(value.shape) for axis in dim) != [2, 3] or len(value.shape) != 4:
        raise NotTakenError(f"a mean over dimensions {dim}", "the mean over height and width, for a gate")
    stored = layers.store(value)
    return Gate(stored.terms[0].source, "mean")


def _pool_to_one(layers: Layers, node: Node, input, output_size) -> Gate:
    if pair(output_size) != (1, 1):
        raise NotTakenError(f"pooling to {pair(output_size)}", "nn.AdaptiveAvgPool2d(1), for a gate")
    return _mean(layers, node, input, dim=(2, 3))


def _linear(layers: Layers, node: Node, input, weight, bias=None) -> Gate:
    if not isinstance(input, Gate) or input.stage != "mean":
        value = feature_map(layers, input)
        if value.shape[2:] != (1, 1):
            raise NotTakenError("a matrix product that is not of means", "a 1x1 convolution")
        return _conv2d(layers, node, value, weight[:, :, None, None], bias)
    return replace(input, stage="linear", weight=weight, bias=np.zeros(len(weight)) if bias is None else bias)


def _sigmoid(layers: Layers, node: Node, input) -> Gate:
    if isinstance(input, Gate) and input.stage == "linear":
        return replace(input, stage="sigmoid")
    return table("sigmoid")(layers, node, input)


def _as_it_is(layers: Layers, node: Node, input, **ignored) -> Value | Gate:
    return input


OPERATORS: dict[str, Reader] = {
    "conv2d": _conv2d,
    "relu": relu,
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "clamp": clamp,
    "clamp_min": clamp,
    "hardtanh": clamp,
    "relu6": relu6,
    "leaky_relu": leaky_relu,
    "prelu": prelu,
    "mean": _mean,
    "adaptive_avg_pool2d": _pool_to_one,
    "linear": _linear,
    "sigmoid": _sigmoid,
    "hardswish": table("hardswish"),
    "hardsigmoid": table("hardsigmoid", hardsigmoid_parameter),
    "tanh": table("tanh"),
    "silu": table("silu"),
    "gelu": table("gelu", gelu_parameter),
    "elu": table("elu", elu_parameter),
    "softplus": table("softplus", softplus_parameter),
    "mish": table("mish"),
    "max_pool2d": max_pool,
    "avg_pool2d": average_pool,
    "upsample_nearest2d": resize("nearest2"),
    "upsample_bilinear2d": resize("bilinear2"),
    "cat": concatenate,
    "chunk": chunk,
    "split": split,
    "split_with_sizes": split,
    "getitem": take,
    "slice": slice_channels,
    "conv_transpose2d": transposed_convolution,
    **dict.fromkeys(
        ("alias", "clone", "contiguous", "detach", "dropout", "feature_dropout", "identity", "to_float"), _as_it_is
    ),
    "pixel_shuffle": rearranged(lambda x, upscale_factor: torch.pixel_shuffle(x, upscale_factor)),
    "pixel_unshuffle": rearranged(lambda x, downscale_factor: torch.pixel_unshuffle(x, downscale_factor)),
    "permute": rearranged(lambda x, dims: x.permute(dims)),
    "transpose": rearranged(lambda x, dim0, dim1: x.transpose(dim0, dim1)),
    "reshape": rearranged(lambda x, shape: x.reshape(shape)),
    "view": rearranged(lambda x, size: x.reshape(size)),
    "flatten": rearranged(lambda x, start_dim=0, end_dim=-1: x.flatten(start_dim, end_dim)),
    "unflatten": rearranged(lambda x, dim, sizes: x.unflatten(dim, sizes)),
    "unsqueeze": rearranged(lambda x, dim: x.unsqueeze(dim)),
    "squeeze": rearranged(lambda x, dim=None: x.squeeze() if dim is None else x.squeeze(dim)),
    "channel_shuffle": rearranged(lambda x, groups: torch.channel_shuffle(x, groups)),
    "depth_to_space": rearranged(depth_to_space),
    "space_to_depth": rearranged(space_to_depth),
}


def _times(layers: Layers, input: Any, factor: Any) -> Value:
    value = unfinished(layers, feature_map(layers, input))
    channels = value.shape[1]
    return scaled(value, _by_channel(factor, channels), np.zeros(channels))


def _by_channel(constant: Any, channels: int) -> np.ndarray:
    array = np.asarray(constant, np.float64)
    shape = array.shape[-3:] if array.ndim > 2 else array.shape
    if array.size not in (1, channels) or (array.size > 1 and (len(shape) != 3 or shape[0] != channels)):
        raise NotTakenError(f"a constant of shape {list(array.shape)}", "a number, or one for each channel: [C, 1, 1]")
    return np.broadcast_to(array.ravel(), (channels,)).copy()
