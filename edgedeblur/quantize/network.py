"""The quantised network as data: what an `.edq` file holds and what the compiler compiles.

Arithmetic (DESIGN.md, decision 1), for every layer, exactly:

    acc[y, x, o] = bias[o] + sum over taps (q_source - zero_point(source)) * weight[o, ky, kx, i]      int32
    r            = rint(float32(acc) * scale[o])                     round half to even, to int32
                   with prelu by negative_scale[o] where acc < 0
    r            = depth_to_space(r)
    r            = r + rint(float32(q_residual - zero_point(residual)) * residual_scale)   where there is a residual
    q            = clamp(r + zero_point(out), low, high)             low = zero_point(out) with ReLU, else -128
                                                                     high = 127, with a limit as `high` says

Products are rounded to float32 once (no fused multiply-add takes part, so compilers cannot change a bit). Padding is
the source's zero point, that is, real zero. The image is uint8 RGB, HWC; q = pixel - 128 with scale 1/255, zero point
-128; the last layer's output is the image again, in the same way. This is XNNPACK's fp32 requantisation with its
residual added after rounding, so that the sum needs no third quantised tensor.

A layer with a gate has another scale for every image, from the mean of an earlier tensor over height and width:

    total[i]  = sum over all pixels of (q_gate - zero_point(gate))                                        integer
    mean[i]   = floor( (128 * total[i] + floor(pixels / 2)) / pixels )                 0 to 32640, in 1/128 steps
    z[o]      = gate_bias[o] + sum over i of gate_weight[o, i] * mean[i]                                      int32
    index[o]  = clamp( rint(float32(z[o]) * gate_scale[o]), -2048, 2048 )                         half to even
    scale'[o] = scale[o] * GATE_TABLE[index[o] + 2048]                                            one float32 product

and its products are requantised by scale' in place of scale. GATE_TABLE[k + 2048] is 2 / (1 + exp(-k / 256)), rounded
to 1/16384, which float32 holds exactly.

A layer in Winograd form reads half steps of its source, so that sums and differences of two of them fit int8:

    acc[y, x, o] = bias[o] + sum over taps floor((q_source - zero_point(source) + 1) / 2) * weight[o, ky, kx, i]

zero_point(source) is odd, so that this is floor(q / 2) - floor(zero_point / 2), seven bits. Its weights keep
|w[ky, 0] + w[ky, 2]| + |w[ky, 1]| <= 127, so that w0, w0 + w1 + w2, w0 - w1 + w2 and w2 fit int8 too. Then F(2, 3)
along rows (Winograd, 1980; Lavin & Gray, CVPR 2016) computes the same sums with two thirds of the products in int8 dot
products (compile/kernels/winograd/rows.py), and any other method computes them as it would those of a plain layer.

A tensor may have int16 values (`TensorScale.bits` above 8). Its zero point is 0 and q lies within +-(2^(bits - 1) - 1);
nothing else changes: the sums are int32, and q = clamp(r, low, high) with these ends (low = 0 with ReLU). bits is at
most 16, and so small that no sum of a layer that reads the tensor can leave int32, whatever the image:

    |bias[o]| + (2^(bits - 1) - 1) * sum over taps of |weight[o, ky, kx, i]| < 2^31             for every output channel

Only convolutions write such a tensor, and read it as source or residual.

Layers without weights (student/operations.py): with the integer c(source) = q - zero_point(source),
and r(x, scale) = rint(float32(x) * scale), half to even:

    table          q = table[q_source + 128]
    add            v = r(c(a), scales[0]) + r(c(b), scales[1])
    multiply       v = r(c(a) * c(b), scales[0])
    concatenate    v = r(c(source), scales[number of the source])
    weigh          v = r(sum over taps of weight * c(source), scales[0])
    mean           v = r(floor((128 * sum over all pixels of c(source) + floor(pixels / 2)) / pixels), scales[0])
    maximum        v = max over taps of c(source)

and but for the table q = clamp(v + zero_point(out), -128, 127). Every sum is an integer below 2^24 in magnitude, which
float32 holds exactly. Beyond the border of a source its nearest pixel counts.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from edgedeblur.student import IMAGE, ConvSpec, OpSpec, StudentSpec

IMAGE_SCALE = 1.0 / 255.0
IMAGE_ZERO_POINT = -128
MEAN_STEPS = 128  # of a mean, to one step of its tensor
MAX_MEAN = 255 * MEAN_STEPS
MAX_GATE_INDEX = 2048
GATE_STEPS = 256  # of the table, to one unit of the sigmoid's argument
MAX_FACTOR = 2.0  # of a gate
MAX_TRANSFORMED = 127  # of a weight in Winograd form
_VALUES = np.arange(-128, 128)
_INDICES = np.arange(-MAX_GATE_INDEX, MAX_GATE_INDEX + 1)
GATE_TABLE = (np.rint((1 << 15) / (1 + np.exp(-_INDICES / GATE_STEPS))) / (1 << 14)).astype(np.float32)


@dataclass(frozen=True)
class TensorScale:
    """real = scale * (q - zero_point), q in int8; where `bits` is above 8, in int16, and zero_point is 0."""

    scale: float
    zero_point: int
    bits: int = 8

    @property
    def int16(self) -> bool:
        """Whether q is stored as int16."""
        return self.bits > 8

    @property
    def lowest(self) -> int:
        """The least q."""
        return -self.highest if self.int16 else -128

    @property
    def highest(self) -> int:
        """The largest q."""
        return (1 << (self.bits - 1)) - 1

    @property
    def largest_input(self) -> int:
        """No |q - zero_point| is larger."""
        return max(self.highest - self.zero_point, self.zero_point - self.lowest)


@dataclass(frozen=True)
class QuantisedGate:
    """What a layer's gate makes of the means of the tensor that gates it.

    weight: int8 [out, in], symmetric per output channel, in [-127, 127].
    bias: int32 [out], at the same scale as the products.
    scale: float32 [out], from products to indices of GATE_TABLE.
    """

    weight: np.ndarray
    bias: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class QuantisedConv:
    """One layer: its place in the graph and its integers.

    weight: int8 [out, kernel, kernel, in / groups], symmetric per output channel, in [-127, 127].
    bias: int32 [out], at scale source_scale * weight_scale[o].
    scale: float32 [out], source_scale * weight_scale[o] / output_scale. In Winograd form source_scale is twice that of
        the tensor (`read_scale`).
    weight_scale: float32 [out]; not needed to run, kept for export and inspection.
    residual_scale: float32, the residual tensor's scale / output_scale; None without a residual; 1.0 where both share
        a scale.
    gate: of a layer that has one; `scale` is then what it is where every factor is one.
    negative_scale: float32 [out], in place of `scale` for sums below zero, of a layer with prelu.
    winograd: whether it is in Winograd form. Only of a 3x3 convolution of stride 1 that does not read the image.
    """

    spec: ConvSpec
    weight: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    weight_scale: np.ndarray
    residual_scale: np.float32 | None = None
    gate: QuantisedGate | None = None
    negative_scale: np.ndarray | None = None
    winograd: bool = False


@dataclass(frozen=True)
class QuantisedOp:
    """A layer without weights.

    scales: float32 [1, or one for each source]. table: int8 [256], by q + 128. None where it needs none.
    """

    spec: OpSpec
    scales: np.ndarray | None = None
    table: np.ndarray | None = None

    gate = residual_scale = None  # what walks over layers asks of any


QuantisedLayer = QuantisedConv | QuantisedOp


@dataclass(frozen=True)
class QuantisedNetwork:
    """The whole network. `tensors` has the scale and zero point of every layer's output and of the image.

    recipe: how it was quantised (observer, options).
    provenance: where it came from (student file, teacher, calibration images, seed, versions).
    """

    spec: StudentSpec
    layers: tuple[QuantisedLayer, ...]
    tensors: dict[str, TensorScale]
    recipe: dict = field(default_factory=dict)
    provenance: dict = field(default_factory=dict)

    @property
    def convolutions(self) -> tuple[QuantisedConv, ...]:
        """The layers that have weights."""
        return tuple(layer for layer in self.layers if isinstance(layer, QuantisedConv))

    @property
    def int16_tensors(self) -> tuple[str, ...]:
        """Names of the tensors with int16 values."""
        return tuple(name for name, scale in self.tensors.items() if scale.int16)

    def low(self, layer: QuantisedConv) -> int:
        """The lower clamp of a layer's output: its zero point with ReLU, else the least that its tensor holds."""
        out = self.tensors[layer.spec.name]
        return max(out.lowest, out.zero_point) if layer.spec.relu else out.lowest

    def high(self, layer: QuantisedConv) -> int:
        """The upper clamp of a layer's output, as `limit_step`."""
        return limit_step(layer.spec, self.tensors[layer.spec.name])


def limit_step(spec: ConvSpec, out: TensorScale) -> int:
    """The upper clamp of a layer's output q: the most that its tensor holds, 127 in int8, or the integer nearest to its
    limit where that is lower."""
    if spec.limit is None:
        return out.highest
    return int(min(out.highest, out.zero_point + np.rint(np.float32(spec.limit) / np.float32(out.scale))))


def fold_operation(spec: OpSpec, tensors: dict[str, TensorScale]) -> QuantisedOp:
    """A layer's scales or table from the tensors' scales."""
    operation, out = spec.operation, tensors[spec.name]
    scales = [np.float32(tensors[source].scale) for source in spec.sources]
    if operation.combine == "table":
        read = tensors[spec.source]
        made = operation.function(read.scale * (_VALUES - read.zero_point).astype(np.float64), spec.parameter)
        table = np.clip(np.rint(made / out.scale) + out.zero_point, -128, 127)
        return QuantisedOp(spec, table=table.astype(np.int8))
    if operation.keeps_scale:
        return QuantisedOp(spec)
    if operation.combine == "multiply":
        scales = [scales[0] * scales[1]]
    divisor = MEAN_STEPS if operation.combine == "mean" else operation.divisor
    return QuantisedOp(spec, np.array([scale / np.float32(divisor * out.scale) for scale in scales], np.float32))


def read_scale(winograd: bool, source: TensorScale) -> float:
    """The real value of one step of what a layer's convolution reads."""
    return 2 * source.scale if winograd else source.scale


def read_tensor(source: TensorScale) -> TensorScale:
    """How a layer in Winograd form reads its source: half steps, and the zero point in these."""
    return TensorScale(2 * source.scale, source.zero_point >> 1)


def may_take_winograd_form(spec: ConvSpec) -> bool:
    """Whether a layer can be in Winograd form."""
    plain = (spec.kernel, spec.stride, spec.groups, spec.dilation, spec.prelu) == (3, 1, 1, 1, False)
    return plain and spec.source != IMAGE


def transformed_size(weight: np.ndarray) -> np.ndarray:
    """The larger of |w0 + w1 + w2| and |w0 - w1 + w2| of every row of a kernel, and at least |w0| and |w2|.

    Args:
        weight: [out, 3, 3, in].

    Returns:
        [out, 3, in].
    """
    first, middle, last = (weight[:, :, column] for column in range(3))
    return np.maximum(np.abs(first + last) + np.abs(middle), np.maximum(np.abs(first), np.abs(last)))


def in_plain_form(network: QuantisedNetwork) -> QuantisedNetwork:
    """The same multiplications on whole steps: of layers in Winograd form, what a runtime without that form computes.
    Nearly the same picture, at no less speed than with the halving."""
    layers = tuple(
        replace(one, winograd=False, bias=one.bias * 2, scale=one.scale / 2)
        if isinstance(one, QuantisedConv) and one.winograd
        else one
        for one in network.layers
    )
    return replace(network, layers=layers)


def image_scale() -> TensorScale:
    """uint8 pixel p is q = p - 128, real value p / 255."""
    return TensorScale(IMAGE_SCALE, IMAGE_ZERO_POINT)


def is_image(name: str, spec: StudentSpec) -> bool:
    """Whether a tensor is stored as an image: the input, or the last layer's output."""
    return name in (IMAGE, spec.layers[-1].name)
