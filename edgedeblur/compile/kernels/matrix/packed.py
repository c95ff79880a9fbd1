"""From sums to stored bytes, four vectors of int32 sums at a time: one vector of bytes, stored in as few pieces as the
places allow. The arithmetic is that of requantise.py, in the same order.

Narrowing each vector by itself (`vpmovsdw`, `vpmovswb`) takes as long as the products of a layer with 16 channels;
together it is a third.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tvm.ir import Expr
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, span, splat, vector
from edgedeblur.compile.kernels.requantise import Output, add_saturating, requantised, rescaled

_VECTORS, _GROUP = 4, 4  # of sums that become one of bytes; of values that narrowing keeps together


@dataclass(frozen=True)
class Unit:
    """One vector of sums: int32 x lanes of output channels of one pixel, counted in its register tile and block."""

    pixel: int
    vector: int
    total: Expr


@dataclass(frozen=True)
class Block:
    """A block of output channels. channel: its first one, in the layer. channels: those that there are. row, column:
    where that of the first pixel is stored."""

    channel: Expr
    channels: int
    row: Expr
    column: Expr


@dataclass(frozen=True)
class _Piece:
    """Neighbours in memory. row, column: from the block's. lanes: of the units' values, unit after unit."""

    row: int
    column: int
    lanes: tuple[int, ...]


def store_units(output: Output, units: Sequence[Unit], scales: Sequence[Expr], block: Block) -> None:
    """Emits requantisation, residual, clamp and store of units.

    Args:
        scales: float32 x lanes, of each vector of the block.
    """
    for first in range(0, len(units), _VECTORS):
        _store(output, units[first : first + _VECTORS], scales, block)


def _store(output: Output, units: Sequence[Unit], scales: Sequence[Expr], block: Block) -> None:
    steps = [_steps(output, unit, scales, block) for unit in units]
    totals = _narrowed(output.isa, steps)
    pieces = _pieces(_places(output, units, block), _VECTORS * output.isa.lanes)
    if output.residual is not None:
        added = _narrowed(output.isa, _residual(output, len(units), pieces, block))
        totals = [add_saturating(a, b, 2 * output.isa.lanes) for a, b in zip(totals, added, strict=True)]
    shift = output.numbers.shift
    if not isinstance(shift, int) or shift:
        totals = [add_saturating(a, splat(shift, "int16", 2 * output.isa.lanes), 2 * output.isa.lanes) for a in totals]
    dtype = "uint8" if output.layer.image_out else "int8"
    lanes = _VECTORS * output.isa.lanes
    values = T.bind(_clamped(output, output.isa.matrix_registers.narrow_to(dtype, *totals), dtype, lanes))
    packed = [_packed_lane(lane, output.isa.lanes) for piece in pieces for lane in piece.lanes]
    values, at = _shuffled([values], packed, lanes), 0
    for piece in pieces:
        size = len(piece.lanes)
        part = values if size == lanes else T.Shuffle([values], list(range(at, at + size)))
        T.buffer_store(output.out, part, _at(block, piece))
        at += size


def _clamped(output: Output, values: Expr, dtype: str, lanes: int) -> Expr:
    """The clamps that a layer has beside those of the type that is stored."""
    layer, numbers = output.layer, output.numbers
    if layer.clamps_low:
        values = T.max(values, splat(numbers.low, dtype, lanes))
    return T.min(values, splat(numbers.high, dtype, lanes)) if layer.clamps_high else values


def _packed_lane(lane: int, lanes: int) -> int:
    """Where narrowing leaves a lane of the units' values."""
    unit, value = divmod(lane, lanes)
    return value // _GROUP * (_VECTORS * _GROUP) + unit * _GROUP + value % _GROUP


def _shuffled(vectors: Sequence[Expr], order: Sequence[int], lanes: int) -> Expr:
    """`lanes` bytes of vectors in another order, those beyond `order` any. Behind the fence LLVM takes it for one
    instruction (`vpermb`): it would make one of each part that is used."""
    dtype = str(vectors[0].ty.dtype).partition("x")[0]
    if len(order) < lanes:  # TVM wants as many to choose from
        vectors = [*vectors, splat(0, dtype, lanes - len(order))]
    shuffled = T.Shuffle(list(vectors), [*order, *[0] * (lanes - len(order))])
    as_floats = T.reinterpret(vector("float32", lanes // 4), shuffled)
    fenced = T.call_llvm_pure_intrin(vector("float32", lanes // 4), "llvm.arithmetic.fence", as_floats)
    return T.bind(T.reinterpret(vector(dtype, lanes), fenced))


def _steps(output: Output, unit: Unit, scales: Sequence[Expr], block: Block) -> Expr:
    """Requantised sums of one unit, int32."""
    channel = block.channel + unit.vector * output.isa.lanes
    (steps,) = requantised(output, [unit.total], [scales[unit.vector]], channel)
    return T.bind(steps)


def _narrowed(isa: InstructionSet, vectors: Sequence[Expr]) -> list[Expr]:
    """int32 of up to four units as two vectors of int16; where there are fewer the last one stands in."""
    vectors = [*vectors, *[vectors[-1]] * (_VECTORS - len(vectors))]
    narrow = isa.matrix_registers.narrow
    return [T.bind(narrow(*vectors[:2])), T.bind(narrow(*vectors[2:]))]


def _places(output: Output, units: Sequence[Unit], block: Block) -> dict[tuple[int, int], int]:
    """The lane of the vector of bytes by (row, column) from the block's place."""
    lanes, run, found = output.isa.lanes, output.run, {}
    whole_rows = output.layer.depth_to_space > 1 and (run < block.channels or _is_all(output, block))
    for index, unit in enumerate(units):
        for lane in range(lanes):
            channel = unit.vector * lanes + lane
            row, column = divmod(channel, run) if whole_rows else (0, channel)
            if channel < block.channels:
                found[row, unit.pixel * run + column] = index * lanes + lane
    return found


def _is_all(output: Output, block: Block) -> bool:
    return block.channels == output.layer.out_channels


def _pieces(places: dict[tuple[int, int], int], most: int) -> list[_Piece]:
    """Neighbours by powers of two, none above `most`; the largest first, so that each is aligned in a register."""
    found, pending = [], sorted(places)
    while pending:
        row, column = pending[0]
        length = next(n for n in range(1, len(pending) + 1) if n == len(pending) or pending[n] != (row, column + n))
        length = min(most, 1 << length.bit_length() - 1)
        found.append(_Piece(row, column, tuple(places[place] for place in pending[:length])))
        pending = pending[length:]
    return sorted(found, key=lambda piece: -len(piece.lanes))


def _at(block: Block, piece: _Piece) -> list[Expr]:
    return [block.row + piece.row, span(block.column + piece.column, len(piece.lanes))]


def _residual(output: Output, units: int, pieces: Sequence[_Piece], block: Block) -> list[Expr]:
    """The residual of each unit in steps of the output's scale, int32."""
    each = output.isa.lanes
    own = [_unit_piece(pieces, unit, each) for unit in range(units)]
    if None not in own:  # as the instruction that widens a unit loads it
        parts = [output.residual.vload(_at(block, piece)) for piece in own]
    else:
        loaded, lanes = [T.bind(output.residual.vload(_at(block, piece))) for piece in pieces], _VECTORS * each
        where = {lane: at for at, lane in enumerate(lane for piece in pieces for lane in piece.lanes)}
        stored = _shuffled(loaded, range(len(where)), lanes)
        stored = _shuffled([stored], [where.get(lane, 0) for lane in range(lanes)], lanes)
        parts = [T.Shuffle([stored], list(range(n * each, (n + 1) * each))) for n in range(units)]
    bound = [T.bind(part) for part in parts]
    if output.layer.rescales_residual:
        return [T.bind(rescaled(output, part, each)) for part in bound]
    return [T.bind(T.cast(part, vector("int32", each))) for part in bound]


def _unit_piece(pieces: Sequence[_Piece], unit: int, lanes: int) -> _Piece | None:
    """Where all of a unit is, None where it does not lie together."""
    wanted = tuple(range(unit * lanes, (unit + 1) * lanes))
    for piece in pieces:
        if wanted[0] in piece.lanes:
            at = piece.lanes.index(wanted[0])
            together = piece.lanes[at : at + lanes] == wanted
            return _Piece(piece.row, piece.column + at, wanted) if together else None
    return None
