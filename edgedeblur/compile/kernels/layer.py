"""The numbers of a layer: its shape, which its kernel is specialised for, and `Numbers`, which are data that its kernel
reads, so that layers of one shape share a kernel.

A layer that reads or writes the image is the only one of its shape: its numbers stay in its code.
"""

import dataclasses
from dataclasses import dataclass
from math import prod

import numpy as np
from tvm.ir import Expr
from tvm.tirx import Buffer
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.ranges import SCALE_STEPS, IntegerScale, any_int16, integer_scale, largest_sums, short_cuts
from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork, is_image

IMAGE_OFFSET = 128  # pixel = q + 128


@dataclass(frozen=True)
class Residual:
    """What is added after requantisation: rint((q - zero_point) * scale). `image`: stored as uint8 pixels.
    integer: the scale in integers, where it is as good and not 1."""

    scale: float
    zero_point: int
    image: bool
    int16: bool = False
    integer: IntegerScale | None = None


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
    int16_source, int16_out: that tensor is stored as int16 q, its zero point 0.
    float_sums: every sum is below FLOAT_SUMS. short_steps: every requantised sum fits SHORT_STEPS.
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
    int16_source: bool = False
    int16_out: bool = False
    float_sums: bool = False
    short_steps: bool = False

    @property
    def depthwise(self) -> bool:
        """Whether every output channel reads one input channel of its own."""
        return 1 < self.groups == self.in_channels == self.out_channels

    @property
    def clamps_low(self) -> bool:
        """Whether its lower clamp is above the lowest value that is stored."""
        return self.low > self.stored_range[0]

    @property
    def clamps_high(self) -> bool:
        """Whether its upper clamp is below the highest value that is stored."""
        return self.high < self.stored_range[1]

    @property
    def stored_range(self) -> tuple[int, int]:
        """The values of q at which the stored type itself clamps."""
        return (-(1 << 15), (1 << 15) - 1) if self.int16_out else (-128, 127)

    @property
    def int16(self) -> bool:
        """Whether it reads or writes int16 values."""
        return self.int16_source or self.wide_store

    @property
    def wide_store(self) -> bool:
        """Whether what follows requantisation needs more than int16."""
        return self.int16_out or (self.residual is not None and self.residual.int16)

    @property
    def rescales_residual(self) -> bool:
        """Whether it adds a residual of another scale than its output's."""
        return self.residual is not None and self.residual.scale != 1.0

    @property
    def rescales_in_integers(self) -> bool:
        """Whether integers can do that."""
        return self.residual is not None and self.residual.integer is not None

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


def layer_isa(layer: ConvLayer, isa: InstructionSet) -> InstructionSet:
    """The products that a layer's kernel uses: those of int16 values where its source has such; also of these alone."""
    return isa.int16 if layer.int16_source and isa.int16 is not None else isa


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
            largest_sum=int(largest_sums(network, layer).max()),
            residual=_residual(network, layer),
            high=network.high(layer),
            groups=layer.spec.groups,
            dilation=layer.spec.dilation,
            prelu=layer.spec.prelu,
            halved=layer.winograd,
            int16_source=network.tensors[layer.spec.source].int16,
            int16_out=network.tensors[layer.spec.name].int16,
            **short_cuts(network, layer),
        )
        for layer in network.convolutions
    )


def _residual(network: QuantisedNetwork, layer: QuantisedConv) -> Residual | None:
    name = layer.spec.residual
    if name is None:
        return None
    read, scale = network.tensors[name], float(layer.residual_scale)
    integer = None if scale == 1.0 or any_int16(network, layer) else integer_scale(scale, read.zero_point)
    return Residual(scale, read.zero_point, is_image(name, network.spec), read.int16, integer)


@dataclass(frozen=True)
class Numbers:
    """Of one layer; in a kernel that reads them, expressions.

    padding: how the tile holds real zero. offset: what is added to a stored value on its way into the tile.
    shift: what is added to a requantised sum. low, high: the clamps of what is stored.
    residual_shift: what is added to a stored residual, so that AArch64 widens and adds in one instruction.
    residual_scale: what that is multiplied with, float32.
    residual_multiplier, residual_addend: the same in integers: of IntegerScale, the addend with `shift`, modulo 2^32.
    """

    padding: int | Expr
    offset: int | Expr
    shift: int | Expr
    low: int | Expr
    high: int | Expr
    residual_shift: int | Expr = 0
    residual_multiplier: int | Expr = 0
    residual_addend: int | Expr = 0
    residual_scale: float | Expr = 1.0


NUMBERS = len(dataclasses.fields(Numbers))


def reads_numbers(layer: ConvLayer) -> bool:
    """Whether a layer's numbers are data."""
    return not (layer.image_source or layer.image_out)


def layer_numbers(layer: ConvLayer, isa: InstructionSet) -> Numbers:
    """The numbers of a layer, whose tile is as `isa` has it."""
    stored = IMAGE_OFFSET if layer.image_out else 0
    offset = isa.tile_offset(layer.source_zero_point) - (IMAGE_OFFSET if layer.image_source else 0)
    numbers = Numbers(
        isa.tile_zero(layer.source_zero_point),
        offset,
        layer.out_zero_point + stored,
        layer.low + stored,
        layer.high + stored,
    )
    if layer.residual is None:
        return numbers
    zero = layer.residual.zero_point + (IMAGE_OFFSET if layer.residual.image else 0)
    if layer.residual.scale == 1.0:
        return dataclasses.replace(numbers, shift=numbers.shift - zero)
    if isa.adds_to_round and layer.residual.integer is not None:
        integer = layer.residual.integer
        addend = np.int64(integer.addend + numbers.shift * SCALE_STEPS).astype(np.int32)
        multiplier = integer.multiplier % SCALE_STEPS
        return dataclasses.replace(numbers, residual_multiplier=multiplier, residual_addend=int(addend))
    return dataclasses.replace(numbers, residual_shift=-zero, residual_scale=layer.residual.scale)


def pack_numbers(numbers: Numbers) -> np.ndarray:
    """int32 [NUMBERS]; of the residual's scale the bits."""
    *integers, scale = dataclasses.astuple(numbers)
    return np.array([*integers, np.float32(scale).view(np.int32)], np.int32)


def read_numbers(layer: ConvLayer, isa: InstructionSet, buffer: Buffer | None) -> Numbers:
    """What a kernel computes with; emits the loads of those numbers that it needs.

    Args:
        buffer: `pack_numbers` of the layer, None where its numbers are not data.
    """
    if buffer is None:
        return layer_numbers(layer, isa)
    integer = layer.rescales_in_integers and isa.adds_to_round
    scaled = layer.rescales_residual and not integer
    needed = {
        "padding": isa.tile_bias is not None,
        "offset": isa.tile_bias is None and not layer.int16_source,
        "shift": not integer,
        "low": layer.clamps_low,
        "high": layer.clamps_high,
        "residual_shift": scaled,
        "residual_multiplier": integer,
        "residual_addend": integer,
        "residual_scale": scaled,
    }
    lowest, highest = layer.stored_range
    known = Numbers(padding=0, offset=isa.tile_bias or 0, shift=0, low=lowest, high=highest)
    loaded = {name: T.bind(buffer[index]) for index, name in enumerate(needed) if needed[name]}
    if scaled:
        loaded["residual_scale"] = T.bind(T.reinterpret("float32", loaded["residual_scale"]))
    return dataclasses.replace(known, **loaded)
