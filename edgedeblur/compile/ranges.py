"""The ranges that the kernels' arithmetic needs to be exact, checked before anything is compiled.

A network from `quantize` keeps far inside them; a damaged or hand-made one may not, and would then differ between
processors (float-to-int conversion saturates on ARM and does not on x86).
"""

import numpy as np

from edgedeblur.compile.kernels.layer import largest_sums
from edgedeblur.errors import UserError
from edgedeblur.quantize.check import largest_scale
from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork

INT32_MAX = 2**31 - 1
MAX_RESIDUAL_SCALE = 125.0  # 255 steps of it, a zero point and the clamp's range still fit int16

_FIX = "quantise again with more calibration images"


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
