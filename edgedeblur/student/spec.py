"""The student: a small network made for int8 on CPUs with dot-product instructions.

The network is data: a tuple of `ConvSpec`, each one convolution with everything that is fused into it. The float
module, the quantiser and the compiler all walk the same tuple, so there is nothing to trace or pattern-match.

Layout of the tiers (tiers/*.toml): U-shaped; the image is folded by space-to-depth 2 before the first convolution, so
nothing runs at full resolution; four levels at 1/2, 1/4, 1/8 and 1/16; residual blocks without normalisation (EDSR, Lim
et al., CVPRW 2017); skips by addition (LinkNet, Chaurasia & Culurciello, 2017); sub-pixel upsampling (Shi et al., CVPR
2016); the image itself is added at the end, so the network learns the difference. docs/student.md has what else was
tried, at equal milliseconds.

With gates, each filter also knows the whole image's motion: a factor per channel from the mean of an earlier layer's
output (squeeze and excitation, Hu et al., CVPR 2018, but of a layer before, so that int8 kernels only read other
scales). Means are over what the network is given: a crop, a tile or a whole frame.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from edgedeblur.storage.records import Rules, read_record
from edgedeblur.student.operations import OpSpec

IMAGE = "image"
MAX_PARAMETERS = 5_000_000


@dataclass(frozen=True)
class ConvSpec:
    """One convolution and what is fused with it, in this order.

    out = relu?( depth_to_space( prelu?( conv( space_to_depth( source ) ) ) ) + residual )

    Channels are counted at the convolution: `in_channels` after space-to-depth, `out_channels` before depth-to-space.
    Both rearrangements keep (dy, dx, channel) order, as TensorFlow's and ONNX's "DCR" mode. Padding is half of the
    reach with zeros.

    gate: an earlier layer with ReLU. out is then multiplied, channel by channel, by
    2 * sigmoid( matrix @ mean of that layer's output over height and width + bias ). Only of a layer with ReLU, without
    a residual and without depth-to-space: there a positive factor may as well scale the convolution.

    groups: input and output channels fall into so many parts, and each output reads its own part; as many as there are
    channels is a depthwise convolution. dilation: pixels from one tap of the kernel to the next.

    prelu: negative values are multiplied by a slope of their channel, which is learnt (He et al., ICCV 2015); a leaky
    ReLU has the same slope everywhere. Without ReLU, residual and gate. limit: what ReLU's output is clamped to, 6 for
    ReLU6; without a gate.
    """

    name: str
    source: str
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    space_to_depth: int = 1
    depth_to_space: int = 1
    residual: str | None = None
    relu: bool = False
    gate: str | None = None
    groups: int = 1
    dilation: int = 1
    prelu: bool = False
    limit: float | None = None

    @property
    def reach(self) -> int:
        """Pixels from the first to the last that an output reads in a row."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def padding(self) -> int:
        """Zeros on each side."""
        return self.reach // 2

    @property
    def reads(self) -> tuple[str, ...]:
        """The tensors that it needs."""
        return tuple(name for name in (self.source, self.residual, self.gate) if name is not None)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output for a source of that size."""
        factor = self.space_to_depth * self.stride
        return height // factor * self.depth_to_space, width // factor * self.depth_to_space

    def macs(self, height: int, width: int) -> int:
        """Multiply-accumulates for a source of that size."""
        factor = self.space_to_depth * self.stride
        return (height // factor) * (width // factor) * self._weights

    @property
    def _weights(self) -> int:
        return self.kernel**2 * self.in_channels * self.out_channels // self.groups

    @property
    def parameters(self) -> int:
        return self._weights + self.out_channels * (2 if self.prelu else 1)


LATER_FIELDS = {"gate": None, "groups": 1, "dilation": 1, "prelu": False, "limit": None}
"""Fields of `ConvSpec` that came after the first version of files, with what a file without them means."""


Layer = ConvSpec | OpSpec


@dataclass(frozen=True)
class StudentSpec:
    """A whole student. `bottleneck` names the deepest layer, for feature losses."""

    name: str
    layers: tuple[Layer, ...]
    bottleneck: str
    multiple: int = 16

    @property
    def parameters(self) -> int:
        gates = sum(self.gate_parameters(layer) for layer in self.layers)
        return sum(layer.parameters for layer in self.layers) + gates

    @property
    def convolutions(self) -> tuple[ConvSpec, ...]:
        """The layers that have weights."""
        return tuple(layer for layer in self.layers if isinstance(layer, ConvSpec))

    @property
    def operations(self) -> tuple[OpSpec, ...]:
        """The layers that have none."""
        return tuple(layer for layer in self.layers if isinstance(layer, OpSpec))

    @property
    def gated(self) -> bool:
        """Whether any layer has a gate."""
        return any(layer.gate is not None for layer in self.layers)

    def gate_channels(self, layer: ConvSpec) -> int:
        """Channels of the tensor whose mean gates a layer; 0 for a layer without a gate."""
        sources = (other for other in self.layers if other.name == layer.gate)
        return next((source.out_channels // source.depth_to_space**2 for source in sources), 0)

    def gate_parameters(self, layer: ConvSpec) -> int:
        return 0 if layer.gate is None else (self.gate_channels(layer) + 1) * layer.out_channels

    def sizes(self, height: int, width: int) -> dict[str, tuple[int, int]]:
        """(height, width) of every tensor by name, for an image of that size."""
        sizes = {IMAGE: (height, width)}
        for layer in self.layers:
            sizes[layer.name] = layer.output_size(*sizes[layer.source])
        return sizes

    def channels(self) -> dict[str, int]:
        """Channels of every tensor by name."""
        return {IMAGE: 3} | {layer.name: layer.out_channels // layer.depth_to_space**2 for layer in self.layers}

    def macs(self, height: int = 512, width: int = 512) -> int:
        sizes = self.sizes(height, width)
        return sum(layer.macs(*sizes[layer.source]) for layer in self.layers)


def deepest_layer(layers: Sequence[Layer]) -> str:
    """The name of the last layer with the smallest output, the final one aside: where features are the most abstract.

    Raises:
        ValueError: a layer reads what no earlier one makes.
    """
    shrunk = _shrunk(layers)
    candidates = [layer.name for layer in layers[:-1] if layer.name in shrunk] or [layers[-1].name]
    return max(reversed(candidates), key=shrunk.__getitem__)


def smallest_multiple(layers: Sequence[Layer]) -> int:
    """The smallest number of which height and width must be multiples so that every stride and fold divides.

    Raises:
        ValueError: a layer reads what no earlier one makes.
    """
    shrunk = _shrunk(layers)
    read = [(shrunk[layer.source], layer) for layer in layers if layer.source in shrunk]
    inside = [shrink * _divides(layer) for shrink, layer in read]  # before depth-to-space
    return math.lcm(*(shrink.numerator for shrink in inside))


def _divides(layer: Layer) -> int:
    """What the source's sides are divided by."""
    return layer.operation.shrink if isinstance(layer, OpSpec) else layer.space_to_depth * layer.stride


def _shrunk(layers: Sequence[Layer]) -> dict[str, Fraction]:
    """By which factor tensors' sides are smaller than the image's; of those that are one pixel for any image, none."""
    shrunk, pixels = {IMAGE: Fraction(1)}, set()
    for layer in layers:
        if layer.source in pixels or (isinstance(layer, OpSpec) and layer.operation.combine == "mean"):
            pixels.add(layer.name)
            continue
        if layer.source not in shrunk:
            raise ValueError(f"layer {layer.name!r} reads {layer.source!r}, which no earlier layer makes")
        grown = layer.operation.grow if isinstance(layer, OpSpec) else layer.depth_to_space
        shrunk[layer.name] = shrunk[layer.source] * Fraction(_divides(layer), grown)
    return shrunk


def layer_record(layer: Layer) -> dict:
    """A layer as JSON values, for files. What it does not have of LATER_FIELDS has no key, as in older files."""
    return {key: value for key, value in asdict(layer).items() if key not in LATER_FIELDS or value != LATER_FIELDS[key]}


def read_layer(value: Any, key: str, rules: Rules) -> Layer:
    """A layer of a file: a record with `op` is one without weights. For `Rules.readers`.

    Raises:
        UserError: as `read_record`.
    """
    kind = OpSpec if isinstance(value, dict) and "op" in value else ConvSpec
    return read_record(kind, value, rules, key)


LAYER_READERS = {Layer: read_layer}
