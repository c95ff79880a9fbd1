"""F(2, 3) along rows (Lavin & Gray, CVPR 2016, in one dimension) in int8, for layers in Winograd form.

Two neighbouring outputs of a row come of 12 products in place of 18 for each input channel. With d0 to d3 what their
windows read of one row, and w0 to w2 the kernel's row:

    m0 = (d0 - d2) * w0                     first  = m0 + (m1 + m2) / 2
    m1 = (d1 + d2) * (w0 + w1 + w2)         second = m3 + (m1 - m2) / 2
    m2 = (d2 - d1) * (w0 - w1 + w2)
    m3 = (d3 - d1) * w2

The form (quantize/network.py) makes every operand fit int8, so these are the int8 dot products of the direct method;
m1 + m2 and m1 - m2 are even. The bias is doubled and counts to m1. The sums of m1 and m2 are done first: what comes of
them is where m0's and m3's begin. Registers hold the sums of two positions at a time, where the tile is small enough;
else of one, and the other's wait on the stack.

for strip, or for block of output channels, in parallel:     a task
    for the other of the two:
        tile = d0 - d2, d1 + d2, d2 - d1, d3 - d1            [rows, 4, pairs, channels]
        for row, for tile of pairs:
            for positions 1 and 2, then 0 and 3: sums in registers
            requantise, add the residual, clamp, store
"""

from tvm.ir import Expr
from tvm.tirx import Buffer
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, span, splat, vector
from edgedeblur.compile.kernels.layer import ConvLayer, read_numbers
from edgedeblur.compile.kernels.register_tile import Columns, Row, Weights, add_row_products, new_sums
from edgedeblur.compile.kernels.requantise import BEGUN, Output, store_pixel
from edgedeblur.compile.kernels.tile import Input, line_isa, pairs_per_row, pairs_pitch, tile_rows, tile_vector
from edgedeblur.compile.schedules.schedule import (
    ROW_POSITIONS,
    Schedule,
    channel_vectors,
    holds_two_positions,
    row_columns,
    tile_widths,
)

_LANES = 16  # channels that are transformed together


class RowsConvolution:
    """The state while one kernel is emitted: what is built, and the buffers it is built on."""

    def __init__(self, layer: ConvLayer, schedule: Schedule, isa: InstructionSet, buffers: dict[str, Buffer]):
        self.layer, self.schedule, self.isa = layer, schedule, isa
        self.buffers, self.weight = buffers, buffers["weight"]
        self.bias, self.scale = buffers["bias"], buffers["scale"]
        self.channels, self.pairs = layer.in_channels, pairs_per_row(layer, isa)
        self.plane = self.pairs * self.channels  # of one position of a row
        self.pitch = pairs_pitch(layer, isa)
        self.both = holds_two_positions(isa, schedule.tile_width, schedule.block_vectors)
        self.blocks = channel_vectors(layer, isa) // schedule.block_vectors

    def emit(self) -> None:
        strips = -(-self.layer.out_size[0] // self.schedule.strip_rows)
        if self.schedule.parallel == "rows":
            with T.parallel(strips) as strip:
                self._allocate()
                first = self._fill(strip)
                with T.serial(self.blocks) as block:
                    self._block(block, first)
            return
        with T.parallel(self.blocks) as block:
            self._allocate()
            with T.serial(strips) as strip:
                self._block(block, self._fill(strip))

    def _allocate(self) -> None:
        """A task's numbers and scratch."""
        rows, line = tile_rows(self.layer, self.schedule.strip_rows), line_isa(self.isa)
        buffers = self.buffers
        self.numbers = read_numbers(self.layer, line, buffers.get("numbers"))
        self.input = Input(self.layer, line, self.numbers, buffers["source"])
        # sums begin with twice BEGUN_BITS, modulo 2^32: half of it has the other sign
        kept = buffers.get("residual"), buffers["out"]
        self.output = Output(self.layer, self.isa, self.numbers, *kept, begun=-BEGUN)
        self.tile = T.alloc_buffer((rows * self.pitch,), self.isa.tile_dtype)

    def _fill(self, strip: Expr) -> Expr:
        """A strip's transformed input; returns its first output row."""
        layer, rows = self.layer, self.schedule.strip_rows
        first = T.bind(strip * rows)
        with T.serial(tile_rows(layer, rows)) as row:
            start, y = T.bind(row * self.pitch), T.bind(first + row - 1)
            with T.If(T.And(y >= 0, y < layer.in_size[0])):
                with T.Then():
                    self._transform_row(start, y)
                with T.Else(), T.serial(self.plane // _LANES) as chunk:
                    for position, value in enumerate(self._transformed([self._padding()] * 4)):
                        place = start + (position * self.plane + chunk * _LANES)
                        T.buffer_store(self.tile, value, [span(place, _LANES)])
        return first

    def _transform_row(self, start: Expr, y: Expr) -> None:
        """A row, two pairs of outputs at a time; the first and the last two reach into the padding."""
        groups = self.pairs // 2
        for two in sorted({0, groups - 1}):
            with T.serial(self.channels // _LANES) as chunk:
                self._transform(start, y, two, chunk * _LANES)
        if groups > 2:
            with T.serial(groups - 2) as two:
                for chunk in range(0, self.channels, _LANES):
                    self._transform(start, y, two + 1, chunk)

    def _transform(self, start: Expr, y: Expr, two: Expr | int, chunk: Expr | int) -> None:
        """Two pairs of outputs of a row, vectors of channels at a time."""
        d = [self._pixel(y, two, x, chunk) for x in range(6)]
        pairs = zip(*(self._transformed(d[x : x + 4]) for x in (0, 2)), strict=True)
        for position, values in enumerate(pairs):
            place = start + (position * self.plane + two * (2 * self.channels))
            if self.isa.sums.pixels == 1:
                for pair, value in enumerate(values):
                    T.buffer_store(self.tile, value, [span(place + (pair * self.channels + chunk), _LANES)])
                continue
            both = [*range(8), *range(16, 24), *range(8, 16), *range(24, 32)]  # eights of both beside each other
            T.buffer_store(self.tile, T.Shuffle(values, both), [span(place + 2 * chunk, 2 * _LANES)])

    def _pixel(self, y: Expr, two: Expr | int, x: int, chunk: Expr | int) -> Expr:
        """Pixel x of the six that two pairs of outputs read, or padding where a known one lies outside of the row."""
        if isinstance(two, int) and not 0 <= 4 * two + x - 1 < self.layer.in_size[1]:
            return self._padding()
        return T.bind(tile_vector(self.input, y, (4 * two + (x - 1)) * self.channels + chunk, _LANES))

    def _padding(self) -> Expr:
        dtype = self.input.isa.tile_dtype
        return T.bind(splat(self.numbers.padding, dtype, _LANES))

    def _transformed(self, d: list[Expr]) -> list[Expr]:
        """What two outputs multiply at each position, of the four pixels that they read, as the tile holds it."""
        return [self._stored(value) for value in (d[0] - d[2], d[1] + d[2], d[2] - d[1], d[3] - d[1])]

    def _stored(self, value: Expr) -> Expr:
        """A transformed value as the tile holds it."""
        offset = self.isa.tile_bias or 0
        if not offset:
            return T.bind(value)
        dtype = vector(self.isa.tile_dtype, _LANES)
        return T.bind(T.cast(value, dtype) + splat(offset, self.isa.tile_dtype, _LANES))

    def _block(self, block: Expr, first: Expr) -> None:
        with T.serial(T.min(self.schedule.strip_rows, self.layer.out_size[0] - first)) as row:
            start = 0
            for count, columns in tile_widths(row_columns(self.layer, self.isa, "rows"), self.schedule.tile_width):
                with T.serial(count) as tile:
                    self._tile(block, row, first + row, T.bind(start + tile * columns), columns)
                start += count * columns

    def _tile(self, block: Expr, row: Expr, y: Expr, x: Expr, columns: int) -> None:
        """One register tile: `columns` of pairs of output pixels by `block_vectors` vectors of output channels."""
        isa, vectors = self.isa, self.schedule.block_vectors
        channel = T.bind(block * (vectors * isa.lanes))
        first, second = new_sums(isa, columns, vectors), new_sums(isa, columns, vectors)
        for position, sums in ((1, first), (2, second)):
            self._begin(channel, position, sums)
            if not self.both:
                self._accumulate(block, row, x, [(position, sums)])
        if self.both:
            self._accumulate(block, row, x, [(1, first), (2, second)])
        for one, other in zip(_flat(first), _flat(second), strict=True) if isa.sums.whole else ():
            self._halve(one, other)
        if not isa.sums.whole:
            self._halve_totals(first, second)
        scales = [T.bind(self.scale.vload([span(channel + v * isa.lanes, isa.lanes)])) for v in range(vectors)]
        if self.both:
            self._accumulate(block, row, x, [(0, first), (3, second)])
        for position, sums in ((0, first), (3, second)):
            if isa.tile_bias:
                self._add_bias(channel, position, sums)
            if not self.both:
                self._accumulate(block, row, x, [(position, sums)])
            for c, column_sums in enumerate(sums):
                for p, totals in enumerate(self._totals(column_sums)):
                    pixel = 2 * (x + c) * isa.sums.pixels + (2 * p + position // 3)
                    self._store(totals, scales, channel, y, pixel, 2 * (c * isa.sums.pixels + p) + position // 3)

    def _bias(self, channel: Expr, position: int, v: int) -> Expr:
        """What the sums of a position begin with: of position 1 first, of the others where tiles hold an offset."""
        isa = self.isa
        outputs = channel_vectors(self.layer, isa) * isa.lanes
        place = (1, 0, 2, 3)[position] * outputs
        return T.bind(self.bias.vload([span(channel + (place + v * isa.lanes), isa.lanes)]))

    def _begin(self, channel: Expr, position: int, sums: list[list[Buffer]]) -> None:
        isa, registers = self.isa, self.isa.sums.registers
        for v in range(self.schedule.block_vectors):
            known = position == 1 or isa.tile_bias
            value = self._bias(channel, position, v) if known else splat(0, "int32", isa.lanes)
            for r, first in enumerate(T.bind(one) for one in isa.sums.begin(value)):
                for column_sums in sums:
                    T.buffer_store(column_sums[v * registers + r], first, [span(0, isa.lanes)])

    def _add_bias(self, channel: Expr, position: int, sums: list[list[Buffer]]) -> None:
        every = [span(0, self.isa.lanes)]
        for v in range(self.schedule.block_vectors):
            value = self._bias(channel, position, v)
            for column_sums in sums:
                T.buffer_store(column_sums[v], column_sums[v].vload(every) + value, every)

    def _accumulate(self, block: Expr, row: Expr, x: Expr, positions: list[tuple[int, list[list[Buffer]]]]) -> None:
        """Every product of these positions of the tile, each with its sums."""
        isa, loads = self.isa, self.channels // self.isa.step
        if isa.holds_activations and loads > self.schedule.unroll:  # one loop for all of them, as in direct.py
            rows = [self._kernel_row(block, row, x, ky, *at) for at in positions for ky in range(self.layer.kernel)]
            add_row_products(isa, loads, self.schedule.unroll, rows)
            return
        with T.serial(self.layer.kernel) as ky:
            rows = [self._kernel_row(block, row, x, ky, *at) for at in positions]
            add_row_products(isa, loads, self.schedule.unroll, rows)

    def _kernel_row(self, block: Expr, row: Expr, x: Expr, ky: Expr | int, position: int, sums: list) -> Row:
        pixel = self.channels * self.isa.sums.pixels
        start = T.bind((row + ky) * self.pitch + position * self.plane + x * pixel)
        weights = self._weights(block, position * self.layer.kernel + ky)
        return Row(Columns(self.tile, start, pixel), weights, sums)

    def _weights(self, block: Expr, row: Expr) -> Weights:
        """Where the weights of a block for a kernel row of a position lie (`signature.weight_shape`)."""
        isa, vectors = self.isa, self.schedule.block_vectors
        of_row, size, rows = isa.lanes * self.channels, isa.lanes * isa.group, ROW_POSITIONS * self.layer.kernel
        if isa.order is None:
            return Weights(self.weight, T.bind((block * rows + row) * (vectors * of_row)), vectors * size, size)
        return Weights(self.weight, T.bind((block * (vectors * rows) + row) * of_row), size, rows * of_row)

    def _halve(self, first: Buffer, second: Buffer) -> None:
        """Sums of positions 1 and 2 to where those of 0 and 3 begin."""
        every = [span(0, self.isa.lanes)]
        one, other = T.bind(first.vload(every)), T.bind(second.vload(every))
        plus, minus = T.bind(self.isa.halve_sum(one, other)), T.bind(self.isa.halve_difference(one, other))
        T.buffer_store(first, plus, every)
        T.buffer_store(second, minus, every)

    def _halve_totals(self, first: list[list[Buffer]], second: list[list[Buffer]]) -> None:
        """The same where a lane holds a part of a sum: only whole sums are even."""
        isa, registers, every = self.isa, self.isa.sums.registers, [span(0, self.isa.lanes)]
        for ones, others in zip(first, second, strict=True):
            for v, totals in enumerate(zip(self._totals(ones)[0], self._totals(others)[0], strict=True)):
                one, other = (T.bind(total) for total in totals)
                for sums, value in ((ones, isa.halve_sum(one, other)), (others, isa.halve_difference(one, other))):
                    for r, begun in enumerate(isa.sums.begin(T.bind(value))):
                        T.buffer_store(sums[v * registers + r], begun, every)

    def _totals(self, sums: list[Buffer]) -> list[list[Expr]]:
        """One column's sums, [pair][vector]."""
        registers = self.isa.sums.registers
        values = [total.vload([span(0, self.isa.lanes)]) for total in sums]
        vectors = [self.isa.sums.totals(values[v : v + registers]) for v in range(0, len(values), registers)]
        return [list(totals) for totals in zip(*vectors, strict=True)]

    def _store(self, totals: list[Expr], scales: list[Expr], channel: Expr, y: Expr, x: Expr, place: int) -> None:
        """One pixel, unless it is one that fills up the last column of a row."""
        width, together = self.layer.out_size[1], 2 * self.isa.sums.pixels
        if place % together < (width - 1) % together + 1:
            store_pixel(self.output, totals, scales, channel, y, x)
            return
        with T.If(x < width), T.Then():
            store_pixel(self.output, totals, scales, channel, y, x)


def _flat(sums: list[list[Buffer]]) -> list[Buffer]:
    return [total for column in sums for total in column]
