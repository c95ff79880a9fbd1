"""How a convolution is cut into registers that hold matrices: pixels by products, products by output channels.

A register of activations is `rows` neighbouring output pixels of a row of the image; each of its rows is a piece of
what that pixel reads of one row of the tile: the kernel's pixels with all of their channels, which are neighbours
there, so that several taps share a register where channels are few. A register of weights is the same piece for 16
channels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd

from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.matrix.registers import MatrixRegisters
from edgedeblur.compile.kernels.tile import window

_STREAMED = 2  # registers for the operand that streams past the held one: one is loaded while the other multiplies
_MULTIPLY_CYCLES, _LOAD_CYCLES = 16, 8  # of whole registers, on Sapphire Rapids (Intel's optimization manual, 20.5)
_PACKED = 4  # vectors of sums that are narrowed to one vector of bytes


@dataclass(frozen=True)
class Pieces:
    """How what a pixel reads of a kernel row is cut.

    runs: stretches that are neighbours in the tile: one, or with dilation one for each tap. count: pieces of a run.
    groups: of four products in each piece. surplus: groups of the last one beyond the run, whose weights are zero.
    """

    runs: int
    count: int
    groups: int
    surplus: int


@dataclass(frozen=True)
class RowTiles:
    """How a row of `width` pixels is cut into register tiles.

    count: tiles; the last one begins where it ends with the row, and computes again what lies in both.
    registers: of pixels in a tile. rows: of each, all the same.
    """

    count: int
    registers: int
    rows: int

    @property
    def pixels(self) -> int:
        return self.registers * self.rows


def pieces(layer: ConvLayer, isa: InstructionSet) -> Pieces:
    """isa: the products by matrices."""
    runs = 1 if layer.dilation == 1 else layer.kernel
    groups = window(layer, isa) // runs // isa.group
    count = -(-groups * isa.group // isa.matrix_registers.row_bytes)
    each = -(-groups // count)
    return Pieces(runs, count, each, count * each - groups)


def row_tiles(width: int, tile_width: int, registers: MatrixRegisters) -> RowTiles:
    """Tiles of at most `tile_width` pixels, a multiple of a register's rows."""
    count, each = -(-width // tile_width), tile_width // registers.rows
    return RowTiles(count, each, -(-width // (count * each)))


def takes_matrix(layer: ConvLayer, isa: InstructionSet) -> bool:
    """Whether the method fits a layer: int8 on both sides, every output channel sums over several input channels, and
    where a block's channels go is known when the kernel is compiled."""
    if isa.matrix is None or layer.depthwise or layer.int16:
        return False
    return any(True for _ in matrix_tiles(layer, isa.matrix))


def matrix_tiles(layer: ConvLayer, isa: InstructionSet) -> Iterator[tuple[int, int]]:
    """Every (tile_width, block_vectors) whose registers there are: sums, the smaller operand held and the other one
    streaming past it. isa: the products by matrices."""
    registers, width = isa.matrix_registers, layer.out_size[1]
    vectors = -(-layer.out_channels // isa.lanes)
    for block in (n for n in range(1, vectors + 1) if vectors % n == 0 and _places_known(layer, isa, n)):
        for each in range(1, registers.count):
            tiles = row_tiles(width, each * registers.rows, registers)
            fits = each * block + min(each, block) + _STREAMED <= registers.count
            if fits and tiles.pixels <= width:
                yield each * registers.rows, block


def best_tile(layer: ConvLayer, isa: InstructionSet) -> tuple[int, int]:
    """The one of `matrix_tiles` with the fewest cycles, the wider in channels where two are equal."""
    return min(matrix_tiles(layer, isa), key=lambda tile: (tile_cycles(layer, isa, *tile), -tile[1]))


def tile_cycles(layer: ConvLayer, isa: InstructionSet, tile_width: int, block_vectors: int) -> float:
    """Cycles of a row of pixels for each piece of the window: of products, and half of the loads', which run beside
    them."""
    tiles = row_tiles(layer.out_size[1], tile_width, isa.matrix_registers)
    repeats = tiles.count * -(-layer.out_channels // isa.lanes) // block_vectors
    products, loads = tiles.registers * block_vectors, tiles.registers + block_vectors
    return repeats * (products * _MULTIPLY_CYCLES + loads * _LOAD_CYCLES / 2)


def matrix_products(layer: ConvLayer, isa: InstructionSet, tile_width: int) -> int:
    """Products of one instruction: pixels by four of each group by output channels."""
    rows = row_tiles(layer.out_size[1], tile_width, isa.matrix_registers).rows
    return rows * pieces(layer, isa).groups * isa.group * isa.lanes


def reads_source(layer: ConvLayer, isa: InstructionSet) -> bool:
    """Whether registers are loaded from the source itself: a 1x1 convolution of bytes that lie there as the tile would
    have them."""
    return (
        layer.kernel == layer.space_to_depth == 1
        and not (layer.image_source or layer.halved)
        and layer.in_channels % isa.group == 0
        and pieces(layer, isa).surplus == 0
    )


def packed_pixels(tile_pixels: int, block_vectors: int) -> int:
    """Neighbouring pixels that are requantised together: the fewest whose vectors fill whole vectors of bytes."""
    return min(tile_pixels, _PACKED // gcd(_PACKED, block_vectors))


def computed_pixels(layer: ConvLayer, isa: InstructionSet, tile_width: int, block_vectors: int) -> int:
    """Pixels of a row that are requantised, with those that are done twice."""
    tiles = row_tiles(layer.out_size[1], tile_width, isa.matrix_registers)
    together = packed_pixels(tiles.pixels, block_vectors)
    return tiles.count * -(-tiles.pixels // together) * together


def _places_known(layer: ConvLayer, isa: InstructionSet, block_vectors: int) -> bool:
    """Whether all blocks of channels lie in the same way in what a pixel unfolds to."""
    channels, run = block_vectors * isa.lanes, layer.depth_to_space * layer.out[2]
    if layer.depth_to_space == 1 or layer.out_channels <= channels:
        return True
    return layer.out_channels % channels == 0 and (run % channels == 0 or channels % run == 0)
