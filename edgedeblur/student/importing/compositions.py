"""Readers of what becomes a layer without weights, or convolutions in another form: tables, pooling, resizing,
concatenation, parts, products of tensors, transposed convolutions."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from edgedeblur.student.importing.graph import Node
from edgedeblur.student.importing.layers import Layers
from edgedeblur.student.importing.reading import Reader, feature_map, pair
from edgedeblur.student.importing.refusals import NotTakenError
from edgedeblur.student.importing.values import Gate, Kernel, Value, channel_slice, convolved


def table(op: str, takes: Callable[..., float | None] | None = None) -> Reader:
    """A function of each value; `takes` makes its parameter of ATen's arguments, or refuses them."""

    def read(layers: Layers, node: Node, input, **arguments) -> Value:
        parameter = takes(**arguments) if takes is not None else None
        return layers.operate(op, node.place, [layers.store(feature_map(layers, input))], parameter)

    return read


def elu_parameter(alpha=1.0, scale=1.0, input_scale=1.0) -> float:
    if (scale, input_scale) != (1, 1):
        raise NotTakenError("an ELU with a scale", "nn.ELU()")
    return float(alpha)


def gelu_parameter(approximate="none") -> None:
    if approximate != "none":
        raise NotTakenError("the approximation of GELU by tanh", "nn.GELU()")


def softplus_parameter(beta=1, threshold=20) -> None:
    if beta != 1:
        raise NotTakenError("a Softplus with beta", "nn.Softplus()")


def hardsigmoid_parameter(alpha=1 / 6, beta=0.5) -> None:
    if not math.isclose(alpha, 1 / 6, rel_tol=1e-4) or beta != 0.5:
        raise NotTakenError("a hard sigmoid of another slope", "nn.Hardsigmoid()")


def max_pool(
    layers: Layers, node: Node, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False
) -> Value:
    kernel, strides, pads = pair(kernel_size), pair(stride or kernel_size), pair(padding)
    if (kernel, strides, pads, pair(dilation)) == ((3, 3), (2, 2), (1, 1), (1, 1)):
        return _chained(layers, node, input, "max_pool3", 1, 2)
    return _chained(layers, node, input, "max_pool2", _halvings(kernel, strides, pads, dilation), kernel[0])


def average_pool(
    layers: Layers,
    node: Node,
    input,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
) -> Value:
    kernel, strides, pads = pair(kernel_size), pair(stride or kernel_size), pair(padding)
    if divisor_override is not None:
        raise NotTakenError("another divisor than the pixels of the window", "nn.AvgPool2d(2)")
    return _chained(layers, node, input, "average_pool2", _halvings(kernel, strides, pads, 1), kernel[0])


def _halvings(kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, int], dilation) -> int:
    """How often a window of 2x2 makes one of this size."""
    times = kernel[0].bit_length() - 1
    if kernel != strides or kernel != (1 << times, 1 << times) or pads != (0, 0) or pair(dilation) != (1, 1):
        raise NotTakenError(
            f"pooling of {kernel} with a stride of {strides} and a padding of {pads}",
            "windows of 2x2 or 4x4 that do not overlap, or nn.MaxPool2d(3, 2, 1)",
        )
    return times


def _chained(layers: Layers, node: Node, input, op: str, times: int, divides: int = 1) -> Value:
    value = layers.store(feature_map(layers, input))
    if any(side % divides for side in value.shape[2:]):
        raise NotTakenError(f"windows of {divides} that do not divide {value.shape[2:]}", "sides that they divide")
    for _ in range(times):
        value = layers.operate(op, node.place, [value])
    return value


def resize(mode: str) -> Reader:
    """Nearest or bilinear, by powers of two."""

    def read(layers: Layers, node: Node, input, align_corners=False, **sizes) -> Value:
        value = feature_map(layers, input)
        factors = {out / side for out, side in zip(node.shape[2:], value.shape[2:], strict=True)}
        factor = factors.pop() if len(factors) == 1 else 0
        times = int(factor).bit_length() - 1
        if factor != 1 << max(times, 0) or times < 1 or align_corners or (mode == "bilinear2" and times > 1):
            raise NotTakenError(
                f"resizing from {value.shape[2:]} to {node.shape[2:]}"
                + (" with align_corners" if align_corners else ""),
                "nearest to twice the size or 4 or 8 times, bilinear to twice the size without align_corners",
            )
        return _chained(layers, node, input, mode, times)

    return read


def concatenate(layers: Layers, node: Node, tensors, dim=0) -> Value:
    if dim % 4 != 1 or len(node.shape) != 4:
        raise NotTakenError(f"concatenation along dimension {dim}", "torch.cat(tensors, 1): of channels")
    stored = [layers.store(feature_map(layers, tensor)) for tensor in tensors]
    if len(stored) == 1:
        return stored[0]
    return layers.operate("concatenate", node.place, stored)


def chunk(layers: Layers, node: Node, input, chunks, dim=0) -> list[Value]:
    channels = feature_map(layers, input).shape[1]
    return split(layers, node, input, -(-channels // chunks), dim)


def split(layers: Layers, node: Node, input, split_size=None, dim=0, split_sizes=None) -> list[Value]:
    """Parts of a tensor's channels, which become layers where something other than a product reads them."""
    value = layers.store(feature_map(layers, input))
    if dim % 4 != 1:
        raise NotTakenError(f"parts along dimension {dim}", "parts of the channels: dim=1")
    sizes = split_size if split_sizes is None else split_sizes
    channels = value.shape[1]
    if isinstance(sizes, int):
        sizes = [min(sizes, channels - start) for start in range(0, channels, sizes)]
    ends = np.cumsum(sizes)
    return [_part(value, int(end - size), int(end)) for size, end in zip(sizes, ends, strict=True)]


def take(layers: Layers, node: Node, argument0, argument1) -> Value:
    """One of the parts that `chunk` and `split` make."""
    if not isinstance(argument0, list) or not isinstance(argument1, int):
        raise NotTakenError("parts of what is no list of parts", "tensor.chunk(2, 1)")
    return argument0[argument1]


def slice_channels(layers: Layers, node: Node, input, dim=0, start=None, end=None, step=1) -> Value:
    value = layers.store(feature_map(layers, input))
    if dim % 4 != 1 or step != 1:
        raise NotTakenError(f"a slice along dimension {dim}", "a slice of the channels: x[:, a:b]")
    return _part(value, *slice(start, end).indices(value.shape[1])[:2])


def _part(value: Value, start: int, end: int) -> Value:
    (term,) = value.terms
    return replace(value, terms=(replace(term, at=term.at[:, start:end]),))


def product(layers: Layers, node: Node, one: Value | Gate, two: Value | Gate) -> Value:
    """Of two tensors, or of a tensor and one pixel."""
    values = [feature_map(layers, each) for each in (one, two)]
    if values[0].shape[2:] == (1, 1):
        values.reverse()
    (a, b), channels = values, values[0].shape[1]
    if a.shape != b.shape and b.shape != (1, channels, 1, 1):
        raise NotTakenError(f"a product of {a.shape[1:]} and {b.shape[1:]}", "tensors of one shape, or one pixel")
    read = [_read_part(layers, value) for value in (a, b)]
    starts = tuple(start for _, start in read)
    return layers.operate(
        "multiply", node.place, [value for value, _ in read], None, starts if any(starts) else (), channels
    )


def _read_part(layers: Layers, value: Value) -> tuple[Value, int]:
    """A stored tensor and the channel from which the value is in it."""
    start = channel_slice(value.terms[0]) if value.linear and len(value.terms) == 1 else None
    if start is None:
        return layers.store(value), 0
    return layers.tensor(value.terms[0].source), start


def transposed_convolution(
    layers: Layers,
    node: Node,
    input,
    weight,
    bias=None,
    stride=1,
    padding=0,
    output_padding=0,
    groups=1,
    dilation=1,
) -> Value:
    """With a stride of two: a convolution to four times the channels and a rearrangement, exactly.

    Output row 2y + p gets input row y + d by the kernel's row p + padding - 2d.
    """
    kernel, pads = weight.shape[2], pair(padding)
    size = kernel - 2 - 2 * pads[0] + pair(output_padding)[0]
    reach = range(-1, 2)
    rows = {(p, d): p + pads[0] - 2 * d for p in (0, 1) for d in reach}
    used = {d for (_, d), row in rows.items() if 0 <= row < kernel}
    covered = {row for row in rows.values() if 0 <= row < kernel} == set(range(kernel))
    square = weight.shape[2] == weight.shape[3] and pads[0] == pads[1]
    if pair(stride) != (2, 2) or size or not covered or not square or groups != 1 or pair(dilation) != (1, 1):
        raise NotTakenError(
            f"a transposed convolution of {weight.shape[2:]}, stride {stride}, padding {padding}, {groups} groups",
            "nn.ConvTranspose2d with a stride of 2 that doubles the size: 4x4 padded by 1, 2x2, or 3x3 padded by 1",
        )
    inputs, outputs = weight.shape[:2]
    whole = np.zeros((2, 2, outputs, inputs, 3, 3))
    for (p, d), row in rows.items():
        for (q, e), column in rows.items():
            if 0 <= row < kernel and 0 <= column < kernel:
                whole[p, q, :, :, d + 1, e + 1] = weight[:, :, row, column].T
    if used == {0}:
        whole = whole[..., 1:2, 1:2]
    value = feature_map(layers, input)
    source = value if value.linear and len(value.terms) == 1 and value.terms[0].kernel is None else layers.store(value)
    biases = np.tile(np.zeros(outputs) if bias is None else bias, 4)
    made = convolved(source, biases, Kernel(node.place, whole.reshape(4 * outputs, inputs, *whole.shape[4:]), 1, 1))
    (term,) = made.terms
    shuffled = torch.from_numpy(term.at).reshape(1, 2, 2, outputs, *made.shape[2:]).permute(0, 3, 4, 1, 5, 2)
    at = shuffled.reshape(1, outputs, 2 * made.shape[2], 2 * made.shape[3]).contiguous().numpy()
    return replace(made, terms=(replace(term, at=at),))
