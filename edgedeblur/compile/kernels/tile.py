"""The padded tile: a strip's input rows as the inner loop reads them, in scratch that stays in cache.

Padding with real zero, space-to-depth of the image and widening are done in this one copy, so no other pass over memory
is needed for them. Each input value is copied once per strip and then read kernel * kernel * out_channels times.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from tvm.ir import Expr
from tvm.tirx import Buffer
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, span, splat, vector
from edgedeblur.compile.kernels.layer import ConvLayer, Numbers

_COPY_LANES = 32  # elements per copy instruction; LLVM splits it to the registers of the target


@dataclass(frozen=True)
class Input:
    """What is copied into a tile that is as `isa` has it. source: [height, width * channels] as stored."""

    layer: ConvLayer
    isa: InstructionSet
    numbers: Numbers
    source: Buffer


def tile_rows(layer: ConvLayer, strip_rows: int) -> int:
    """Rows of the tile for that many output rows."""
    return (strip_rows - 1) * layer.stride + layer.reach


def tile_pitch(layer: ConvLayer, isa: InstructionSet, out_width: int) -> int:
    """Elements from one row of the tile to the next, where rows of `out_width` output pixels are computed."""
    columns = -(-out_width // isa.sums.pixels)
    pixels = (columns - 1) * isa.sums.pixels * layer.stride + layer.reach
    return pixels * tile_pixel(layer, isa)


def tile_pixel(layer: ConvLayer, isa: InstructionSet) -> int:
    """Elements from one pixel of the tile to the next: its channels, and beside them those of the pixels that are
    loaded with it for the other output pixels of a column."""
    return isa.padded_channels(layer.in_channels) * isa.sums.pixels


def window(layer: ConvLayer, isa: InstructionSet) -> int:
    """Input values that one output pixel reads from one row: kernel pixels with their channels."""
    return layer.kernel * isa.padded_channels(layer.in_channels)


def tile_bytes(layer: ConvLayer, isa: InstructionSet, strip_rows: int, method: str = "direct") -> int:
    """Bytes of the tile of a strip of that many output rows."""
    pitch = pairs_pitch(layer, isa) if method == "rows" else tile_pitch(layer, isa, layer.out_size[1])
    return tile_rows(layer, strip_rows) * pitch * np.dtype(isa.tile_dtype).itemsize


def pairs_per_row(layer: ConvLayer, isa: InstructionSet) -> int:
    """Pairs of output pixels in a row of the tile of kernels/winograd/rows.py, an even number."""
    return -(-layer.out_size[1] // 4) * 2


def pairs_pitch(layer: ConvLayer, isa: InstructionSet) -> int:
    """Elements from one row of that tile to the next: four transformed values for each pair."""
    return 4 * pairs_per_row(layer, isa) * layer.in_channels


def line_isa(isa: InstructionSet) -> InstructionSet:
    """How a row lies in memory before it is transformed there: signed."""
    return isa if isa.tile_dtype != "uint8" else replace(isa, tile_dtype="int8", tile_bias=0)


def fill_tile(read: Input, tile: Buffer, pitch: int, first_row: Expr, rows: int) -> None:
    """Emits the copy of `rows` rows from `first_row` (which may lie in the padding) of the source into `tile`.

    tile: [rows * pitch] in isa.tile_dtype.
    """
    layer, isa = read.layer, read.isa
    second = layer.stride * isa.padded_channels(layer.in_channels)
    length = pitch // isa.sums.pixels
    if isa.sums.pixels > 1:
        line = T.alloc_buffer((length + second,), isa.tile_dtype)
    with T.serial(rows) as row:
        start, y = T.bind(row * pitch), T.bind(first_row + row)
        if isa.sums.pixels == 1:
            fill_row(read, tile, pitch, start, y)
        else:
            fill_row(read, line, length + second, 0, y)
            _pair_row(line, tile, start, length, second)


def fill_row(read: Input, tile: Buffer, pitch: int, start: Expr | int, y: Expr) -> None:
    """One row of `pitch` elements from `start` of `tile`: row `y` of the source, or padding where there is none."""
    with T.If(T.And(y >= 0, y < read.layer.in_size[0])):
        with T.Then():
            _copy_row(read, tile, pitch, start, y)
        with T.Else():
            _fill(read, tile, start, pitch)


def _pair_row(line: Buffer, tile: Buffer, start: Expr, length: int, second: int) -> None:
    """`length` int8 values of a line, each eight beside the eight that lie `second` further: what two output pixels
    read at the same place of their windows, in one load."""
    pairs = [*range(8), *range(16, 24), *range(8, 16), *range(24, 32)]
    with T.serial(length // 16) as chunk:
        first = line.vload([span(chunk * 16, 16)])
        other = line.vload([span(chunk * 16 + second, 16)])
        T.buffer_store(tile, T.Shuffle([first, other], pairs), [span(start + chunk * 32, 32)])


def _copy_row(read: Input, tile: Buffer, pitch: int, start: Expr, y: Expr) -> None:
    """One row: padding on the left, the pixels, padding on the right."""
    layer = read.layer
    channels = read.isa.padded_channels(layer.in_channels)
    left = layer.pad * channels
    copied = min(layer.in_size[1] * channels, pitch - left)
    if channels != layer.in_channels:
        _fill(read, tile, start, pitch)
    else:
        _fill(read, tile, start, left)
        _fill(read, tile, start + left + copied, pitch - left - copied)
    pixels = copied // channels
    if layer.space_to_depth == 1 and channels == layer.in_channels:
        _copy_run(read, tile, y, 0, start + left, copied)
        return
    lanes = _pixel_lanes(layer, channels)
    with T.serial(pixels - 1 if lanes else pixels) as x:
        _copy_pixel(read, tile, y, x, start + left + x * channels, lanes)
    if lanes:
        _copy_pixel(read, tile, y, pixels - 1, start + left + (pixels - 1) * channels, 0)


def _pixel_lanes(layer: ConvLayer, channels: int) -> int:
    """Elements that are copied at once for a run of a pixel that has another one after it: a power of two, where what
    is too much of the last run stays among the channels that only fill the pixel, whose weights are zero; else 0."""
    run = layer.space_to_depth * layer.source[2]
    lanes = 1 << (run - 1).bit_length()
    return lanes if lanes <= _COPY_LANES and (layer.space_to_depth - 1) * run + lanes <= channels else 0


def _copy_pixel(read: Input, tile: Buffer, y: Expr, x: Expr | int, start: Expr, lanes: int) -> None:
    """One pixel of the convolution's input: `space_to_depth` runs of the source, one from each of its rows, each by
    `lanes`, unless that is 0; the next run is written over what is too much."""
    fold = read.layer.space_to_depth
    run = fold * read.layer.source[2]
    for dy in range(fold):
        row, column, place = y * fold + dy, x * run, start + dy * run
        if lanes:
            T.buffer_store(tile, tile_vector(read, row, column, lanes), [span(place, lanes)])
        else:
            _copy_run(read, tile, row, column, place, run)


def _copy_run(read: Input, tile: Buffer, row: Expr, column: Expr | int, start: Expr, length: int) -> None:
    """`length` neighbouring elements of a source row into the tile."""

    def copy(at, lanes: int) -> None:
        T.buffer_store(tile, tile_vector(read, row, column + at, lanes), [span(start + at, lanes)])

    _by_vectors(length, copy)


def tile_vector(read: Input, row: Expr, column: Expr | int, lanes: int) -> Expr:
    """`lanes` neighbouring elements of a source row as the tile holds them."""
    return _tile_value(read, read.source.vload([row, span(column, lanes)]), lanes)


def _fill(read: Input, tile: Buffer, start: Expr, length: int) -> None:
    """Padding: `length` times the value that means zero."""
    _by_vectors(
        length,
        lambda at, lanes: T.buffer_store(
            tile, splat(read.numbers.padding, read.isa.tile_dtype, lanes), [span(start + at, lanes)]
        ),
    )


def _by_vectors(length: int, emit: Callable[[Expr | int, int], None]) -> None:
    """Emits `emit(offset, lanes)` so that [0, length) is covered: a loop of whole vectors, then ever smaller ones."""
    whole, lanes = length // _COPY_LANES, _COPY_LANES
    if whole:
        with T.serial(whole) as step:
            emit(step * lanes, lanes)
    at = whole * lanes
    while at < length:
        lanes //= 2
        if at + lanes <= length:
            emit(at, lanes)
            at += lanes


def _tile_value(read: Input, value: Expr, lanes: int) -> Expr:
    """Stored activations (int8 q or uint8 q + 128) as the tile holds them: q + offset, or half of q + offset."""
    offset, dtype = read.numbers.offset, read.isa.tile_dtype
    if read.layer.halved:
        value = T.shift_right(value, splat(1, "int8", lanes))
    if isinstance(offset, int) and offset == 0:
        return T.cast(value, vector(dtype, lanes))
    wide = T.cast(value, vector("int16", lanes)) + splat(offset, "int16", lanes)
    return T.cast(wide, vector(dtype, lanes))
