"""The 3x3 convolution by Winograd's F(2x2, 3x3), exact in integers: 16 products per four outputs instead of 36.

Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016. With their transforms, and G doubled so
that it is an integer,

    4 * outputs = A^T [ (2G g 2G^T) * (B^T d B) ] A

holds in integers modulo 2^32. Transformed activations lie within +-4 * 255 and transformed weights within +-9 * 127, so
both fit int16, which `vpmaddwd` multiplies; an output is less than 2^31 / 4 (`schedule.MAX_CHANNELS`), so the shift by
two at the end is exact, whatever wrapped on the way. Worth it where the dot product takes int16 anyway.

    for strip in parallel:                              a task
        tile = padded copy of the strip's input
        transformed = B^T d B of every 4x4 patch        [16, patches, channels]
        for block of output channels, tile of patches:
            for position of 16: sums in registers       -> products [16, patches, block], in cache
            for patch: A^T products A, then as every convolution: bias, requantise, residual, clamp, store
"""

from tvm.ir import Expr
from tvm.tirx import Buffer
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, span, splat
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.register_tile import Columns, Weights, add_products, new_sums
from edgedeblur.compile.kernels.requantise import Output, store_pixel
from edgedeblur.compile.kernels.tile import fill_tile, tile_pitch, tile_rows
from edgedeblur.compile.schedule import (
    PATCH,
    POSITIONS,
    TRANSFORM_LANES,
    Schedule,
    channel_vectors,
    patches_per_row,
    patches_per_strip,
    tile_widths,
)


class WinogradConvolution:
    """The state while one kernel is emitted: what is built, and the buffers it is built on."""

    def __init__(self, layer: ConvLayer, schedule: Schedule, isa: InstructionSet, buffers: dict[str, Buffer]):
        self.layer, self.schedule, self.isa = layer, schedule, isa
        self.source, self.weight = buffers["source"], buffers["weight"]
        self.bias, self.scale = buffers["bias"], buffers["scale"]
        self.output = Output(layer, isa, buffers.get("residual"), buffers["out"])
        self.channels = layer.in_channels
        self.pitch = tile_pitch(layer, isa, PATCH * patches_per_row(layer))
        self.patches = patches_per_strip(layer, schedule.strip_rows)
        self.block_lanes = schedule.block_vectors * isa.lanes

    def emit(self) -> None:
        layer, isa, rows = self.layer, self.isa, self.schedule.strip_rows
        copied = tile_rows(layer, rows)
        with T.parallel(-(-layer.out_size[0] // rows)) as strip:
            self.tile = T.alloc_buffer((copied * self.pitch,), isa.tile_dtype)
            self.transformed = T.alloc_buffer((POSITIONS * self.patches * self.channels,), isa.tile_dtype)
            widest = POSITIONS * self.schedule.tile_width * self.block_lanes
            self.products = T.alloc_buffer((widest,), "int32")
            first = T.bind(strip * rows)
            fill_tile(layer, isa, self.source, self.tile, self.pitch, first - layer.pad, copied)
            extents = (rows // PATCH, patches_per_row(layer), self.channels // TRANSFORM_LANES)
            with T.grid(*extents) as (row, column, chunk):
                self._transform(row, column, chunk * TRANSFORM_LANES)
            with T.serial(channel_vectors(layer, isa) // self.schedule.block_vectors) as block:
                self._block(block, first)

    def _transform(self, row: Expr, column: Expr, channel: Expr) -> None:
        """B^T d B of one 4x4 patch, for some channels."""
        corner = T.bind(row * (PATCH * self.pitch) + column * (PATCH * self.channels) + channel)
        patch = [
            [T.bind(self.tile.vload([self._lanes(corner + y * self.pitch + x * self.channels)])) for x in range(4)]
            for y in range(4)
        ]
        by_rows = [_transform_input(line) for line in patch]
        by_columns = [_transform_input([by_rows[y][x] for y in range(4)]) for x in range(4)]
        place = T.bind((row * patches_per_row(self.layer) + column) * self.channels + channel)
        for y in range(4):
            for x in range(4):
                at = place + (y * 4 + x) * (self.patches * self.channels)
                T.buffer_store(self.transformed, by_columns[x][y], [self._lanes(at)])

    def _lanes(self, at: Expr) -> Expr:
        return span(at, TRANSFORM_LANES)

    def _block(self, block: Expr, first: Expr) -> None:
        start = 0
        for count, columns in tile_widths(self.patches, self.schedule.tile_width):
            with T.serial(count) as tile:
                patch = T.bind(start + tile * columns)
                with T.serial(POSITIONS) as position:
                    self._multiply(block, position, patch, columns)
                with T.serial(columns) as column:
                    self._finish(block, first, patch + column, column, columns)
            start += count * columns

    def _multiply(self, block: Expr, position: Expr, patch: Expr, columns: int) -> None:
        """One position's products of `columns` patches with a block of output channels."""
        isa, vectors, every = self.isa, self.schedule.block_vectors, span(0, self.isa.lanes)
        sums = new_sums(isa, columns, vectors)
        for total in (total for column in sums for total in column):
            T.buffer_store(total, splat(0, "int32", isa.lanes), [every])
        start = T.bind((position * self.patches + patch) * self.channels)
        weights = T.bind((block * POSITIONS + position) * (self.channels * self.block_lanes))
        operand = Columns(self.transformed, start, self.channels)
        size = isa.lanes * isa.group
        loads, order = self.channels // isa.step, Weights(self.weight, weights, vectors * size, size)
        add_products(isa, loads, self.schedule.unroll, operand, order, sums)
        for c, v in ((c, v) for c in range(columns) for v in range(vectors)):
            at = (position * columns + c) * self.block_lanes + v * isa.lanes
            T.buffer_store(self.products, sums[c][v].vload([every]), [span(at, isa.lanes)])

    def _finish(self, block: Expr, first: Expr, patch: Expr, column: Expr, columns: int) -> None:
        """The four output pixels of one patch."""
        isa, per_row = self.isa, patches_per_row(self.layer)
        channel = T.bind(block * self.block_lanes)
        vectors = range(self.schedule.block_vectors)
        sums = [self._transform_products(channel, column, columns, v) for v in vectors]
        scales = [T.bind(self.scale.vload([span(channel + v * isa.lanes, isa.lanes)])) for v in vectors]
        y, x = T.bind(first + T.floordiv(patch, per_row) * PATCH), T.bind(T.floormod(patch, per_row) * PATCH)
        for dy in range(PATCH):
            for dx in range(PATCH):
                totals = [four[dy][dx] for four in sums]
                self._store(totals, scales, channel, y + dy, x + dx)

    def _transform_products(self, channel: Expr, column: Expr, columns: int, v: int) -> list[list[Expr]]:
        """A^T products A / 4 + bias: int32 sums [2][2] of one patch and vector of output channels."""
        isa = self.isa
        bias = T.bind(self.bias.vload([span(channel + v * isa.lanes, isa.lanes)]))

        def at(position: int) -> Expr:
            return span((position * columns + column) * self.block_lanes + v * isa.lanes, isa.lanes)

        products = [[T.bind(self.products.vload([at(y * 4 + x)])) for x in range(4)] for y in range(4)]
        by_columns = [_transform_output([products[y][x] for y in range(4)]) for x in range(4)]
        fourfold = [_transform_output([by_columns[x][y] for x in range(4)]) for y in range(PATCH)]
        two = splat(2, "int32", isa.lanes)
        return [[T.bind(T.shift_right(total, two) + bias) for total in line] for line in fourfold]

    def _store(self, totals: list[Expr], scales: list[Expr], channel: Expr, y: Expr, x: Expr) -> None:
        """One pixel, unless the last strip or the last patch of a row reaches over the image's edge."""
        height, width = self.layer.out_size
        inside = []
        if height % self.schedule.strip_rows:
            inside.append(y < height)
        if width % PATCH:
            inside.append(x < width)
        if not inside:
            store_pixel(self.output, totals, scales, channel, y, x)
            return
        with T.If(inside[0] if len(inside) == 1 else T.And(*inside)), T.Then():
            store_pixel(self.output, totals, scales, channel, y, x)


def _transform_input(d: list[Expr]) -> list[Expr]:
    """B^T d."""
    return [T.bind(value) for value in (d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3])]


def _transform_output(m: list[Expr]) -> list[Expr]:
    """A^T m."""
    return [T.bind(m[0] + m[1] + m[2]), T.bind(m[1] - m[2] - m[3])]
