"""Float weights and biases to the integers and scales of network.py."""

import numpy as np

from edgedeblur.quantize.network import (
    GATE_STEPS,
    MAX_TRANSFORMED,
    MEAN_STEPS,
    QuantisedConv,
    QuantisedGate,
    QuantisedLayer,
    TensorScale,
    fold_operation,
    read_scale,
    transformed_size,
)
from edgedeblur.student import ConvSpec, Layer, OpSpec, Student

_MAX_BIAS = 2**24  # steps; float32 holds them exactly, and int32 has room for the products beside them
_ROUNDED_TAPS = 3.01  # in a transformed weight, each by up to half a step
_MIN_WEIGHT_SCALE = 1e-6  # for a dead channel; much smaller ones are refused by XNNPACK


def fold_layer(
    student: Student,
    layer: Layer,
    tensors: dict[str, TensorScale],
    extra_bias: np.ndarray | None = None,
    winograd: bool = False,
) -> QuantisedLayer:
    """One layer's integers.

    Args:
        tensors: scale and zero point of every tensor.
        extra_bias: float [out], added to the student's bias (bias correction).
        winograd: whether in Winograd form.
    """
    if isinstance(layer, OpSpec):
        return fold_operation(layer, tensors)
    conv = student.conv(layer.name)
    weight = conv.weight.detach().numpy().astype(np.float64).transpose(0, 2, 3, 1)  # to [out, kernel, kernel, in]
    bias = conv.bias.detach().numpy().astype(np.float64)
    if extra_bias is not None:
        bias = bias + extra_bias
    source, out = read_scale(winograd, tensors[layer.source]), tensors[layer.name].scale
    weight_scale = weight_scales(weight, bias, source)
    if winograd:
        weight_scale = np.maximum(weight_scale, transformed_scales(weight))
    steps = weight_scale.astype(np.float64)
    integers = np.clip(np.rint(weight / steps[:, None, None, None]), -127, 127)
    scale = folded_scale(source, weight_scale, out)
    return QuantisedConv(
        spec=layer,
        weight=np.ascontiguousarray(integers, np.int8),
        bias=np.rint(bias / (source * steps)).astype(np.int32),
        scale=scale,
        weight_scale=weight_scale,
        residual_scale=None if layer.residual is None else np.float32(tensors[layer.residual].scale) / np.float32(out),
        gate=None if layer.gate is None else fold_gate(student, layer, tensors[layer.gate].scale),
        negative_scale=scale * student.slope(layer.name).detach().numpy() if layer.prelu else None,
        winograd=winograd,
    )


def fold_gate(student: Student, layer: ConvSpec, source_scale: float) -> QuantisedGate:
    """The integers of a layer's gate, whose mean features are in steps of `source_scale`, each in MEAN_STEPS parts."""
    gate = student.gate(layer.name)
    weight, bias = (tensor.detach().numpy().astype(np.float64) for tensor in (gate.weight, gate.bias))
    mean_scale = source_scale / MEAN_STEPS
    steps = weight_scales(weight, bias, mean_scale)
    integers = np.clip(np.rint(weight / steps[:, None].astype(np.float64)), -127, 127)
    return QuantisedGate(
        weight=np.ascontiguousarray(integers, np.int8),
        bias=np.rint(bias / (mean_scale * steps)).astype(np.int32),
        scale=(mean_scale * steps.astype(np.float64) * GATE_STEPS).astype(np.float32),
    )


def folded_scale(source_scale: float, weight_scale: np.ndarray, out_scale: float) -> np.ndarray:
    """float32 [out], rounded after each step in the order in which XNNPACK and ONNX Runtime fold theirs."""
    return np.float32(source_scale) * weight_scale / np.float32(out_scale)


def transformed_scales(weight: np.ndarray) -> np.ndarray:
    """The least scale per output channel, float32 [out], with which a rounded kernel may be in Winograd form.

    Args:
        weight: float [out, 3, 3, in].
    """
    largest = transformed_size(weight).reshape(len(weight), -1).max(axis=1)
    return (largest / (MAX_TRANSFORMED - _ROUNDED_TAPS / 2)).astype(np.float32)


def weight_scales(weight: np.ndarray, bias: np.ndarray, source_scale: float) -> np.ndarray:
    """Symmetric scale per output channel, float32 [out]: the largest weight becomes 127 (Krishnamoorthi, 2018).

    A channel with tiny or no weights and a bias takes the scale at which its bias is _MAX_BIAS steps.
    """
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1) / 127
    for_bias = np.abs(bias) / (source_scale * _MAX_BIAS)
    return np.maximum(np.maximum(largest, for_bias), _MIN_WEIGHT_SCALE).astype(np.float32)
