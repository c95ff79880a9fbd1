"""The student: a small U-shaped network made for int8 on CPUs with dot-product instructions, and its tiers.

The network is data: a tuple of `ConvSpec`, each one convolution with everything that is fused into it. The float
module, the quantiser and the compiler all walk the same tuple, so there is nothing to trace or pattern-match.

Layout: the image is folded by space-to-depth 2 before the first convolution, so nothing runs at full resolution; four
levels at 1/2, 1/4, 1/8 and 1/16; residual blocks without normalisation (EDSR, Lim et al., CVPRW 2017); skips by
addition (LinkNet, Chaurasia & Culurciello, 2017); sub-pixel upsampling (Shi et al., CVPR 2016); the image itself is
added at the end, so the network learns the difference. docs/student.md has what else was tried, at equal milliseconds.

With gates, each filter also knows the whole image's motion: a factor per channel from the mean of an earlier layer's
output (squeeze and excitation, Hu et al., CVPR 2018, but of a layer before, so that int8 kernels only read other
scales). Means are over what the network is given: a crop, a tile or a whole frame.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from edgedeblur.errors import UserError

IMAGE = "image"
FOLD = 2
MAX_PARAMETERS = 5_000_000


@dataclass(frozen=True)
class ConvSpec:
    """One convolution and what is fused with it, in this order.

    out = relu?( depth_to_space( conv( space_to_depth( source ) ) ) + residual )

    Channels are counted at the convolution: `in_channels` after space-to-depth, `out_channels` before depth-to-space.
    Both rearrangements keep (dy, dx, channel) order, as TensorFlow's and ONNX's "DCR" mode. Padding is kernel // 2 with
    zeros.

    gate: an earlier layer with ReLU. out is then multiplied, channel by channel, by
    2 * sigmoid( matrix @ mean of that layer's output over height and width + bias ). Only of a layer with ReLU, without
    a residual and without depth-to-space: there a positive factor may as well scale the convolution.
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

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output for a source of that size."""
        factor = self.space_to_depth * self.stride
        return height // factor * self.depth_to_space, width // factor * self.depth_to_space

    def macs(self, height: int, width: int) -> int:
        """Multiply-accumulates for a source of that size."""
        factor = self.space_to_depth * self.stride
        return (height // factor) * (width // factor) * self.kernel**2 * self.in_channels * self.out_channels

    @property
    def parameters(self) -> int:
        return self.kernel**2 * self.in_channels * self.out_channels + self.out_channels


@dataclass(frozen=True)
class StudentSpec:
    """A whole student. `bottleneck` names the deepest layer, for feature losses."""

    name: str
    layers: tuple[ConvSpec, ...]
    bottleneck: str
    multiple: int = 16

    @property
    def parameters(self) -> int:
        gates = sum(self.gate_parameters(layer) for layer in self.layers)
        return sum(layer.parameters for layer in self.layers) + gates

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

    def macs(self, height: int = 512, width: int = 512) -> int:
        sizes = self.sizes(height, width)
        return sum(layer.macs(*sizes[layer.source]) for layer in self.layers)


@dataclass(frozen=True)
class Tier:
    """Channels at 1/2, 1/4, 1/8 and 1/16, residual blocks on the way down and (finest first) up, and the budget at
    512x512."""

    widths: tuple[int, ...]
    down_blocks: tuple[int, ...]
    up_blocks: tuple[int, ...]
    max_gmac: float


TIERS = {
    "nano": Tier((16, 32, 64, 96), (0, 1, 1, 1), (1, 1, 0), 2.0),
    "small": Tier((16, 32, 64, 128), (2, 2, 2, 2), (2, 2, 2), 6.0),
    "large": Tier((32, 64, 96, 160), (2, 2, 2, 2), (2, 2, 2), 20.0),
}


def student_spec(tier: str, gates: bool = False) -> StudentSpec:
    """The layers of a tier.

    Args:
        gates: on the first convolution of every block below the finest level, each from that of the block before it.

    Raises:
        UserError: no such tier, or a tier over its own budget.
    """
    if tier not in TIERS:
        raise UserError(f"no student tier {tier!r}; there are {', '.join(TIERS)}", exit_code=2)
    spec = _build(tier, TIERS[tier], gates)
    gmac = spec.macs() / 1e9
    if spec.parameters >= MAX_PARAMETERS or gmac > TIERS[tier].max_gmac:
        raise UserError(
            f"tier {tier} has {spec.parameters:,} parameters and {gmac:.2f} GMAC at 512x512; "
            f"allowed are fewer than {MAX_PARAMETERS:,} and at most {TIERS[tier].max_gmac:g} GMAC"
        )
    return spec


def _build(name: str, tier: Tier, gates: bool) -> StudentSpec:
    layers: list[ConvSpec] = []
    first_convolutions: list[str] = []

    def add(layer_name: str, source: str, cin: int, cout: int, **fused) -> str:
        layers.append(ConvSpec(layer_name, source, cin, cout, **fused))
        return layer_name

    def blocks(prefix: str, level: int, trunk: str, count: int) -> str:
        width = tier.widths[level]
        for index in range(count):
            gate = first_convolutions[-1] if gates and level and first_convolutions else None
            inner = add(f"{prefix}{level}.{index}.a", trunk, width, width, relu=True, gate=gate)
            first_convolutions.append(inner)
            trunk = add(f"{prefix}{level}.{index}.b", inner, width, width, residual=trunk)
        return trunk

    colours = 3 * FOLD**2
    trunk = add("stem", IMAGE, colours, tier.widths[0], space_to_depth=FOLD)
    skips = []
    for level, width in enumerate(tier.widths):
        if level:
            trunk = add(f"down{level}", trunk, tier.widths[level - 1], width, stride=2)
        trunk = blocks("enc", level, trunk, tier.down_blocks[level])
        skips.append(trunk)
    bottleneck = trunk
    for level in reversed(range(len(tier.widths) - 1)):
        width = tier.widths[level]
        trunk = add(
            f"up{level}", trunk, tier.widths[level + 1], 4 * width, kernel=1, depth_to_space=2, residual=skips[level]
        )
        trunk = blocks("dec", level, trunk, tier.up_blocks[level])
    add("head", trunk, tier.widths[0], colours, depth_to_space=FOLD, residual=IMAGE)
    return StudentSpec(name, tuple(layers), bottleneck)


def layer_record(layer: ConvSpec) -> dict:
    """A layer as JSON values, for files. One without a gate has no such key, as in files from before there were any."""
    record = asdict(layer)
    if layer.gate is None:
        del record["gate"]
    return record


def check_gates(layers: Sequence[ConvSpec]) -> None:
    """Raises ValueError unless every gate is one that `ConvSpec` allows."""
    rectified: set[str] = set()
    for layer in layers:
        if layer.gate is not None:
            if layer.gate not in rectified:
                raise ValueError(f"layer {layer.name!r}: its gate {layer.gate!r} is not an earlier layer with ReLU")
            if not layer.relu or layer.residual is not None or layer.depth_to_space > 1:
                raise ValueError(f"layer {layer.name!r}: with a gate it needs ReLU, no residual, no depth-to-space")
        if layer.relu:
            rectified.add(layer.name)
