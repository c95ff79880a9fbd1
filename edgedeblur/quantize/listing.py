"""What a quantised network consists of, for `inspect` and the report: read from the stored arrays, not asserted."""

from dataclasses import dataclass

import numpy as np

from edgedeblur.quantize.check import accumulator_bound
from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork, TensorScale
from edgedeblur.student import ConvSpec


@dataclass(frozen=True)
class LayerFacts:
    """One convolution.

    operation: in words, with everything fused to it.
    macs: multiply-accumulates at the listing's image size.
    weight_type, bias_type: types of the stored arrays.
    weight_scale_min, weight_scale_max: over the output channels that have weights.
    source, output: scale and zero point of what it reads and makes, int8.
    dead_channels: output channels whose weights are all zero.
    accumulator_bits: signed bits that hold every accumulator any input can make; 32 are there.
    reasons: why the layer is not int8; empty where it is.
    """

    name: str
    operation: str
    macs: int
    parameters: int
    weight_type: str
    bias_type: str
    weight_scale_min: float
    weight_scale_max: float
    source: TensorScale
    output: TensorScale
    residual_scale: float | None
    dead_channels: int
    accumulator_bits: int
    reasons: tuple[str, ...]

    @property
    def int8(self) -> bool:
        return not self.reasons


@dataclass(frozen=True)
class NetworkFacts:
    """The whole network at one image size. `weight_bytes` counts weights, biases and scales as they are stored."""

    name: str
    height: int
    width: int
    layers: tuple[LayerFacts, ...]
    weight_bytes: int

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def int8_convolutions(self) -> int:
        return sum(layer.int8 for layer in self.layers)

    @property
    def reasons(self) -> list[str]:
        """Every reason for which some layer is not int8, with the layer's name."""
        return [f"{layer.name}: {reason}" for layer in self.layers for reason in layer.reasons]


def list_network(network: QuantisedNetwork, height: int = 512, width: int = 512) -> NetworkFacts:
    """The facts of every layer, in order, for images of that size."""
    sizes = network.spec.sizes(height, width)
    layers = tuple(_layer_facts(network, layer, sizes[layer.spec.source]) for layer in network.layers)
    arrays = [array for layer in network.layers for array in (layer.weight, layer.bias, layer.scale)]
    arrays += [array for layer in network.layers if layer.gate is not None for array in vars(layer.gate).values()]
    return NetworkFacts(network.spec.name, height, width, layers, sum(array.nbytes for array in arrays))


def _layer_facts(network: QuantisedNetwork, layer: QuantisedConv, source_size: tuple[int, int]) -> LayerFacts:
    spec = layer.spec
    alive = layer.weight.reshape(len(layer.weight), -1).any(axis=1)
    scales = layer.weight_scale[alive] if alive.any() else layer.weight_scale
    bound = accumulator_bound(layer, network.tensors[spec.source].zero_point)
    return LayerFacts(
        name=spec.name,
        operation=describe(spec),
        macs=spec.macs(*source_size),
        parameters=spec.parameters + network.spec.gate_parameters(spec),
        weight_type=layer.weight.dtype.name,
        bias_type=layer.bias.dtype.name,
        weight_scale_min=float(scales.min()),
        weight_scale_max=float(scales.max()),
        source=network.tensors[spec.source],
        output=network.tensors[spec.name],
        residual_scale=None if layer.residual_scale is None else float(layer.residual_scale),
        dead_channels=int(np.sum(~alive)),
        accumulator_bits=int(bound.max()).bit_length() + 1,
        reasons=tuple(why_not_int8(layer)),
    )


def why_not_int8(layer: QuantisedConv) -> list[str]:
    """Reasons, with what was found; empty for a layer whose multiplications are int8 by int8 into int32."""
    reasons = []
    for kind, dtype in (("weight", "int8"), ("bias", "int32")):
        found = getattr(layer, kind).dtype.name
        if found != dtype:
            reasons.append(f"its {kind} is stored as {found}, not {dtype}")
    return reasons


def describe(spec: ConvSpec) -> str:
    """For example "space-to-depth 4, conv 3x3 48->32, ReLU"."""
    parts = [f"space-to-depth {spec.space_to_depth}"] if spec.space_to_depth > 1 else []
    stride = f" stride {spec.stride}" if spec.stride > 1 else ""
    parts.append(f"conv {spec.kernel}x{spec.kernel} {spec.in_channels}->{spec.out_channels}{stride}")
    if spec.depth_to_space > 1:
        parts.append(f"depth-to-space {spec.depth_to_space}")
    if spec.residual is not None:
        parts.append(f"+ {spec.residual}")
    if spec.relu:
        parts.append("ReLU")
    if spec.gate is not None:
        parts.append(f"gate by {spec.gate}")
    return ", ".join(parts)
