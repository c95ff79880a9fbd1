"""The definition of the quantised network's arithmetic (see network.py), in NumPy: slow, plain and exact.

Every compiled artefact must give these bytes. The accumulators are sums of integers computed by a floating-point matrix
product: float32 where no partial sum can reach 2^24, up to where it holds every integer, else float64 with 2^53. So the
order of summation cannot change a bit and BLAS may be used.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.quantize.network import (
    GATE_TABLE,
    IMAGE_ZERO_POINT,
    MAX_GATE_INDEX,
    MEAN_STEPS,
    QuantisedConv,
    QuantisedGate,
    QuantisedLayer,
    QuantisedNetwork,
    QuantisedOp,
    TensorScale,
)
from edgedeblur.student import IMAGE
from edgedeblur.student.operations import Tap

_BAND_VALUES = 1 << 22  # values of unfolded input held at once: 16 MB of float32
LARGEST_INPUT = 255  # magnitude of an int8 value less its zero point


def run(network: QuantisedNetwork, image: np.ndarray) -> np.ndarray:
    """The restored image.

    Args:
        image: uint8 [H, W, 3] RGB, H and W in multiples of `network.spec.multiple`.

    Returns:
        uint8 [H, W, 3] RGB.

    Raises:
        UserError: an image of another type or size.
    """
    last = network.spec.layers[-1].name
    tensors = dict(iterate_tensors(network, image))
    return to_image(tensors[last])


def run_tensors(network: QuantisedNetwork, image: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor by name, int8 or int16 [H, W, C], among them the image (pixel - 128) and the output (likewise).

    Raises:
        UserError: as `run`.
    """
    return dict(iterate_tensors(network, image))


def iterate_tensors(network: QuantisedNetwork, image: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """(name, int8 or int16 [H, W, C]) in order of computation, the image first.

    Raises:
        UserError: as `run`.
    """
    check_image(image, network.spec.multiple)
    tensors = {IMAGE: from_image(image)}
    yield IMAGE, tensors[IMAGE]
    for layer in network.layers:
        tensors[layer.spec.name] = run_layer(network, layer, tensors)
        yield layer.spec.name, tensors[layer.spec.name]


def run_layer(network: QuantisedNetwork, layer: QuantisedLayer, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """One layer's output [H, W, C] from the [H, W, C] tensors it reads: int8, or int16 as `network.tensors` says."""
    spec = layer.spec
    if isinstance(layer, QuantisedOp):
        return run_operation(layer, tensors, network.tensors, network.tensors[spec.name])
    read, out = network.tensors[spec.source], network.tensors[spec.name]
    accumulator = convolve(source_integers(network, layer, tensors), layer, read.largest_input)
    scale = layer.scale
    if layer.gate is not None:
        scale = scale * gate_factors(layer.gate, tensors[spec.gate], network.tensors[spec.gate].zero_point)
    if layer.negative_scale is not None:
        scale = np.where(accumulator < 0, layer.negative_scale, scale)
    result = depth_to_space(requantise(accumulator, scale), spec.depth_to_space)
    if spec.residual is not None:
        residual = tensors[spec.residual].astype(np.int32) - network.tensors[spec.residual].zero_point
        result = result + requantise(residual, layer.residual_scale)
    clamped = np.clip(result + out.zero_point, network.low(layer), network.high(layer))
    return clamped.astype(np.int16 if out.int16 else np.int8)


def run_operation(
    layer: QuantisedOp, tensors: dict[str, np.ndarray], scales: dict[str, TensorScale], scale: TensorScale
) -> np.ndarray:
    """The layer's output, int8 [H, W, C], from int8 [H, W, C] tensors.

    Args:
        scales: of the tensors that it reads. scale: of its output.
    """
    spec, combine = layer.spec, layer.spec.operation.combine
    read = []
    for index, source in enumerate(spec.sources):
        tensor, start = tensors[source], spec.start(index)
        count = tensor.shape[2] - start if combine == "concatenate" else spec.out_channels
        read.append(tensor[:, :, start : start + count].astype(np.int32) - scales[source].zero_point)
    if combine == "table":
        return layer.table[read[0] + scales[spec.source].zero_point + 128]
    if combine == "mean":
        pixels = read[0].shape[0] * read[0].shape[1]
        total = read[0].sum(axis=(0, 1), dtype=np.int64, keepdims=True)
        value = requantise(mean_steps(total, pixels), layer.scales[0])
    elif combine == "add":
        value = requantise(read[0], layer.scales[0]) + requantise(read[1], layer.scales[1])
    elif combine == "multiply":
        value = requantise(read[0] * read[1], layer.scales[0])
    elif combine == "concatenate":
        value = np.concatenate([requantise(*each) for each in zip(read, layer.scales, strict=True)], axis=2)
    else:
        value = _windows(layer, read[0])
    return np.clip(value + scale.zero_point, -128, 127).astype(np.int8)


def _windows(layer: QuantisedOp, source: np.ndarray) -> np.ndarray:
    """What a layer makes of every window of centred integers [H, W, C]."""
    operation, (height, width, channels) = layer.spec.operation, source.shape
    grow, rows, columns = operation.grow, height // operation.shrink, width // operation.shrink
    out = np.empty((rows, grow, columns, grow, channels), np.int32)
    for phase, taps in enumerate(operation.taps):
        values = [_shifted(source, tap, operation.shrink) for tap in taps]
        if operation.combine == "maximum":
            made = np.max(values, axis=0)
        else:
            weights = [tap.weight for tap in taps]
            made = requantise(sum(w * value for w, value in zip(weights, values, strict=True)), layer.scales[0])
        out[:, phase // grow, :, phase % grow] = made
    return out.reshape(rows * grow, columns * grow, channels)


def _shifted(source: np.ndarray, tap: Tap, shrink: int) -> np.ndarray:
    """The pixel that each window reads at a tap."""
    rows, columns = (
        np.clip(np.arange(side // shrink) * shrink + shift, 0, side - 1)
        for side, shift in zip(source.shape[:2], (tap.dy, tap.dx), strict=True)
    )
    return source[rows[:, None], columns[None, :]]


def gate_factors(gate: QuantisedGate, tensor: np.ndarray, zero_point: int) -> np.ndarray:
    """What a layer's scales are multiplied by, float32 [out], for the int8 [H, W, in] tensor that gates it."""
    pixels = tensor.shape[0] * tensor.shape[1]
    total = tensor.sum(axis=(0, 1), dtype=np.int64) - pixels * zero_point
    return factors_of_means(gate, mean_steps(total, pixels))


def mean_steps(total: np.ndarray, pixels: int) -> np.ndarray:
    """Sums over so many pixels as means, in 1/MEAN_STEPS."""
    return (MEAN_STEPS * total + pixels // 2) // pixels


def factors_of_means(gate: QuantisedGate, mean: np.ndarray) -> np.ndarray:
    """As `gate_factors`, from the `mean_steps` of the gating tensor less its zero point, int64 [in]."""
    products = (gate.weight.astype(np.int64) @ mean + gate.bias).astype(np.int32)
    index = np.clip(np.rint(products.astype(np.float32) * gate.scale), -MAX_GATE_INDEX, MAX_GATE_INDEX)
    return GATE_TABLE[index.astype(np.int64) + MAX_GATE_INDEX]


def with_fixed_gates(network: QuantisedNetwork, image: np.ndarray) -> QuantisedNetwork:
    """The network without gates whose scales are what the gates make of them for one image: of this image it gives the
    same bytes, and other runtimes, which have no scales that an image decides, can compute it.

    Args:
        image: uint8 [H, W, 3] RGB, as for `run`.
    """
    tensors, layers = run_tensors(network, image), []
    for layer in network.layers:
        if layer.gate is not None:
            source = layer.spec.gate
            factors = gate_factors(layer.gate, tensors[source], network.tensors[source].zero_point)
            scales = {"scale": layer.scale * factors, "weight_scale": layer.weight_scale * factors}
            layer = replace(layer, spec=replace(layer.spec, gate=None), gate=None, **scales)
        layers.append(layer)
    return replace(network, spec=replace(network.spec, layers=tuple(one.spec for one in layers)), layers=tuple(layers))


def source_integers(network: QuantisedNetwork, layer: QuantisedConv, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """What the convolution of a layer reads: int16 [H, W, in], zero point taken off, halved in Winograd form, folded by
    space-to-depth."""
    spec = layer.spec
    source = tensors[spec.source].astype(np.int16) - np.int16(network.tensors[spec.source].zero_point)
    return space_to_depth((source + 1) >> 1 if layer.winograd else source, spec.space_to_depth)


def convolve(source: np.ndarray, layer: QuantisedConv, largest: int = LARGEST_INPUT) -> np.ndarray:
    """int32 accumulators [H', W', out] of zero-centred integers [H, W, in], padded with zeros, bias added.

    Args:
        largest: no magnitude in `source` is larger.
    """
    spec = layer.spec
    stride, reach, step, pad = spec.stride, spec.reach, spec.dilation, spec.padding
    padded = np.pad(source, ((pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (reach, reach), axis=(0, 1))[::stride, ::stride]
    windows = windows[..., ::step, ::step]
    height, width, channels = windows.shape[:3]
    exact = exact_type(layer, largest)
    weight = layer.weight.reshape(spec.groups, len(layer.weight) // spec.groups, -1).transpose(0, 2, 1).astype(exact)
    bias = layer.bias.astype(exact)
    out = np.empty((height, width, len(layer.weight)), np.int32)
    rows = max(1, _BAND_VALUES // (width * channels * spec.kernel**2))
    for top in range(0, height, rows):
        band = windows[top : top + rows]
        groups = band.reshape(*band.shape[:2], spec.groups, -1, *band.shape[3:]).transpose(2, 0, 1, 4, 5, 3)
        columns = groups.astype(exact, order="C").reshape(spec.groups, -1, weight.shape[1])
        sums = (columns @ weight).transpose(1, 0, 2).reshape(-1, width, len(layer.weight))
        out[top : top + rows] = sums + bias
    return out


def exact_type(layer: QuantisedConv, largest: int = LARGEST_INPUT) -> type:
    """The smallest floating-point type that holds every partial sum of the layer's accumulators, in any order, where no
    input is larger in magnitude."""
    weight = np.abs(layer.weight.reshape(len(layer.weight), -1).astype(np.int64))
    reached = (weight.sum(axis=1) * max(largest, LARGEST_INPUT) + np.abs(layer.bias.astype(np.int64))).max()
    return np.float32 if reached < 1 << 24 else np.float64


def requantise(accumulator: np.ndarray, scale: np.ndarray | np.float32) -> np.ndarray:
    """rint(float32(accumulator) * scale): one rounding to float32, then half to even; int32."""
    return np.rint(accumulator.astype(np.float32) * np.asarray(scale, np.float32)).astype(np.int32)


def space_to_depth(x: np.ndarray, factor: int) -> np.ndarray:
    """[H, W, C] -> [H/factor, W/factor, factor*factor*C], channels in (dy, dx, c) order."""
    height, width, channels = x.shape
    x = x.reshape(height // factor, factor, width // factor, factor, channels)
    return x.transpose(0, 2, 1, 3, 4).reshape(height // factor, width // factor, factor * factor * channels)


def depth_to_space(x: np.ndarray, factor: int) -> np.ndarray:
    """The inverse of `space_to_depth`."""
    height, width, channels = x.shape
    x = x.reshape(height, width, factor, factor, channels // factor**2)
    return x.transpose(0, 2, 1, 3, 4).reshape(height * factor, width * factor, channels // factor**2)


def from_image(image: np.ndarray) -> np.ndarray:
    """uint8 pixels to the int8 tensor they are: q = pixel - 128."""
    return (image.astype(np.int16) + IMAGE_ZERO_POINT).astype(np.int8)


def to_image(tensor: np.ndarray) -> np.ndarray:
    """The inverse of `from_image`."""
    return (tensor.astype(np.int16) - IMAGE_ZERO_POINT).astype(np.uint8)


def check_image(image: np.ndarray, multiple: int) -> None:
    """Raises UserError unless `image` is uint8 [H, W, 3] with H and W positive multiples of `multiple`."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"an image must be a uint8 array [H, W, 3]; this is {found}")
    height, width = image.shape[:2]
    if not height or not width or height % multiple or width % multiple:
        raise UserError(f"the image is {height}x{width}; height and width must be multiples of {multiple}")
