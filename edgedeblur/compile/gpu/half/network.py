"""The float student as arrays, in the units in which the float16 kernels compute.

A tensor holds the student's own values, rounded to float16 where it lies in memory, but for the image, which is bytes:
the kernels read pixel / 256, which float16 has exactly, so weights that meet the image are multiplied by 256 / 255, and
what is stored as pixels is 255 times the student's. Sums begin with the bias, in float32.
"""

from dataclasses import dataclass

import numpy as np
import torch

from edgedeblur.compile.gpu.fold import PIXEL_STEPS
from edgedeblur.compile.kernels.layer import ConvLayer, Residual
from edgedeblur.errors import UserError
from edgedeblur.quantize.network import is_image
from edgedeblur.student import IMAGE, ConvSpec, Student, StudentSpec

LARGEST = 65504.0  # of float16
_PIXEL = 255.0


@dataclass(frozen=True)
class HalfGate:
    """weight: float32 [out, in]. bias: float32 [out]."""

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class HalfConv:
    """One convolution.

    weight: float16 [out, kernel, kernel, in / groups]. bias: float32 [out].
    scale: float32 [out], what sums are multiplied with; negative_scale: of sums below zero, with prelu.
    residual_scale: float32, of what is added; None without a residual. low, high: the clamps of what is stored.
    """

    spec: ConvSpec
    weight: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    low: float
    high: float
    residual_scale: np.float32 | None = None
    negative_scale: np.ndarray | None = None
    gate: HalfGate | None = None


@dataclass(frozen=True)
class HalfNetwork:
    """The whole student."""

    spec: StudentSpec
    layers: tuple[HalfConv, ...]


def half_network(student: Student) -> HalfNetwork:
    """The student's weights in float16.

    Raises:
        UserError: a layer without weights, or weights that float16 cannot hold.
    """
    spec = student.spec
    if spec.operations:
        first = spec.operations[0]
        raise UserError(
            f"layer {first.name} has no weights ({first.op}); there are no GPU kernels for such layers yet",
            "compile for a target without a GPU",
            exit_code=2,
        )
    with torch.no_grad():
        return HalfNetwork(spec, tuple(_half_conv(student, layer) for layer in spec.convolutions))


def pixel_factor(layer: ConvSpec) -> float:
    """What the weights of a layer are multiplied with on account of how it reads the image."""
    return PIXEL_STEPS / _PIXEL if layer.source == IMAGE else 1.0


def half_layers(network: HalfNetwork, height: int, width: int) -> tuple[ConvLayer, ...]:
    """Every convolution for an image of height x width, in order; its integers are those of no quantisation."""
    spec = network.spec
    sizes, channels = spec.sizes(height, width), spec.channels()
    return tuple(
        ConvLayer(
            name=layer.name,
            source=(*sizes[layer.source], channels[layer.source]),
            out=(*sizes[layer.name], channels[layer.name]),
            kernel=layer.kernel,
            stride=layer.stride,
            space_to_depth=layer.space_to_depth,
            depth_to_space=layer.depth_to_space,
            image_source=is_image(layer.source, spec),
            image_out=is_image(layer.name, spec),
            source_zero_point=0,
            out_zero_point=0,
            low=0,
            largest_sum=0,
            residual=None if layer.residual is None else Residual(0.0, 0, is_image(layer.residual, spec)),
            groups=layer.groups,
            dilation=layer.dilation,
            prelu=layer.prelu,
        )
        for layer in spec.convolutions
    )


def _half_conv(student: Student, layer: ConvSpec) -> HalfConv:
    conv, spec = student.conv(layer.name), student.spec
    weight = (conv.weight * pixel_factor(layer)).permute(0, 2, 3, 1).contiguous().numpy()
    largest = float(np.abs(weight).max())
    if not largest <= LARGEST:
        raise UserError(
            f"layer {layer.name} has a weight of {largest:g}; float16 holds {LARGEST:g}", "compile without --precision"
        )
    unit = np.float32(_PIXEL if is_image(layer.name, spec) else 1.0)
    scale = np.full(layer.out_channels, unit, np.float32)
    low, high = (0.0, _PIXEL) if is_image(layer.name, spec) else (0.0 if layer.relu else -LARGEST, LARGEST)
    high = high if layer.limit is None else min(high, float(unit) * layer.limit)
    residual = None
    if layer.residual is not None:
        residual = unit / np.float32(_PIXEL if is_image(layer.residual, spec) else 1.0)
    gate = None
    if layer.gate is not None:
        matrix = student.gate(layer.name)
        gate = HalfGate(matrix.weight.numpy().copy(), matrix.bias.numpy().copy())
    negative = student.slope(layer.name).numpy() * scale if layer.prelu else None
    bias = conv.bias.numpy().copy()
    return HalfConv(layer, weight.astype(np.float16), bias, scale, low, high, residual, negative, gate)
