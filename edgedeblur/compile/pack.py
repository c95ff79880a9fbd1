"""A layer's constants as its kernel reads them: weights in inner-loop order, the bias made up for the tile's offset."""

from dataclasses import dataclass

import numpy as np

from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer, layer_numbers, pack_numbers, reads_numbers
from edgedeblur.compile.kernels.requantise import BEGUN_BITS, begins_as_float
from edgedeblur.compile.kernels.signature import bias_vectors, weight_dtype, weight_shape
from edgedeblur.compile.kernels.tile import line_isa
from edgedeblur.compile.schedules.schedule import ROW_POSITIONS, Schedule, channel_vectors
from edgedeblur.quantize.network import GATE_TABLE, QuantisedConv, QuantisedGate


@dataclass(frozen=True)
class PackedConstants:
    """weight: `weight_dtype`, flat, in `weight_shape` order. bias int32, scale and, with prelu, negative_scale float32:
    [channel vectors * lanes]. numbers, where they are data: int32, `layer.pack_numbers`."""

    weight: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    negative_scale: np.ndarray | None = None
    numbers: np.ndarray | None = None

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Those that there are, by name."""
        return {name: array for name, array in vars(self).items() if array is not None}


def pack_constants(conv: QuantisedConv, layer: ConvLayer, schedule: Schedule, isa: InstructionSet) -> PackedConstants:
    """Weights, bias and scale of one layer for one kernel; channels that only fill a register are zero.

    The tile holds q + b (InstructionSet.tile_bias) where the network's sum is over q - zero_point:
    sum((q - z) * w) = sum((q + b) * w) - (z + b) * sum(w), and the last term is known now, so it moves to the bias.
    Both may wrap modulo 2^32; the wraps cancel.
    """
    if schedule.method == "rows":
        return _pack_rows(conv, layer, schedule, isa)
    products = isa.products(schedule.method)
    outputs = channel_vectors(layer, isa) * isa.lanes
    surplus = (0, outputs - layer.out_channels)
    own = conv.weight if layer.depthwise else without_groups(conv)
    surplus_in = (0, 0 if layer.depthwise else products.padded_channels(layer.in_channels) - layer.in_channels)
    weight = np.pad(own, (surplus, (0, 0), (0, 0), surplus_in))
    made_up = products.tile_zero(layer.source_zero_point) * weight.sum(axis=(1, 2, 3), dtype=np.int64)
    bias = np.pad(conv.bias, surplus).astype(np.int64) - made_up + begun_bits(layer, isa)
    packed = _ORDERS[schedule.method](weight, weight_shape(layer, schedule, isa))
    negative = conv.negative_scale
    return PackedConstants(
        weight=np.ascontiguousarray(packed, weight_dtype(schedule, isa)).reshape(-1),
        bias=bias.astype(np.int32),
        scale=np.pad(conv.scale, surplus).astype(np.float32),
        negative_scale=None if negative is None else np.pad(negative, surplus).astype(np.float32),
        numbers=_numbers(layer, products),
    )


def without_groups(conv: QuantisedConv) -> np.ndarray:
    """Weights [out, kernel, kernel, in], zero where a group does not read: what kernels multiply."""
    spec = conv.spec
    if spec.groups == 1:
        return conv.weight
    each_out, each_in = spec.out_channels // spec.groups, spec.in_channels // spec.groups
    whole = np.zeros((*conv.weight.shape[:3], spec.in_channels), np.int8)
    for group in range(spec.groups):
        out, read = (slice(group * each, (group + 1) * each) for each in (each_out, each_in))
        whole[out, ..., read] = conv.weight[out]
    return whole


def _pack_rows(conv: QuantisedConv, layer: ConvLayer, schedule: Schedule, isa: InstructionSet) -> PackedConstants:
    """The same for kernels/winograd/rows.py: weights transformed along rows, and the bias doubled, as half of what
    position 1 sums up counts. The tile holds t + b at each position, t of values that are not centred at position 1."""
    outputs = channel_vectors(layer, isa) * isa.lanes
    surplus, offset = (0, outputs - layer.out_channels), isa.tile_bias or 0
    weight = np.pad(conv.weight.astype(np.int64), (surplus, (0, 0), (0, 0), (0, 0)))
    first, middle, last = (weight[:, :, column] for column in range(3))
    transformed = np.stack([first, first + middle + last, first - middle + last, last], axis=1)
    sums = transformed.sum(axis=(2, 3))
    zero = line_isa(isa).tile_zero(layer.source_zero_point)
    begun = 2 * np.pad(conv.bias, surplus).astype(np.int64) - (2 * zero + offset) * sums[:, 1]
    begun += 2 * begun_bits(layer, isa)
    bias = [begun, *(-offset * sums[:, position] for position in (0, 2, 3))][: bias_vectors(schedule, isa)]
    rows = transformed.reshape(outputs, ROW_POSITIONS * layer.kernel, 1, layer.in_channels)
    packed = _inner_loop_order(rows, weight_shape(layer, schedule, isa))
    return PackedConstants(
        weight=np.ascontiguousarray(packed, weight_dtype(schedule, isa)).reshape(-1),
        bias=np.concatenate(bias).astype(np.int32),
        scale=np.pad(conv.scale, surplus).astype(np.float32),
        numbers=_numbers(layer, line_isa(isa)),
    )


def begun_bits(layer: ConvLayer, isa: InstructionSet) -> int:
    """What sums begin with beside their bias (kernels/requantise.py)."""
    return BEGUN_BITS if begins_as_float(layer, isa) else 0


def _numbers(layer: ConvLayer, isa: InstructionSet) -> np.ndarray | None:
    return pack_numbers(layer_numbers(layer, isa)) if reads_numbers(layer) else None


def pack_gate(gate: QuantisedGate) -> dict[str, np.ndarray]:
    """A gate's constants by the names of its kernel's parameters (kernels/gate.py)."""
    return {
        "gate_weight": gate.weight.reshape(-1),
        "gate_bias": gate.bias,
        "gate_scale": gate.scale,
        "gate_table": GATE_TABLE,
    }


def _inner_loop_order(weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[out, row, column, in] to [block, row, group of the rest, vector, lane, in group]."""
    blocks, rows, groups, vectors, lanes, group = shape
    split = weight.reshape(blocks, vectors, lanes, rows, groups, group)
    return split.transpose(0, 3, 4, 1, 2, 5)


def _taps_together(weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[out, row, column, in] to [block, group of in, vector, tap, lane, in group]."""
    blocks, groups, vectors, taps, lanes, group = shape
    split = weight.reshape(blocks, vectors, lanes, taps, groups, group)
    return split.transpose(0, 4, 1, 3, 2, 5)


def _taps_by_channel(weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[channel, row, column, 1] to [group of rows, column, channel, row in group]; rows beyond the kernel are zero."""
    groups, columns, channels, together = shape
    rows = np.pad(weight[..., 0], ((0, 0), (0, groups * together - columns), (0, 0)))
    return rows.reshape(channels, groups, together, columns).transpose(1, 3, 0, 2)


def _by_pieces(weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The same with zeros behind each row, or with dilation behind each tap, as many as `shape` has room for."""
    rows, groups, group = shape[1], shape[2], shape[-1]
    runs = weight.reshape(len(weight), rows, -1)
    return _inner_loop_order(np.pad(runs, ((0, 0), (0, 0), (0, groups * group - runs.shape[2]))), shape)


_ORDERS = {
    "direct": _inner_loop_order,
    "matrix": _by_pieces,
    "winograd": _taps_together,
    "depthwise": _taps_by_channel,
}
