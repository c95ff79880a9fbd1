"""The numbers that a kernel is specialised for: a layer's shape, padding value and clamps, without its weights."""

from dataclasses import dataclass
from math import prod

from edgedeblur.quantize.network import QuantisedNetwork, is_image

IMAGE_OFFSET = 128  # pixel = q + 128


@dataclass(frozen=True)
class Residual:
    """What is added after requantisation: rint((q - zero_point) * scale). `image`: stored as uint8 pixels."""

    scale: float
    zero_point: int
    image: bool


@dataclass(frozen=True)
class ConvLayer:
    """One convolution with everything fused into it.

    source: (height, width, channels) of the tensor in memory, before space-to-depth.
    out: (height, width, channels) of the tensor in memory, after depth-to-space.
    image_source, image_out: that tensor is stored as uint8 pixels, q + 128; else int8 q.
    low: the lower clamp of q.
    """

    name: str
    source: tuple[int, int, int]
    out: tuple[int, int, int]
    kernel: int
    stride: int
    space_to_depth: int
    depth_to_space: int
    image_source: bool
    image_out: bool
    source_zero_point: int
    out_zero_point: int
    low: int
    residual: Residual | None = None

    @property
    def in_channels(self) -> int:
        """Channels that the convolution reads, after space-to-depth."""
        return self.source[2] * self.space_to_depth**2

    @property
    def out_channels(self) -> int:
        """Channels that the convolution makes, before depth-to-space."""
        return self.out[2] * self.depth_to_space**2

    @property
    def in_size(self) -> tuple[int, int]:
        """(height, width) that the convolution reads, after space-to-depth."""
        return self.source[0] // self.space_to_depth, self.source[1] // self.space_to_depth

    @property
    def out_size(self) -> tuple[int, int]:
        """(height, width) that the convolution makes, before depth-to-space."""
        return self.out[0] // self.depth_to_space, self.out[1] // self.depth_to_space

    @property
    def pad(self) -> int:
        return self.kernel // 2

    @property
    def macs(self) -> int:
        return prod(self.out_size) * self.kernel**2 * self.in_channels * self.out_channels


def conv_layers(network: QuantisedNetwork, height: int, width: int) -> tuple[ConvLayer, ...]:
    """Every layer of the network for an image of height x width, in order."""
    spec = network.spec
    sizes = spec.sizes(height, width)
    channels = {layer.spec.name: layer.spec.out_channels // layer.spec.depth_to_space**2 for layer in network.layers}
    channels[network.layers[0].spec.source] = 3
    layers = []
    for layer in network.layers:
        conv = layer.spec
        residual = None
        if conv.residual is not None:
            zero_point = network.tensors[conv.residual].zero_point
            residual = Residual(float(layer.residual_scale), zero_point, is_image(conv.residual, spec))
        layers.append(
            ConvLayer(
                name=conv.name,
                source=(*sizes[conv.source], channels[conv.source]),
                out=(*sizes[conv.name], channels[conv.name]),
                kernel=conv.kernel,
                stride=conv.stride,
                space_to_depth=conv.space_to_depth,
                depth_to_space=conv.depth_to_space,
                image_source=is_image(conv.source, spec),
                image_out=is_image(conv.name, spec),
                source_zero_point=network.tensors[conv.source].zero_point,
                out_zero_point=network.tensors[conv.name].zero_point,
                low=network.low(layer),
                residual=residual,
            )
        )
    return tuple(layers)
