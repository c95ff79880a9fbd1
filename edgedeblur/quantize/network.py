"""The quantised network as data: what an `.edq` file holds and what the compiler compiles.

Arithmetic (DESIGN.md, decision 1), for every layer, exactly:

    acc[y, x, o] = bias[o] + sum over taps (q_source - zero_point(source)) * weight[o, ky, kx, i]      int32
    r            = rint(float32(acc) * scale[o])                     round half to even, to int32
    r            = depth_to_space(r)
    r            = r + rint(float32(q_residual - zero_point(residual)) * residual_scale)   where there is a residual
    q            = clamp(r + zero_point(out), low, 127)              low = zero_point(out) with ReLU, else -128

Products are rounded to float32 once (no fused multiply-add takes part, so compilers cannot change a bit). Padding is
the source's zero point, that is, real zero. The image is uint8 RGB, HWC; q = pixel - 128 with scale 1/255, zero point
-128; the last layer's output is the image again, in the same way. This is XNNPACK's fp32 requantisation with its
residual added after rounding, so that the sum needs no third quantised tensor.
"""

from dataclasses import dataclass, field

import numpy as np

from edgedeblur.student import IMAGE, ConvSpec, StudentSpec

IMAGE_SCALE = 1.0 / 255.0
IMAGE_ZERO_POINT = -128


@dataclass(frozen=True)
class TensorScale:
    """real = scale * (q - zero_point), q in int8."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class QuantisedConv:
    """One layer: its place in the graph and its integers.

    weight: int8 [out, kernel, kernel, in], symmetric per output channel, in [-127, 127].
    bias: int32 [out], at scale source_scale * weight_scale[o].
    scale: float32 [out], source_scale * weight_scale[o] / output_scale.
    weight_scale: float32 [out]; not needed to run, kept for export and inspection.
    residual_scale: float32, the residual tensor's scale / output_scale; None without a residual; 1.0 where both share
        a scale.
    """

    spec: ConvSpec
    weight: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    weight_scale: np.ndarray
    residual_scale: np.float32 | None = None


@dataclass(frozen=True)
class QuantisedNetwork:
    """The whole network. `tensors` has the scale and zero point of every layer's output and of the image.

    recipe: how it was quantised (observer, options). statistics: what calibration saw, per tensor.
    provenance: where it came from (student file, teacher, calibration images, seed, versions).
    """

    spec: StudentSpec
    layers: tuple[QuantisedConv, ...]
    tensors: dict[str, TensorScale]
    recipe: dict = field(default_factory=dict)
    statistics: dict = field(default_factory=dict)
    provenance: dict = field(default_factory=dict)

    def low(self, layer: QuantisedConv) -> int:
        """The lower clamp of a layer's output: its zero point with ReLU, else -128."""
        return max(-128, self.tensors[layer.spec.name].zero_point) if layer.spec.relu else -128


def image_scale() -> TensorScale:
    """uint8 pixel p is q = p - 128, real value p / 255."""
    return TensorScale(IMAGE_SCALE, IMAGE_ZERO_POINT)


def is_image(name: str, spec: StudentSpec) -> bool:
    """Whether a tensor is stored as an image: the input, or the last layer's output."""
    return name in (IMAGE, spec.layers[-1].name)
