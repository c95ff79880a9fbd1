"""What the kernel generator asks of a processor: how to hold activations, how to multiply, how many registers."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tvm.ir import Expr
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.matrix.registers import MatrixRegisters


@dataclass(frozen=True)
class SumLayout:
    """How the sums of one vector of output channels lie in registers, where a lane is not simply a channel.

    pixels: neighbouring output pixels that share the registers; together they are one column of a register tile.
    registers: accumulators, of `lanes` int32 each, that hold a column's sums for one vector of channels.
    weight_loads: equal loads in which a vector's weights for one dot product come.
    operands(weights): what each of the registers is multiplied with, from those loads.
    begin(bias): what each of them starts with, from one vector's bias (int32 x lanes).
    totals(sums): one vector of channels (int32 x lanes) for each pixel, from the registers at the end.
    whole: whether each lane is the whole sum of a channel of a pixel.
    """

    pixels: int
    registers: int
    weight_loads: int
    operands: Callable[[list[Expr]], tuple[Expr, ...]]
    begin: Callable[[Expr], tuple[Expr, ...]]
    totals: Callable[[list[Expr]], list[Expr]]
    whole: bool = True


CHANNEL_PER_LANE = SumLayout(1, 1, 1, tuple, lambda bias: (bias,), lambda sums: sums)


def _halve_sum(a: Expr, b: Expr) -> Expr:
    return _half(a + b)


def _halve_difference(a: Expr, b: Expr) -> Expr:
    return _half(a - b)


def _half(values: Expr) -> Expr:
    dtype, _, lanes = str(values.ty.dtype).partition("x")
    return T.shift_right(values, splat(1, dtype, int(lanes or 1)))


def raised(values: Expr, lanes: int) -> Expr:
    """int8 x lanes plus 128, modulo 256."""
    return values ^ splat(-128, "int8", lanes)


@dataclass(frozen=True)
class WeightOrder:
    """An order of weights that several instruction sets read, so that one copy serves them all (signature.py).

    group: neighbouring input channels of one output channel. multiple: input channels are rounded up to it.
    """

    group: int
    multiple: int


@dataclass(frozen=True)
class InstructionSet:
    """A dot-product instruction and what the generator needs to know around it.

    lanes: int32 sums in one accumulator register.
    group: neighbouring input channels that one dot product adds into one lane.
    step: input channels that one activation load covers; step // group dot products use it.
    registers: vector registers, of which `reserved` hold neither sums nor the held operand of a step.
    tile_dtype, weight_dtype: how activations lie in the padded tile and weights in the constants.
    tile_bias: integer b such that a tile holds q + b; None when it holds q - zero_point, so that padding is zero.
    dot(sums, activation, part, weight): `sums` (int32 x lanes) plus the products of group `part` of `activation`,
        repeated over the lanes, with `weight` (weight_dtype x lanes * group).
    load(tile, index): the activation register for `dot`, from `step` tile elements at index.
    to_int(values): float32 x lanes to int32, half to even; whatever the processor gives where a value does not fit.
    mnemonic: regular expression of the dot product's instruction in assembly.
    cache_bytes: of the second-level cache of the smallest core that has these instructions.
    tap(sums, activation, weight): `sums`, the registers of `tap_sums` for a vector of channels, plus products for each
        lane, for depthwise convolutions; and tap_mnemonic, as `mnemonic`.
    tap_rows: products that it adds up for a lane, of so many kernel rows. One multiplies int16 x lanes; more multiply
        bytes, x lanes * tap_rows, as tiles and weights hold them. Where weights have a shared order, it is shared too.
    wide: the same registers with int16 products, for Winograd's method; None where they are not worth it.
    matrix: the products of registers that hold matrices, in int8, for the method of kernels/matrix/; None where there
        are none. matrix_registers: those registers, of these products alone.
    int16: products of int16 values, for layers that read such, by any method but Winograd's; None of those themselves.
        A tile of theirs holds int16.
    sums: how sums lie in registers; `dot` adds to one register.
    halve_sum(a, b), halve_difference(a, b): half of what is even, of int32 x lanes.
    raised(values, lanes): int8 x lanes plus 128, modulo 256.
    order: the order of weights that it shares with others; None for its own, which follows the schedule.
    adds_to_round: whether adding 1.5 * 2^23 takes less than converting between int32 and float32.
    dots_per_cycle: dot products that a core starts in a cycle, 1 where that is not known.
    load_cost, weight_cost, dot_cost: instructions to have one activation load, one vector of weights and one vector's
        products of a column, as the rule for schedules weighs them.
    """

    name: str
    lanes: int
    group: int
    step: int
    registers: int
    reserved: int
    tile_dtype: str
    weight_dtype: str
    tile_bias: int | None
    dot: Callable[[Expr, Expr, int, Expr], Expr]
    load: Callable[[object, Expr], Expr]
    to_int: Callable[[Expr], Expr]
    mnemonic: str
    cache_bytes: int
    tap: Callable[[list[Expr], Expr, Expr], list[Expr]]
    tap_mnemonic: str
    tap_rows: int = 1
    tap_sums: SumLayout = CHANNEL_PER_LANE
    wide: "InstructionSet | None" = None
    matrix: "InstructionSet | None" = None
    matrix_registers: MatrixRegisters | None = None
    int16: "InstructionSet | None" = None
    sums: SumLayout = CHANNEL_PER_LANE
    halve_sum: Callable[[Expr, Expr], Expr] = _halve_sum
    halve_difference: Callable[[Expr, Expr], Expr] = _halve_difference
    raised: Callable[[Expr, int], Expr] = raised
    order: WeightOrder | None = None
    adds_to_round: bool = False
    dots_per_cycle: float = 1.0
    load_cost: int = 1
    weight_cost: int = 1
    dot_cost: int = 1

    def products(self, method: str) -> "InstructionSet":
        """The products that a method of convolution uses: `direct`, `rows` and `matrix` multiply bytes, others int16.

        Raises:
            ValueError: there are none for it.
        """
        if method == "depthwise":
            return self._by_lanes()
        found = {"winograd": self.wide, "matrix": self.matrix}.get(method, self)
        if found is None:
            raise ValueError(f"{self.name} has no products for the method {method!r}")
        return found

    def _by_lanes(self) -> "InstructionSet":
        """The same registers with a channel in each lane of both operands."""
        single = {"tile_dtype": "int16", "weight_dtype": "int16", "tile_bias": None} if self.tap_rows == 1 else {}
        return replace(
            self,
            group=self.tap_rows,
            step=self.lanes,
            mnemonic=self.tap_mnemonic,
            wide=None,
            matrix=None,
            sums=self.tap_sums,
            order=None,
            **single,
        )

    @property
    def holds_activations(self) -> bool:
        """Whether a step keeps every pixel's activations in registers while weights stream, or the other way round."""
        return self.step > self.group

    def padded_channels(self, channels: int) -> int:
        """Input channels in the tile: rounded up to whole activation loads."""
        multiple = self.step if self.order is None else self.order.multiple
        return -(-channels // multiple) * multiple

    def tile_offset(self, zero_point: int) -> int:
        """What is added to q in the tile."""
        return -zero_point if self.tile_bias is None else self.tile_bias

    def tile_zero(self, zero_point: int) -> int:
        """How real zero looks in the tile: the padding value, and what the bias must make up for."""
        return zero_point + self.tile_offset(zero_point)


def round_half_even(values: Expr, lanes: int) -> Expr:
    """float32 to int32 without a particular processor's instruction."""
    return T.cast(T.call_llvm_pure_intrin(vector("float32", lanes), "llvm.roundeven", values), vector("int32", lanes))


def vector(dtype: str, lanes: int) -> str:
    """TVM's name of a vector type."""
    return dtype if lanes == 1 else f"{dtype}x{lanes}"


def splat(value, dtype: str, lanes: int) -> Expr:
    """A scalar constant in every lane."""
    scalar = T.cast(value, dtype)
    return scalar if lanes == 1 else T.broadcast(scalar, lanes)


def span(index, lanes: int):
    """The index of `lanes` neighbouring elements."""
    return index if lanes == 1 else T.ramp(index, 1, lanes)


def named(value: Expr) -> Expr:
    """A signed value by a name. What T.bind names, TVM writes out again wherever it stands, so that a transform of a
    transform grows by the square, unless it has effects: and a call has."""
    dtype, _, lanes = str(value.ty.dtype).partition("x")
    least = splat(-(1 << (int(dtype.removeprefix("int")) - 1)), dtype, int(lanes or 1))
    return T.bind(T.call_llvm_intrin(str(value.ty.dtype), "llvm.smax", value, least))


def narrow(values: Expr, dtype: str, lanes: int) -> Expr:
    """A cast with saturation: LLVM knows the pattern (`vpackssdw`, `sqxtn`)."""
    wide = str(values.ty.dtype).partition("x")[0]
    low, high = {"int16": (-(1 << 15), (1 << 15) - 1), "int8": (-128, 127), "uint8": (0, 255)}[dtype]
    clamped = T.max(T.min(values, splat(high, wide, lanes)), splat(low, wide, lanes))
    return T.cast(clamped, vector(dtype, lanes))


def join(vectors: list[Expr], lanes: int) -> Expr:
    """Vectors of `lanes` one after another."""
    return vectors[0] if len(vectors) == 1 else T.Shuffle(vectors, list(range(lanes * len(vectors))))


def part(values: Expr, start: int, length: int, lanes: int) -> Expr:
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
