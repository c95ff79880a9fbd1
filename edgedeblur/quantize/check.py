"""Whether a quantised network is one: its graph, its arrays, its numbers, and that no accumulator can overflow."""

import math

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.quantize.network import (
    MAX_FACTOR,
    MAX_MEAN,
    MAX_TRANSFORMED,
    QuantisedConv,
    QuantisedLayer,
    QuantisedNetwork,
    QuantisedOp,
    TensorScale,
    fold_operation,
    image_scale,
    may_take_winograd_form,
    read_scale,
    transformed_size,
)
from edgedeblur.student import IMAGE, Layer, OpSpec, StudentSpec
from edgedeblur.student.check import check_graph

MAX_WEIGHTS = 64_000_000
MAX_BITS = 16  # of an activation
MAX_OPERATION_SCALE = 2.0**13  # of a layer without weights: times the largest product, 255 * 255, it fits int32
MAX_RESULT = 2**30  # of the requantised convolution and residual, so that their sum stays in int32
_SCALE_TOLERANCE = 1e-5  # relative; stored scales are float32 products


def check_network(network: QuantisedNetwork) -> None:
    """All checks of this file.

    Raises:
        UserError: one message with the layer, the value and what is allowed.
    """
    check_spec(network.spec)
    check_tensors(network.spec, network.tensors)
    _require(
        [layer.spec for layer in network.layers] == list(network.spec.layers), "the layers do not match the student"
    )
    for layer in network.layers:
        if isinstance(layer, QuantisedOp):
            check_operation(layer, network.tensors)
            continue
        check_arrays(layer, network.spec.gate_channels(layer.spec))
        check_winograd_form(layer, network.tensors)
        check_int16(layer, network.tensors)
        check_scales(layer, network.tensors)
        check_bounds(layer, network.tensors)


def check_spec(spec: StudentSpec) -> None:
    """The student's own check, and a bound on what an `.edq` file may hold."""
    try:
        check_graph(spec)
    except ValueError as error:
        _require(False, str(error))
    _require(spec.parameters <= MAX_WEIGHTS, f"{spec.parameters:,} parameters; allowed are {MAX_WEIGHTS:,}")


def check_tensors(spec: StudentSpec, tensors: dict[str, TensorScale]) -> None:
    """Every tensor has a scale and a zero point in range; input and output are images."""
    names = [IMAGE, *(layer.name for layer in spec.layers)]
    _require(sorted(tensors) == sorted(names), "scales are not given for exactly the network's tensors")
    for name in names:
        scale, zero_point = tensors[name].scale, tensors[name].zero_point
        _require(
            math.isfinite(scale) and 1e-12 < scale < 1e12, f"tensor {name!r}: scale {scale} is not a positive number"
        )
        _require(-128 <= zero_point <= 127, f"tensor {name!r}: zero point {zero_point}; allowed are -128 to 127")
        bits = tensors[name].bits
        _require(8 <= bits <= MAX_BITS, f"tensor {name!r}: {bits} bits; allowed are 8 to {MAX_BITS}")
        _require(
            bits == 8 or zero_point == 0, f"tensor {name!r}: zero point {zero_point}; of int16 values it must be 0"
        )
    for name in (IMAGE, spec.layers[-1].name):
        _require(tensors[name] == image_scale(), f"tensor {name!r} must be an image: scale 1/255, zero point -128")


def check_arrays(layer: QuantisedConv, gate_channels: int = 0) -> None:
    """Shapes and types as network.py says, finite positive scales, weights in [-127, 127]."""
    spec = layer.spec
    _require((layer.gate is None) == (spec.gate is None), f"layer {spec.name!r}: a gate without its arrays")
    _require((layer.negative_scale is not None) == spec.prelu, f"layer {spec.name!r}: prelu without its scales")
    for kind, (dtype, shape) in array_forms(spec, gate_channels).items():
        array = array_of(layer, kind)
        _require(
            array.dtype == dtype and array.shape == shape,
            f"layer {spec.name!r}: {kind} is {array.dtype} {list(array.shape)}; it must be {dtype} {list(shape)}",
        )
    gated = layer.gate is not None
    for weight in (layer.weight, *((layer.gate.weight,) if gated else ())):
        _require(int(weight.min()) >= -127, f"layer {spec.name!r}: a weight is -128; allowed are -127 to 127")
    if layer.negative_scale is not None:
        _require(
            bool(np.isfinite(layer.negative_scale).all()), f"layer {spec.name!r}: negative_scale is NaN or infinite"
        )
    for kind in ("scale", "weight_scale", *(("gate.scale",) if gated else ())):
        values = array_of(layer, kind)
        bad = int(np.sum(~(np.isfinite(values) & (values > 0))))
        _require(bad == 0, f"layer {spec.name!r}: {kind} of {bad} channels is not a positive number")


def check_operation(layer: QuantisedOp, tensors: dict[str, TensorScale]) -> None:
    """A layer without weights: its arrays' forms, and scales that follow from its tensors'."""
    spec, name = layer.spec, layer.spec.name
    wide = [one for one in (name, *spec.sources) if tensors[one].int16]
    _require(not wide, f"layer {name!r} has no weights ({spec.op}); {''.join(wide[:1])!r} must be int8 for it")
    for kind, (dtype, shape) in array_forms(spec).items():
        array = array_of(layer, kind)
        found = "missing" if array is None else f"{array.dtype} {list(array.shape)}"
        _require(
            found == f"{dtype} {list(shape)}", f"layer {name!r}: {kind} is {found}; it must be {dtype} {list(shape)}"
        )
    if spec.operation.keeps_scale:
        _require(tensors[name] == tensors[spec.source], f"layer {name!r} must have the scale of {spec.source!r}")
    elif layer.scales is not None:
        expected = fold_operation(spec, tensors).scales
        agree = np.allclose(layer.scales, expected, rtol=_SCALE_TOLERANCE, atol=0)
        _require(agree, f"layer {name!r}: scales do not follow from its tensors'")
        _require(
            float(layer.scales.max()) < MAX_OPERATION_SCALE,
            f"layer {name!r}: scale {layer.scales.max():g} is too large",
        )


def array_forms(spec: Layer, gate_channels: int = 0) -> dict[str, tuple[str, tuple[int, ...]]]:
    """(dtype, shape) of each array of a layer, by the field's name; those of a gate are `gate.weight` and so on.

    Args:
        gate_channels: of the tensor that gates it (`StudentSpec.gate_channels`).
    """
    if isinstance(spec, OpSpec):
        return _operation_forms(spec)
    per_channel = (spec.out_channels,)
    gate = {
        "gate.weight": ("int8", (spec.out_channels, gate_channels)),
        "gate.bias": ("int32", per_channel),
        "gate.scale": ("float32", per_channel),
    }
    return {
        "weight": ("int8", (spec.out_channels, spec.kernel, spec.kernel, spec.in_channels // spec.groups)),
        "bias": ("int32", per_channel),
        "scale": ("float32", per_channel),
        "weight_scale": ("float32", per_channel),
        **({"negative_scale": ("float32", per_channel)} if spec.prelu else {}),
        **({} if spec.gate is None else gate),
    }


def _operation_forms(spec: OpSpec) -> dict[str, tuple[str, tuple[int, ...]]]:
    operation = spec.operation
    if operation.combine == "table":
        return {"table": ("int8", (256,))}
    if operation.keeps_scale:
        return {}
    return {"scales": ("float32", (1 if operation.combine == "multiply" else len(spec.sources),))}


def array_of(layer: QuantisedLayer, kind: str) -> np.ndarray | None:
    """The array of a layer that `array_forms` names so."""
    part, _, name = kind.rpartition(".")
    return getattr(layer.gate if part else layer, name)


def check_winograd_form(layer: QuantisedConv, tensors: dict[str, TensorScale]) -> None:
    """A layer in Winograd form may be in it: its convolution, its source's zero point, its weights transformed."""
    if not layer.winograd:
        return
    spec, zero_point = layer.spec, tensors[layer.spec.source].zero_point
    _require(may_take_winograd_form(spec), f"layer {spec.name!r}: only 3x3 of stride 1 have a Winograd form")
    _require(zero_point % 2 == 1, f"layer {spec.name!r}: in Winograd form, but its source's zero point is {zero_point}")
    bias = int(np.abs(layer.bias.astype(np.int64)).max())
    _require(bias <= MAX_RESULT // 2, f"layer {spec.name!r}: a bias in Winograd form is {bias:,}; int32 holds it twice")
    largest = int(transformed_size(layer.weight.astype(np.int64)).max())
    _require(
        largest <= MAX_TRANSFORMED,
        f"layer {spec.name!r}: a weight in Winograd form is {largest}; allowed are up to {MAX_TRANSFORMED}",
    )


def check_int16(layer: QuantisedConv, tensors: dict[str, TensorScale]) -> None:
    """A tensor of int16 values is read as source or residual only, and by no layer in Winograd form."""
    spec = layer.spec
    gated = spec.gate is not None and tensors[spec.gate].int16
    _require(not gated, f"layer {spec.name!r}: {spec.gate!r}, whose means its gate takes, must be int8")
    halved = layer.winograd and tensors[spec.source].int16
    _require(not halved, f"layer {spec.name!r}: in Winograd form, which reads int8; {spec.source!r} is int16")


def check_scales(layer: QuantisedConv, tensors: dict[str, TensorScale]) -> None:
    """The folded scales agree with the scales of the tensors that they were folded from."""
    spec, out = layer.spec, tensors[layer.spec.name].scale
    read = read_scale(layer.winograd, tensors[spec.source])
    expected = read * layer.weight_scale.astype(np.float64) / out
    agree = np.allclose(layer.scale, expected, rtol=_SCALE_TOLERANCE, atol=0)
    _require(agree, f"layer {spec.name!r}: scale is not source scale * weight scale / output scale")
    _require(
        (layer.residual_scale is None) == (spec.residual is None), f"layer {spec.name!r}: residual without its scale"
    )
    if spec.residual is not None:
        expected = tensors[spec.residual].scale / out
        agree = math.isclose(float(layer.residual_scale), expected, rel_tol=_SCALE_TOLERANCE)
        _require(agree, f"layer {spec.name!r}: residual_scale {layer.residual_scale} should be {expected:g}")


def accumulator_bound(layer: QuantisedConv, source: TensorScale) -> np.ndarray:
    """int64 [out]: no input can make an accumulator of that channel larger than this in magnitude."""
    farthest = (source.largest_input + 1) // 2 if layer.winograd else source.largest_input
    weight = np.abs(layer.weight.astype(np.int64)).reshape(len(layer.weight), -1)
    return weight.sum(axis=1) * farthest + np.abs(layer.bias.astype(np.int64))


def largest_scale(layer: QuantisedConv) -> np.ndarray:
    """float64 [out]: the largest magnitude of what a channel's sums are multiplied by."""
    scale = layer.scale.astype(np.float64) * (1.0 if layer.gate is None else MAX_FACTOR)
    return scale if layer.negative_scale is None else np.maximum(scale, np.abs(layer.negative_scale))


def check_bounds(layer: QuantisedConv, tensors: dict[str, TensorScale]) -> None:
    """No accumulator leaves int32, and no requantised value leaves [-2^30, 2^30]."""
    name = layer.spec.name
    bound = accumulator_bound(layer, tensors[layer.spec.source])
    _require(
        int(bound.max()) < 2**31,
        f"layer {name!r}: the accumulator of channel {int(bound.argmax())} can reach {int(bound.max()):,}; "
        f"int32 holds less than {2**31:,}",
    )
    result = bound * largest_scale(layer)
    _require(
        float(result.max()) < MAX_RESULT,
        f"layer {name!r}: channel {int(result.argmax())} can requantise to {result.max():.3g}; allowed is {MAX_RESULT}",
    )
    if layer.gate is not None:
        products = np.abs(layer.gate.weight.astype(np.int64)).sum(axis=1) * MAX_MEAN
        largest = int((products + np.abs(layer.gate.bias.astype(np.int64))).max())
        _require(largest < 2**31, f"layer {name!r}: its gate can reach {largest:,}; int32 holds less than {2**31:,}")
    if layer.residual_scale is not None:
        wide = tensors[layer.spec.residual].int16 or tensors[name].int16
        farthest = tensors[layer.spec.residual].largest_input if wide else 255
        largest = farthest * float(layer.residual_scale)
        _require(
            largest < (MAX_RESULT // 2 if wide else MAX_RESULT),
            f"layer {name!r}: residual_scale {layer.residual_scale} is too large",
        )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(f"not a valid quantised network: {message}")
