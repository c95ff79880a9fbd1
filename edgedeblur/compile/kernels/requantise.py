"""From int32 sums to stored activations: the part of the kernel that follows the last dot product.

    q = clamp(rint(float32(sum) * scale) + rint(float32(residual - zero_point) * residual_scale) + zero_point, low, 127)

Each product is rounded once and feeds a rounding, never an addition, so no compiler can contract it into a fused
multiply-add and change a bit (edgedeblur/quantize/network.py defines the arithmetic).

What follows the rounding is done in int16 with saturation, twice the lanes of int32. That is exact: whatever saturates
lies so far outside the clamp that nothing added later brings it back (compile/ranges.py sees to it). Where the output
or the residual has int16 values it is done in int32 (quantize/check.py sees to it that the sum fits).
"""

from dataclasses import dataclass
from math import gcd

from tvm.ir import Expr
from tvm.tirx import Buffer
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, round_half_even, span, splat, vector
from edgedeblur.compile.kernels.layer import ConvLayer, Numbers

_MOST_LANES = 16  # worked on together: what one 16-byte store holds


@dataclass(frozen=True)
class Output:
    """Where results go, and the numbers of the layer.

    residual (None where there is none), out: [height, width * channels] as stored.
    negative_scale: of sums below zero, by channel, where they have their own."""

    layer: ConvLayer
    isa: InstructionSet
    numbers: Numbers
    residual: Buffer | None
    out: Buffer
    negative_scale: Buffer | None = None

    @property
    def run(self) -> int:
        """Output channels that are neighbours in memory: one row of the pixels that a pixel unfolds to."""
        return self.layer.depth_to_space * self.layer.out[2]


def store_pixel(output: Output, sums: list[Expr], scales: list[Expr], channel: Expr, y: Expr, x: Expr) -> None:
    """Emits requantisation, residual, clamp and store of neighbouring output channels of the pixel (y, x).

    sums, scales: int32 and float32 x isa.lanes; the first lane is output channel `channel`, before depth-to-space.
    """
    layer, isa = output.layer, output.isa
    if output.negative_scale is not None:
        scales = [
            _by_sign(output, *each, channel + v * isa.lanes) for v, each in enumerate(zip(sums, scales, strict=True))
        ]
    steps = [requantise(isa, total, scale, isa.lanes) for total, scale in zip(sums, scales, strict=True)]
    for first, vectors in by_powers_of_two(len(steps), _MOST_LANES // isa.lanes):
        lanes = vectors * isa.lanes
        values = T.bind(_join(steps[first : first + vectors], isa.lanes))
        at = channel + first * isa.lanes
        if layer.out_channels % isa.lanes == 0:
            _store(output, values, lanes, at, y, x)
            continue
        piece = gcd(lanes, output.run)
        for start in range(0, lanes, piece):
            with T.If(at + start < layer.out_channels), T.Then():
                _store(output, _part(values, start, piece, lanes), piece, at + start, y, x)


def _by_sign(output: Output, total: Expr, scale: Expr, channel: Expr) -> Expr:
    """The scale of each lane: another one for sums below zero."""
    lanes = output.isa.lanes
    negative = T.bind(output.negative_scale.vload([span(channel, lanes)]))
    return T.Select(total < splat(0, "int32", lanes), negative, scale)


def requantise(isa: InstructionSet, sums: Expr, scale: Expr, lanes: int) -> Expr:
    """rint(float32(sums) * scale) as int32, half to even."""
    product = T.cast(sums, vector("float32", lanes)) * scale
    if lanes % isa.lanes:
        return round_half_even(product, lanes)
    parts = [isa.to_int(_part(product, first, isa.lanes, lanes)) for first in range(0, lanes, isa.lanes)]
    return _join(parts, isa.lanes)


def _store(output: Output, steps: Expr, lanes: int, channel: Expr, y: Expr, x: Expr) -> None:
    """Emits what follows requantisation for `lanes` channels, piece by piece of contiguous memory."""
    fold, run = output.layer.depth_to_space, output.run
    piece = gcd(lanes, run)
    places = []
    for start in range(0, lanes, piece):
        at = channel + start
        places.append([y * fold + T.floordiv(at, run), span(x * run + T.floormod(at, run), piece)])
    stored = None
    if output.residual is not None:
        stored = _join([output.residual.vload(place) for place in places], piece)
    values = T.bind(_finish(output, steps, stored, lanes))
    for index, place in enumerate(places):
        T.buffer_store(output.out, _part(values, index * piece, piece, lanes), place)


def _finish(output: Output, steps: Expr, stored: Expr | None, lanes: int) -> Expr:
    """The output as stored, from requantised sums (int32) and the residual as stored."""
    layer, numbers = output.layer, output.numbers
    if layer.wide_store:
        return _finish_in_int32(output, steps, stored, lanes)
    total = _narrow(steps, "int16", lanes)
    if stored is not None:
        total = _add(total, _residual_steps(output, stored, lanes), lanes)
    if not isinstance(numbers.shift, int) or numbers.shift:
        total = _add(total, splat(numbers.shift, "int16", lanes), lanes)
    dtype = "uint8" if layer.image_out else "int8"
    values = _narrow(total, dtype, lanes)
    if layer.clamps_low:
        values = T.max(values, splat(numbers.low, dtype, lanes))
    return T.min(values, splat(numbers.high, dtype, lanes)) if layer.clamps_high else values


def _finish_in_int32(output: Output, steps: Expr, stored: Expr | None, lanes: int) -> Expr:
    """The same where int16 does not hold what is added."""
    layer, numbers = output.layer, output.numbers
    total = steps
    if stored is not None:
        total = total + (
            _rescaled(output, stored, lanes) if layer.rescales_residual else T.cast(stored, vector("int32", lanes))
        )
    dtype = "uint8" if layer.image_out else "int16" if layer.int16_out else "int8"
    values = _narrow(total + splat(numbers.shift, "int32", lanes), dtype, lanes)
    if layer.clamps_low:
        values = T.max(values, splat(numbers.low, dtype, lanes))
    return T.min(values, splat(numbers.high, dtype, lanes)) if layer.clamps_high else values


def _residual_steps(output: Output, stored: Expr, lanes: int) -> Expr:
    """The residual in steps of the output's scale, int16; where the scale is the same, the shift has its zero point."""
    if not output.layer.rescales_residual:
        return T.cast(stored, vector("int16", lanes))
    return _narrow(_rescaled(output, stored, lanes), "int16", lanes)


def _rescaled(output: Output, stored: Expr, lanes: int) -> Expr:
    """The residual in steps of the output's scale, int32."""
    numbers = output.numbers
    centred = T.cast(stored, vector("int32", lanes)) + splat(numbers.residual_shift, "int32", lanes)
    return requantise(output.isa, centred, splat(numbers.residual_scale, "float32", lanes), lanes)


def _narrow(values: Expr, dtype: str, lanes: int) -> Expr:
    """A cast with saturation: LLVM knows the pattern (`vpackssdw`, `sqxtn`)."""
    wide = str(values.ty.dtype).partition("x")[0]
    low, high = {"int16": (-(1 << 15), (1 << 15) - 1), "int8": (-128, 127), "uint8": (0, 255)}[dtype]
    clamped = T.max(T.min(values, splat(high, wide, lanes)), splat(low, wide, lanes))
    return T.cast(clamped, vector(dtype, lanes))


def _add(a: Expr, b: Expr, lanes: int) -> Expr:
    """a + b in int16 with saturation."""
    return T.call_llvm_pure_intrin(vector("int16", lanes), "llvm.sadd.sat", a, b)


def _join(vectors: list[Expr], lanes: int) -> Expr:
    """Vectors of `lanes` one after another."""
    return vectors[0] if len(vectors) == 1 else T.Shuffle(vectors, list(range(lanes * len(vectors))))


def _part(values: Expr, start: int, length: int, lanes: int) -> Expr:
    """`length` neighbouring lanes of a vector of `lanes`."""
    return values if length == lanes else T.Shuffle([values], list(range(start, start + length)))


def by_powers_of_two(count: int, most: int) -> list[tuple[int, int]]:
    """[0, count) cut into (first, size) with sizes that are powers of two, none above `most`, the largest first."""
    cuts, first = [], 0
    while first < count:
        size = min(most, 1 << ((count - first).bit_length() - 1))
        cuts.append((first, size))
        first += size
    return cuts
