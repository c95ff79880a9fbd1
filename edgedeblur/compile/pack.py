"""A layer's constants as its kernel reads them: weights in inner-loop order, the bias made up for the tile's offset."""

from dataclasses import dataclass

import numpy as np

from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.signature import weight_shape
from edgedeblur.compile.schedule import Schedule, channel_vectors
from edgedeblur.quantize.network import QuantisedConv


@dataclass(frozen=True)
class PackedConstants:
    """weight: isa.weight_dtype, flat, in `weight_shape` order. bias int32, scale float32: [channel vectors * lanes]."""

    weight: np.ndarray
    bias: np.ndarray
    scale: np.ndarray


def pack_constants(conv: QuantisedConv, layer: ConvLayer, schedule: Schedule, isa: InstructionSet) -> PackedConstants:
    """Weights, bias and scale of one layer for one kernel; channels that only fill a register are zero.

    The tile holds q + b (InstructionSet.tile_bias) where the network's sum is over q - zero_point:
    sum((q - z) * w) = sum((q + b) * w) - (z + b) * sum(w), and the last term is known now, so it moves to the bias.
    It may wrap in int32; so does the sum, back again.
    """
    outputs = channel_vectors(layer, isa) * isa.lanes
    surplus = (0, outputs - layer.out_channels)
    surplus_in = (0, isa.padded_channels(layer.in_channels) - layer.in_channels)
    weight = np.pad(conv.weight, (surplus, (0, 0), (0, 0), surplus_in))
    made_up = isa.tile_zero(layer.source_zero_point) * weight.sum(axis=(1, 2, 3), dtype=np.int64)
    bias = np.pad(conv.bias, surplus).astype(np.int64) - made_up
    if schedule.method == "winograd":
        weight = transform_weights(weight)
    return PackedConstants(
        weight=_inner_loop_order(weight, weight_shape(layer, schedule, isa)).astype(isa.weight_dtype),
        bias=bias.astype(np.int32),
        scale=np.pad(conv.scale, surplus).astype(np.float32),
    )


def transform_weights(weight: np.ndarray) -> np.ndarray:
    """2G g 2G^T (kernels/winograd.py) of int8 [out, 3, 3, in]: int64 [out, 16, in], within +-9 * 127."""
    doubled = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])
    return np.einsum("yi,oijc,xj->oyxc", doubled, weight.astype(np.int64), doubled).reshape(len(weight), 16, -1)


def _inner_loop_order(weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[out, part, ..., in] to [block, part, group of the rest, vector, lane, in group], flat."""
    blocks, parts, groups, vectors, lanes, group = shape
    split = weight.reshape(blocks, vectors, lanes, parts, groups, group)
    return np.ascontiguousarray(split.transpose(0, 3, 4, 1, 2, 5)).reshape(-1)
