"""Depthwise convolutions: a channel in each lane of both operands, and what neighbouring pixels read is loaded once.

Where an instruction adds up several products for a lane (`InstructionSet.tap_rows`: four by `sdot` and `vpdpbusd`),
those are of so many kernel rows: for each output row and block of channels the rows of the tile that it reads are first
gathered, value beside value. A 3x3 kernel then takes three instructions for each vector of outputs.
"""

from dataclasses import dataclass

from tvm.ir import Expr
from tvm.tirx import Buffer
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, by_powers_of_two, span
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.register_tile import Columns
from edgedeblur.compile.kernels.tile import tile_pitch, tile_pixel

_LANES = 16  # of what is gathered, or requantised, at once
_STORE_INSTRUCTIONS = 8  # from int32 sums to a store, for a vector or for as many as fill those lanes
_GATHER_INSTRUCTIONS = 12  # to lay kernel rows beside each other, the same


@dataclass(frozen=True)
class Taps:
    """Where the weights of a row of taps lie: tap k of the block's first channel at start + k * pitch."""

    buffer: Buffer
    start: Expr
    pitch: int


def add_taps(layer: ConvLayer, isa: InstructionSet, columns: Columns, taps: Taps, sums: list[list[Buffer]]) -> None:
    """Emits sums += activations x weights of one row of taps; sums: [pixels][vectors of channels * registers]."""
    registers = isa.sums.registers
    vectors = len(sums[0]) // registers
    pixel = columns.stride // layer.stride
    weights = [_loaded(isa, taps.buffer, taps.start + k * taps.pitch, vectors) for k in range(layer.kernel)]
    for place in range((len(sums) - 1) * layer.stride + layer.reach):
        readers = [
            (column, k)
            for k in range(layer.kernel)
            for column in range(len(sums))
            if column * layer.stride + k * layer.dilation == place
        ]
        if not readers:
            continue
        activations = _loaded(isa, columns.buffer, columns.start + place * pixel, vectors)
        for column, k in readers:
            for v in range(vectors):
                totals = sums[column][v * registers : (v + 1) * registers]
                _add_tap(isa, totals, activations[v], weights[k][v])


def _add_tap(isa: InstructionSet, totals: list[Buffer], activation: Expr, weight: Expr) -> None:
    every = [span(0, isa.lanes)]
    values = isa.tap([total.vload(every) for total in totals], activation, weight)
    for total, value in zip(totals, values, strict=True):
        T.buffer_store(total, value, every)


def _loaded(isa: InstructionSet, buffer: Buffer, start: Expr, vectors: int) -> list[Expr]:
    """Neighbouring vectors."""
    size = isa.lanes * isa.group
    return [T.bind(buffer.vload([span(start + v * size, size)])) for v in range(vectors)]


def gather_rows(
    layer: ConvLayer, isa: InstructionSet, tile: Buffer, row: Expr, channel: Expr, gathered: Buffer
) -> None:
    """Emits the gathering of what output row `row` of the tile reads of a block of channels from `channel` on.

    gathered: [row groups][pixels][channels of the block][tap_rows], flat. Rows beyond the kernel, whose weights are
    zero, repeat its last one.
    """
    pixel, together = tile_pixel(layer, isa), isa.group
    pixels, groups = gathered_pixels(layer, isa), row_groups(layer, isa)
    pitch = pixels * pixel
    channels = int(gathered.shape[0]) // (groups * pixels * together)
    top = T.bind(row * (layer.stride * pitch) + channel)
    for group in range(groups):
        rows = [min(group * together + j, layer.kernel - 1) for j in range(together)]
        with T.serial(pixels) as x:
            for first, lanes in by_powers_of_two(channels, _LANES):
                at = T.bind(top + x * pixel + first)
                read = {ky: T.bind(tile.vload([span(at + ky * layer.dilation * pitch, lanes)])) for ky in rows}
                order = [j * lanes + lane for lane in range(lanes) for j in range(together)]
                values = T.Shuffle([read[ky] for ky in rows], order)
                start = ((group * pixels + x) * channels + first) * together
                T.buffer_store(gathered, values, [span(start, lanes * together)])


def row_groups(layer: ConvLayer, isa: InstructionSet) -> int:
    """Groups of kernel rows that an instruction adds up."""
    return -(-layer.kernel // isa.group)


def gathered_pixels(layer: ConvLayer, isa: InstructionSet) -> int:
    """Pixels of a row of the tile."""
    return tile_pitch(layer, isa, layer.out_size[1]) // tile_pixel(layer, isa)


def gathered_bytes(layer: ConvLayer, isa: InstructionSet, block_vectors: int) -> int:
    """Bytes of the scratch of `gather_rows`; 0 where kernel rows are read from the tile one by one."""
    if isa.group == 1:
        return 0
    return row_groups(layer, isa) * gathered_pixels(layer, isa) * block_vectors * isa.lanes * isa.group


def fits_taps(layer: ConvLayer, isa: InstructionSet, tile_width: int, block_vectors: int) -> bool:
    """Whether a depthwise tile's sums and the weights of a kernel row stay in registers, beside two operands."""
    columns = tile_width * isa.tap_sums.registers
    return (columns + layer.kernel) * block_vectors + 1 + isa.tap_sums.registers <= isa.registers


def instructions_per_vector(
    layer: ConvLayer, isa: InstructionSet, tiles: tuple[tuple[int, int], ...], block_vectors: int
) -> float:
    """Instructions for each vector of outputs, as the rule for schedules weighs register tiles: products, loads, and
    what vectors of a block share.

    Args:
        tiles: of a row, (count, pixels).
    """
    read = sum(count * ((width - 1) * layer.stride + layer.reach + layer.kernel) for count, width in tiles)
    products = row_groups(layer, isa) * (layer.kernel + read / layer.out_size[1])
    shared = _STORE_INSTRUCTIONS + (_GATHER_INSTRUCTIONS if isa.group > 1 else 0)
    return products + shared / min(block_vectors, max(1, _LANES // isa.lanes))
