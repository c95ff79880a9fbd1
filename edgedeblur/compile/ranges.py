"""The ranges that the kernels' arithmetic needs to be exact, checked before anything is compiled, and those in which a
shorter arithmetic is exact, too.

A network from `quantize` keeps far inside them; a damaged or hand-made one may not, and would then differ between
processors (float-to-int conversion saturates on ARM and does not on x86).
"""

from dataclasses import dataclass

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.quantize.check import largest_scale
from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork

INT32_MAX = 2**31 - 1
LARGEST_ACTIVATION = 255  # |q - zero_point|
LARGEST_HALF = 127  # what a layer in Winograd form reads
FLOAT_SUMS = 1 << 22  # sums below it lie among the low bits of 1.5 * 2^23 + sum, a float32
SHORT_STEPS = (1 << 15) - 1 - 128  # requantised sums up to it, and a zero point, are what their low 16 bits say
SCALE_STEPS = 1 << 16  # a residual's scale as an integer is in steps of 1 / SCALE_STEPS
MAX_RESIDUAL_SCALE = 125.0  # 255 steps of it, a zero point and the clamp's range still fit int16

_FIX = "quantise again with more calibration images"


@dataclass(frozen=True)
class IntegerScale:
    """A residual's scale in integers: for the stored byte u (q + 128), u * multiplier + addend, in 1 / SCALE_STEPS
    steps and rounded down, is rint((q - zero_point) * scale), whatever u."""

    multiplier: int
    addend: int

    @property
    def whole(self) -> int:
        """The multiplier's whole steps."""
        return self.multiplier // SCALE_STEPS


def integer_scale(scale: float, zero_point: int) -> IntegerScale | None:
    """The scale of a residual with that zero point in integers; None where no integer near it rounds each of the 256
    values as the float32 does."""
    if not np.isfinite(scale):  # refused where the network's numbers are checked
        return None
    stored = np.arange(256, dtype=np.int64)
    steps = np.rint((stored - 128 - zero_point).astype(np.float32) * np.float32(scale)).astype(np.int64)
    nearest = round(float(np.float32(scale)) * SCALE_STEPS)
    for multiplier in (nearest, nearest - 1, nearest + 1):
        least = steps * SCALE_STEPS - stored * multiplier
        low, high = int(least.max()), int(least.min()) + SCALE_STEPS - 1
        if multiplier >= 0 and low <= high:
            return IntegerScale(multiplier, (low + high) // 2)
    return None


def largest_sums(network: QuantisedNetwork, conv: QuantisedConv) -> np.ndarray:
    """int64 [out]: a bound on the sum of each output channel's products, before the bias."""
    source = network.tensors[conv.spec.source]
    plain = source.highest if source.int16 else LARGEST_ACTIVATION
    return np.abs(conv.weight.astype(np.int64)).sum(axis=(1, 2, 3)) * (LARGEST_HALF if conv.winograd else plain)


def reached_sums(conv: QuantisedConv, zero_point: int) -> np.ndarray:
    """int64 [out]: the largest magnitude of each output channel's sum with its bias, by the bytes that there are.

    Args:
        zero_point: of the tensor that the layer reads.
    """
    zero, lowest, highest = (value >> conv.winograd for value in (zero_point, -128, 127))
    weight, bias = conv.weight.astype(np.int64), conv.bias.astype(np.int64)
    up, down = (part.sum(axis=(1, 2, 3)) for part in (np.maximum(weight, 0), np.minimum(weight, 0)))
    most = up * (highest - zero) + down * (lowest - zero) + bias
    least = up * (lowest - zero) + down * (highest - zero) + bias
    return np.maximum(np.abs(most), np.abs(least))


def any_int16(network: QuantisedNetwork, layer: QuantisedConv) -> bool:
    """Whether the layer reads or writes int16 values, which have no shorter arithmetic."""
    names = (layer.spec.source, layer.spec.residual, layer.spec.name)
    return any(network.tensors[name].int16 for name in names if name is not None)


def short_cuts(network: QuantisedNetwork, layer: QuantisedConv) -> dict[str, bool]:
    """ConvLayer's `float_sums` and `short_steps`."""
    if any_int16(network, layer):
        return {"float_sums": False, "short_steps": False}
    sums = reached_sums(layer, network.tensors[layer.spec.source].zero_point)
    steps = sums * largest_scale(layer)
    return {"float_sums": bool(sums.max() < FLOAT_SUMS), "short_steps": bool(steps.max() < SHORT_STEPS)}


def check_ranges(network: QuantisedNetwork) -> None:
    """Raises UserError unless every layer's sums and requantised sums fit int32, and its residual int16."""
    for layer in network.convolutions:
        _check_sums(network, layer)
        _check_residual(network, layer)


def _check_sums(network: QuantisedNetwork, layer: QuantisedConv) -> None:
    largest = largest_sums(network, layer) + np.abs(layer.bias.astype(np.int64))
    if largest.max() > INT32_MAX:
        channel = int(largest.argmax())
        raise UserError(
            f"layer {layer.spec.name}: sums of output channel {channel} may reach {largest[channel]:,}, over int32's "
            f"{INT32_MAX:,}",
            fix=_FIX,
        )
    scaled = largest * largest_scale(layer)
    if not np.all(np.abs(scaled) < INT32_MAX):
        channel = int(np.flatnonzero(~(np.abs(scaled) < INT32_MAX))[0])
        raise UserError(
            f"layer {layer.spec.name}: output channel {channel} has scale {layer.scale[channel]:g}, with which sums up "
            f"to {largest[channel]:,} leave int32",
            fix=_FIX,
        )


def _check_residual(network: QuantisedNetwork, layer: QuantisedConv) -> None:
    """Of what is added in int16; what is added in int32 quantize/check.py bounds."""
    scale, residual = layer.residual_scale, layer.spec.residual
    if residual is None or network.tensors[residual].int16 or network.tensors[layer.spec.name].int16:
        return
    if not 0 <= scale <= MAX_RESIDUAL_SCALE:
        raise UserError(
            f"layer {layer.spec.name} scales its residual {layer.spec.residual} by {scale:g}; kernels take 0 to "
            f"{MAX_RESIDUAL_SCALE:g}",
            fix=_FIX,
        )
