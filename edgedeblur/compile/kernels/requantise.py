"""From int32 sums to stored activations: the part of the kernel that follows the last dot product.

    q = clamp(rint(float32(sum) * scale) + rint(float32(residual - zero_point) * residual_scale) + zero_point, low, 127)

Each product is rounded once and feeds a rounding, never an addition, so no compiler can contract it into a fused
multiply-add and change a bit (edgedeblur/quantize/network.py defines the arithmetic).

What follows the rounding is done in int16 with saturation, twice the lanes of int32. That is exact: whatever saturates
lies so far outside the clamp that nothing added later brings it back (compile/ranges.py sees to it). Where the output
or the residual has int16 values it is done in int32 (quantize/check.py sees to it that the sum fits).

Where the instruction set adds to round and compile/ranges.py allows it, the same comes of shorter arithmetic:
    float32(sum)     sums begin with the bits of 1.5 * 2^23, so that their own are a float32 from which that is taken
    rint(product)    1.5 * 2^23 is added, and the low 16 bits are the integer's; a fence keeps the addition apart.
                     Without a residual an even zero point is added with it; so is -128 where the lower clamp is the
                     zero point: the bytes then saturate where they are clamped, and the rest is added to them
    the residual     u * multiplier + addend, the high 16 bits of 32
"""

from dataclasses import dataclass
from math import gcd

from tvm.ir import Expr
from tvm.tirx import Buffer
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import (
    InstructionSet,
    by_powers_of_two,
    join,
    narrow,
    part,
    round_half_even,
    span,
    splat,
    vector,
)
from edgedeblur.compile.kernels.layer import ConvLayer, Numbers

BEGUN = 1.5 * 2**23  # a float32 whose last bit is 1, so that adding it rounds to integers, half to even
BEGUN_BITS = 0x4B400000
_MOST_LANES = 16  # worked on together: what one 16-byte store holds


@dataclass(frozen=True)
class Output:
    """Where results go, and the numbers of the layer.

    residual (None where there is none), out: [height, width * channels] as stored.
    negative_scale: of sums below zero, by channel, where they have their own.
    begun: what sums that begin with BEGUN_BITS are as float32, less what is summed up: BEGUN or -BEGUN."""

    layer: ConvLayer
    isa: InstructionSet
    numbers: Numbers
    residual: Buffer | None
    out: Buffer
    negative_scale: Buffer | None = None
    begun: float = BEGUN

    @property
    def short(self) -> bool:
        """Whether requantised sums are known by their low 16 bits."""
        return self.isa.adds_to_round and self.layer.short_steps

    @property
    def lifted(self) -> bool:
        """Whether bytes are made for a zero point and a lower clamp of -128, and lifted to the layer's."""
        return self.short and clamps_at_zero_point(self.layer)

    @property
    def rounded_with(self) -> int | Expr:
        """What is added as a product is rounded: even, so that halves go where they would without it."""
        if self.lifted:
            return -128
        return self.numbers.shift if self.short and _shifts_evenly(self.layer) else 0

    @property
    def run(self) -> int:
        """Output channels that are neighbours in memory: one row of the pixels that a pixel unfolds to."""
        return self.layer.depth_to_space * self.layer.out[2]


def store_pixel(output: Output, sums: list[Expr], scales: list[Expr], channel: Expr, y: Expr, x: Expr) -> None:
    """Emits requantisation, residual, clamp and store of neighbouring output channels of the pixel (y, x).

    sums, scales: int32 and float32 x isa.lanes; the first lane is output channel `channel`, before depth-to-space.
    """
    layer, isa = output.layer, output.isa
    steps = requantised(output, sums, scales, channel)
    for first, vectors in by_powers_of_two(len(steps), _MOST_LANES // isa.lanes):
        lanes = vectors * isa.lanes
        values = T.bind(join(steps[first : first + vectors], isa.lanes))
        at = channel + first * isa.lanes
        if layer.out_channels % isa.lanes == 0:
            _store(output, values, lanes, at, y, x)
            continue
        piece = gcd(lanes, output.run)
        for start in range(0, lanes, piece):
            with T.If(at + start < layer.out_channels), T.Then():
                _store(output, part(values, start, piece, lanes), piece, at + start, y, x)


def stores_pairs(output: Output, vectors: int) -> bool:
    """Whether `store_pair` takes pixels of so many vectors: whole ones, whose rows would be stored in small pieces."""
    layer, lanes = output.layer, output.isa.lanes
    return vectors * lanes == layer.out_channels and output.run % lanes != 0 and not layer.wide_store


def store_pair(output: Output, sums: list[list[Expr]], scales: list[Expr], y: Expr, x: Expr) -> None:
    """`store_pixel` for all channels of the pixels x and x + 1: each row that they unfold to is one run in memory."""
    steps = [step for pixel in sums for step in requantised(output, pixel, scales, 0)]
    lanes, run, fold = 2 * output.isa.lanes, output.run, output.layer.depth_to_space
    joined = [join(steps[first : first + 2], output.isa.lanes) for first in range(0, len(steps), 2)]
    short = [T.bind(_shortened(output, values, lanes)) for values in joined]
    for dy in range(fold):
        order = [pixel * fold * run + dy * run + at for pixel in (0, 1) for at in range(run)]
        for first, size in by_powers_of_two(2 * run, _MOST_LANES // 2):
            place = [y * fold + dy, span(x * run + first, size)]
            stored = None if output.residual is None else output.residual.vload(place)
            values = _gathered(short, lanes, order[first : first + size])
            T.buffer_store(output.out, _finish_short(output, values, stored, size), place)


def _gathered(vectors: list[Expr], lanes: int, order: list[int]) -> Expr:
    """These lanes of vectors of `lanes` one after another, by shuffles of two, which are instructions."""
    used = sorted({at // lanes for at in order})
    found = T.Shuffle([vectors[used[0]]], [at % lanes if at // lanes == used[0] else 0 for at in order])
    for index in used[1:]:
        picked = [len(order) + at % lanes if at // lanes == index else i for i, at in enumerate(order)]
        found = T.Shuffle([found, vectors[index]], picked)
    return found


def requantised(output: Output, sums: list[Expr], scales: list[Expr], channel: Expr | int) -> list[Expr]:
    """rint(float32(sum) * scale) of a pixel's vectors, as `_round` has it."""
    layer, isa = output.layer, output.isa
    values = [_as_float(output, total) for total in sums]
    if output.negative_scale is not None:
        signed = values if begins_as_float(layer, isa) else sums  # TVM cannot bound a comparison of converted sums
        scales = [
            _by_sign(output, *each, channel + v * isa.lanes) for v, each in enumerate(zip(signed, scales, strict=True))
        ]
    return [_round(output, value * scale) for value, scale in zip(values, scales, strict=True)]


def clamps_at_zero_point(layer: ConvLayer) -> bool:
    """Whether a zero point alone is added, and it is the lower clamp (a ReLU), less than 128 above the lowest byte."""
    alone = layer.residual is None and not (layer.image_out or layer.wide_store)
    return alone and layer.clamps_low and layer.low == layer.out_zero_point < 0


def _shifts_evenly(layer: ConvLayer) -> bool:
    """Whether an even zero point alone is added."""
    return layer.residual is None and layer.out_zero_point % 2 == 0


def begins_as_float(layer: ConvLayer, isa: InstructionSet) -> bool:
    """Whether a layer's sums begin with BEGUN_BITS (compile/pack.py adds them to the bias)."""
    return isa.adds_to_round and layer.float_sums


def _as_float(output: Output, total: Expr) -> Expr:
    """float32(total) of one vector."""
    kind, begun = vector("float32", output.isa.lanes), splat(output.begun, "float32", output.isa.lanes)
    if not begins_as_float(output.layer, output.isa):
        return T.bind(T.cast(total, kind))
    value = T.reinterpret(kind, total)
    return T.bind(value - begun if output.begun > 0 else begun - value)


def _round(output: Output, product: Expr) -> Expr:
    """rint(product) as int32 of one vector; where steps are short, only its low 16 bits, with `Output.rounded_with`."""
    isa = output.isa
    if not output.short:
        return isa.to_int(product)
    kind = vector("float32", isa.lanes)
    fenced = T.call_llvm_pure_intrin(kind, "llvm.arithmetic.fence", product)
    added = output.rounded_with
    added = BEGUN + added if isinstance(added, int) else T.reinterpret("float32", added + BEGUN_BITS)
    return T.reinterpret(vector("int32", isa.lanes), fenced + splat(added, "float32", isa.lanes))


def _by_sign(output: Output, value: Expr, scale: Expr, channel: Expr) -> Expr:
    """The scale of each lane: another one for sums below zero. value: those, int32 or float32."""
    lanes = output.isa.lanes
    negative = T.bind(output.negative_scale.vload([span(channel, lanes)]))
    return T.Select(value < T.cast(splat(0, "int32", lanes), value.ty.dtype), negative, scale)


def requantise(isa: InstructionSet, sums: Expr, scale: Expr, lanes: int) -> Expr:
    """rint(float32(sums) * scale) as int32, half to even."""
    product = T.cast(sums, vector("float32", lanes)) * scale
    if lanes % isa.lanes:
        return round_half_even(product, lanes)
    parts = [isa.to_int(part(product, first, isa.lanes, lanes)) for first in range(0, lanes, isa.lanes)]
    return join(parts, isa.lanes)


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
        stored = join([output.residual.vload(place) for place in places], piece)
    values = T.bind(_finish(output, steps, stored, lanes))
    for index, place in enumerate(places):
        T.buffer_store(output.out, part(values, index * piece, piece, lanes), place)


def _finish(output: Output, steps: Expr, stored: Expr | None, lanes: int) -> Expr:
    """The output as stored, from requantised sums (int32) and the residual as stored."""
    if output.layer.wide_store:
        return _finish_in_int32(output, steps, stored, lanes)
    return _finish_short(output, _shortened(output, steps, lanes), stored, lanes)


def _shortened(output: Output, steps: Expr, lanes: int) -> Expr:
    """Requantised sums as int16."""
    return T.cast(steps, vector("int16", lanes)) if output.short else narrow(steps, "int16", lanes)


def _finish_short(output: Output, total: Expr, stored: Expr | None, lanes: int) -> Expr:
    """The output as stored, from `_shortened` and the residual as stored."""
    layer, numbers = output.layer, output.numbers
    if stored is not None and output.isa.adds_to_round and layer.rescales_in_integers:
        return _clamp(output, add_saturating(total, _integer_residual_steps(output, stored, lanes), lanes), lanes)
    if stored is not None:
        total = add_saturating(total, _residual_steps(output, stored, lanes), lanes)
    rounded = output.lifted or (output.short and _shifts_evenly(layer))
    if not rounded and (not isinstance(numbers.shift, int) or numbers.shift):
        total = add_saturating(total, splat(numbers.shift, "int16", lanes), lanes)
    return _clamp(output, total, lanes)


def _clamp(output: Output, total: Expr, lanes: int) -> Expr:
    """The output as stored, from int16."""
    layer, numbers = output.layer, output.numbers
    dtype = "uint8" if layer.image_out else "int8"
    values = narrow(total, dtype, lanes)
    if output.lifted:
        values = add_saturating(values, splat(numbers.low + 128, dtype, lanes), lanes, dtype)
    elif layer.clamps_low:
        values = T.max(values, splat(numbers.low, dtype, lanes))
    return T.min(values, splat(numbers.high, dtype, lanes)) if layer.clamps_high else values


def _finish_in_int32(output: Output, steps: Expr, stored: Expr | None, lanes: int) -> Expr:
    """The same where int16 does not hold what is added."""
    layer, numbers = output.layer, output.numbers
    total = steps
    if stored is not None:
        total = total + (
            rescaled(output, stored, lanes) if layer.rescales_residual else T.cast(stored, vector("int32", lanes))
        )
    dtype = "uint8" if layer.image_out else "int16" if layer.int16_out else "int8"
    values = narrow(total + splat(numbers.shift, "int32", lanes), dtype, lanes)
    if layer.clamps_low:
        values = T.max(values, splat(numbers.low, dtype, lanes))
    return T.min(values, splat(numbers.high, dtype, lanes)) if layer.clamps_high else values


def _residual_steps(output: Output, stored: Expr, lanes: int) -> Expr:
    """The residual in steps of the output's scale, int16; where the scale is the same, the shift has its zero point."""
    if not output.layer.rescales_residual:
        return T.cast(stored, vector("int16", lanes))
    return narrow(rescaled(output, stored, lanes), "int16", lanes)


def rescaled(output: Output, stored: Expr, lanes: int) -> Expr:
    """The residual in steps of the output's scale, int32."""
    numbers = output.numbers
    centred = T.cast(stored, vector("int32", lanes)) + splat(numbers.residual_shift, "int32", lanes)
    return requantise(output.isa, centred, splat(numbers.residual_scale, "float32", lanes), lanes)


def _integer_residual_steps(output: Output, stored: Expr, lanes: int) -> Expr:
    """The same in integers, with the output's zero point."""
    numbers, short, wide = output.numbers, vector("uint16", lanes), vector("uint32", lanes)
    byte = stored if output.layer.residual.image else output.isa.raised(stored, lanes)
    byte = T.bind(T.cast(T.reinterpret(vector("uint8", lanes), byte), short))
    scaled = T.cast(byte, wide) * T.cast(splat(numbers.residual_multiplier, "uint16", lanes), wide)
    high = T.shift_right(scaled + splat(numbers.residual_addend, "uint32", lanes), splat(16, "uint32", lanes))
    steps, whole = T.cast(high, short), output.layer.residual.integer.whole
    if whole:
        steps = steps + (byte if whole == 1 else byte * splat(whole, "uint16", lanes))
    return T.reinterpret(vector("int16", lanes), steps)


def add_saturating(a: Expr, b: Expr, lanes: int, dtype: str = "int16") -> Expr:
    """a + b with saturation."""
    return T.call_llvm_pure_intrin(vector(dtype, lanes), "llvm.sadd.sat", a, b)
