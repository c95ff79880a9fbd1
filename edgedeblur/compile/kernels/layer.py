"""The numbers that a kernel is specialised for: a layer's shape, padding value, clamps and range; not its weights."""

from dataclasses import dataclass
from math import prod

import numpy as np

from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork, is_image

IMAGE_OFFSET = 128  # pixel = q + 128
LARGEST_ACTIVATION = 255  # |q - zero_point|
LARGEST_HALF = 127  # what a layer in Winograd form reads


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
    low, high: the clamps of q.
    groups: parts of the channels that are convolved apart; where there are fewer than channels, the kernel multiplies
        by zeros between them (compile/pack.py). dilation: pixels from tap to tap.
    prelu: sums below zero have a scale of their own.
    largest_sum: no sum of products (q - zero_point) * weight is larger, whatever the image.
    halved: in Winograd form, which reads q >> 1; source_zero_point is then the zero point of that.
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
    largest_sum: int
    residual: Residual | None = None
    high: int = 127
    groups: int = 1
    dilation: int = 1
    prelu: bool = False
    halved: bool = False

    @property
    def depthwise(self) -> bool:
        """Whether every output channel reads one input channel of its own."""
        return 1 < self.groups == self.in_channels == self.out_channels

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
        return self.reach // 2

    @property
    def reach(self) -> int:
        """Pixels from the first to the last that an output reads in a row."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def macs(self) -> int:
        return prod(self.out_size) * self.kernel**2 * self.in_channels * self.out_channels // self.groups

    @property
    def fused(self) -> tuple[str, ...]:
        """What the kernel does in the same pass over memory, in order."""
        steps = {
            "space_to_depth": self.space_to_depth > 1,
            "pad": self.pad > 0,
            "bias": True,
            "prelu": self.prelu,
            "requantise": True,
            "depth_to_space": self.depth_to_space > 1,
            "residual": self.residual is not None,
            "clamp": True,
        }
        return tuple(step for step, done in steps.items() if done)


def largest_sums(conv: QuantisedConv) -> np.ndarray:
    """int64 [out]: a bound on the sum of each output channel's products, before the bias."""
    return np.abs(conv.weight.astype(np.int64)).sum(axis=(1, 2, 3)) * (
        LARGEST_HALF if conv.winograd else LARGEST_ACTIVATION
    )


def conv_layers(network: QuantisedNetwork, height: int, width: int) -> tuple[ConvLayer, ...]:
    """Every convolution of the network for an image of height x width, in order."""
    spec = network.spec
    sizes = spec.sizes(height, width)
    channels = spec.channels()
    return tuple(
        ConvLayer(
            name=layer.spec.name,
            source=(*sizes[layer.spec.source], channels[layer.spec.source]),
            out=(*sizes[layer.spec.name], channels[layer.spec.name]),
            kernel=layer.spec.kernel,
            stride=layer.spec.stride,
            space_to_depth=layer.spec.space_to_depth,
            depth_to_space=layer.spec.depth_to_space,
            image_source=is_image(layer.spec.source, spec),
            image_out=is_image(layer.spec.name, spec),
            source_zero_point=network.tensors[layer.spec.source].zero_point >> layer.winograd,
            out_zero_point=network.tensors[layer.spec.name].zero_point,
            low=network.low(layer),
            largest_sum=int(largest_sums(layer).max()),
            residual=_residual(network, layer),
            high=network.high(layer),
            groups=layer.spec.groups,
            dilation=layer.spec.dilation,
            prelu=layer.spec.prelu,
            halved=layer.winograd,
        )
        for layer in network.convolutions
    )


def _residual(network: QuantisedNetwork, layer: QuantisedConv) -> Residual | None:
    name = layer.spec.residual
    if name is None:
        return None
    return Residual(float(layer.residual_scale), network.tensors[name].zero_point, is_image(name, network.spec))
