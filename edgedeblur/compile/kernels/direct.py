"""The direct convolution: parallel over strips of output rows or over output channels, sums in registers, all fused.

for strip, or for block of output channels, in parallel:     a task
    for the other of the two:
        tile = padded copy of the strip's input              scratch of the thread
        for row, for tile of pixels:                         sums in registers
            for ky, for k in kernel * channels:              the window's pixels of a row are neighbours in the tile,
                sums += dot(activation, weights)             so kx and the channels are one loop
            requantise, add the residual, clamp, store

Depthwise convolutions have another innermost part (depthwise.py), in the same loops; a task goes row by row, not block
by block, as each block reads only its own channels of a row.
"""

from dataclasses import replace

from tvm.ir import Expr
from tvm.tirx import Buffer
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.depthwise import (
    Taps,
    add_taps,
    gather_rows,
    gathered_bytes,
    gathered_pixels,
    row_groups,
)
from edgedeblur.compile.kernels.instruction_set import InstructionSet, span
from edgedeblur.compile.kernels.layer import ConvLayer, read_numbers
from edgedeblur.compile.kernels.register_tile import Columns, Row, Weights, add_row_products, new_sums
from edgedeblur.compile.kernels.requantise import Output, store_pair, store_pixel, stores_pairs
from edgedeblur.compile.kernels.tile import Input, fill_tile, tile_pitch, tile_pixel, tile_rows, window
from edgedeblur.compile.schedules.schedule import Schedule, channel_vectors, row_columns, tile_widths

_LOOP_DOTS = 512  # dot products of a round with all kernel rows: some 2.5 KB of code


class DirectConvolution:
    """The state while one kernel is emitted: what is built, and the buffers it is built on."""

    def __init__(self, layer: ConvLayer, schedule: Schedule, isa: InstructionSet, buffers: dict[str, Buffer]):
        self.layer, self.schedule, self.isa = layer, schedule, isa
        self.buffers, self.weight = buffers, buffers["weight"]
        self.bias, self.scale = buffers["bias"], buffers["scale"]
        self.pitch = tile_pitch(layer, isa, layer.out_size[1])

    def emit(self) -> None:
        layer, rows = self.layer, self.schedule.strip_rows
        strips = -(-layer.out_size[0] // rows)
        blocks = channel_vectors(layer, self.isa) // self.schedule.block_vectors
        if self.schedule.parallel == "rows":
            with T.parallel(strips) as strip:
                self._allocate()
                first = self._fill(strip)
                self._blocks(blocks, first)
            return
        with T.parallel(blocks) as block:
            self._allocate()
            with T.serial(strips) as strip:
                self._block(block, self._fill(strip))

    def _allocate(self) -> None:
        """A task's numbers and scratch."""
        buffers = self.buffers
        numbers = read_numbers(self.layer, self.isa, buffers.get("numbers"))
        self.input = Input(self.layer, self.isa, numbers, buffers["source"])
        kept = buffers.get("residual"), buffers["out"], buffers.get("negative_scale")
        self.output = Output(self.layer, self.isa, numbers, *kept)
        size = tile_rows(self.layer, self.schedule.strip_rows) * self.pitch
        self.tile = T.alloc_buffer((size,), self.isa.tile_dtype)
        self.gathered = None
        if self.schedule.method == "depthwise":
            beside = gathered_bytes(self.layer, self.isa, self.schedule.block_vectors)  # elements are bytes
            self.gathered = T.alloc_buffer((beside,), self.isa.tile_dtype) if beside else None

    def _fill(self, strip: Expr) -> Expr:
        """A strip's tile; returns its first output row."""
        layer, rows = self.layer, self.schedule.strip_rows
        first = T.bind(strip * rows)
        source_row, copied = first * layer.stride - layer.pad, tile_rows(layer, rows)
        fill_tile(self.input, self.tile, self.pitch, source_row, copied)
        return first

    def _blocks(self, blocks: int, first: Expr) -> None:
        if self.schedule.method != "depthwise":
            with T.serial(blocks) as block:
                self._block(block, first)
            return
        with T.serial(self._rows(first)) as row, T.serial(blocks) as block:
            self._row(block, row, first + row)

    def _block(self, block: Expr, first: Expr) -> None:
        with T.serial(self._rows(first)) as row:
            self._row(block, row, first + row)

    def _rows(self, first: Expr) -> Expr:
        """Output rows of a strip."""
        return T.min(self.schedule.strip_rows, self.layer.out_size[0] - first)

    def _row(self, block: Expr, row: Expr, y: Expr) -> None:
        if self.gathered is not None:
            gather_rows(self.layer, self.isa, self.tile, row, self._channel(block), self.gathered)
        start = 0
        for count, columns in tile_widths(row_columns(self.layer, self.isa), self.schedule.tile_width):
            with T.serial(count) as tile:
                self._tile(block, row, y, T.bind((start + tile * columns) * self.isa.sums.pixels), columns)
            start += count * columns

    def _tile(self, block: Expr, row: Expr, y: Expr, x: Expr, columns: int) -> None:
        """One register tile: `columns` of output pixels by `block_vectors` vectors of output channels."""
        isa, vectors = self.isa, self.schedule.block_vectors
        channel = self._channel(block)
        sums = new_sums(isa, columns, vectors)
        every = span(0, isa.lanes)
        for v in range(vectors):
            bias = T.bind(self.bias.vload([span(channel + v * isa.lanes, isa.lanes)]))
            for r, first in enumerate(T.bind(value) for value in isa.sums.begin(bias)):
                for column_sums in sums:
                    T.buffer_store(column_sums[v * isa.sums.registers + r], first, [every])
        self._accumulate(block, row, x, sums)
        scales = [T.bind(self.scale.vload([span(channel + v * isa.lanes, isa.lanes)])) for v in range(vectors)]
        pixels = [totals for column_sums in sums for totals in self._totals(column_sums)]
        pairs = stores_pairs(self.output, vectors) and self.layer.out_size[1] % isa.sums.pixels == 0
        paired = len(pixels) // 2 * 2 if pairs else 0
        for p in range(0, paired, 2):
            store_pair(self.output, pixels[p : p + 2], scales, y, x + p)
        for p in range(paired, len(pixels)):
            self._store(pixels[p], scales, channel, y, x + p, p % isa.sums.pixels)

    def _totals(self, sums: list[Buffer]) -> list[list[Expr]]:
        """One column's sums, [pixel][vector]."""
        registers = self.isa.sums.registers
        values = [total.vload([span(0, self.isa.lanes)]) for total in sums]
        vectors = [self.isa.sums.totals(values[v : v + registers]) for v in range(0, len(values), registers)]
        return [list(totals) for totals in zip(*vectors, strict=True)]

    def _store(self, totals: list[Expr], scales: list[Expr], channel: Expr, y: Expr, x: Expr, place: int) -> None:
        """One pixel, unless it is the one that fills up the last column of a row."""
        width, pixels = self.layer.out_size[1], self.isa.sums.pixels
        if place < (width - 1) % pixels + 1:
            store_pixel(self.output, totals, scales, channel, y, x)
            return
        with T.If(x < width), T.Then():
            store_pixel(self.output, totals, scales, channel, y, x)

    def _accumulate(self, block: Expr, row: Expr, x: Expr, sums: list[list[Buffer]]) -> None:
        """Every product of the tile, kernel row by kernel row."""
        layer, isa, schedule = self.layer, self.isa, self.schedule
        if self.gathered is not None:
            self._add_gathered(block, x, sums)
            return
        if self._one_loop():
            self._add_rows(row, block, x, sums)
            return
        pixel, reach = layer.stride * tile_pixel(layer, isa), window(layer, isa)
        with T.serial(layer.kernel) as ky:
            start = T.bind((row * layer.stride + ky * layer.dilation) * self.pitch + x * pixel)
            columns = Columns(self.tile, start, isa.sums.pixels * pixel)
            if schedule.method == "depthwise":
                columns = replace(columns, start=start + self._channel(block))
                add_taps(layer, isa, columns, self._taps(block, ky), sums)
            elif layer.dilation > 1:
                self._add_dilated(columns, self._weights(block, ky), sums)
            else:
                of_row = Row(columns, self._weights(block, ky), sums)
                add_row_products(isa, reach // isa.step, schedule.unroll, [of_row], self._parts())

    def _one_loop(self) -> bool:
        """Whether all kernel rows are in one loop, whose end is met once for each tile: where one load of activations
        serves several products, as far as the code stays short."""
        layer, isa, schedule = self.layer, self.isa, self.schedule
        dots = layer.kernel * schedule.tile_width * schedule.block_vectors * isa.step // isa.group * schedule.unroll
        return schedule.method == "direct" and layer.dilation == 1 and isa.holds_activations and dots <= _LOOP_DOTS

    def _add_rows(self, row: Expr, block: Expr, x: Expr, sums: list[list[Buffer]]) -> None:
        """Every product of the tile in one loop over a kernel row's loads, each round with all kernel rows."""
        layer, isa, unroll = self.layer, self.isa, self.schedule.unroll
        pixel = layer.stride * tile_pixel(layer, isa)
        start = T.bind(row * (layer.stride * self.pitch) + x * pixel)
        columns = [Columns(self.tile, start + ky * self.pitch, pixel) for ky in range(layer.kernel)]
        rows = [Row(columns[ky], self._weights(block, ky), sums) for ky in range(layer.kernel)]
        add_row_products(isa, window(layer, isa) // isa.step, unroll, rows, self._parts())

    def _parts(self) -> int:
        """Groups of an activation load that hold channels: not all where a pixel's do not fill its only load."""
        return min(self.isa.step // self.isa.group, -(-self.layer.in_channels // self.isa.group))

    def _channel(self, block: Expr) -> Expr:
        """The first channel of a block."""
        return T.bind(block * (self.schedule.block_vectors * self.isa.lanes))

    def _add_gathered(self, block: Expr, x: Expr, sums: list[list[Buffer]]) -> None:
        """Every product of a depthwise tile, from what was gathered for its output row."""
        layer, isa = self.layer, self.isa
        pixel = self.schedule.block_vectors * isa.lanes * isa.group
        row = gathered_pixels(layer, isa) * pixel
        with T.serial(row_groups(layer, isa)) as group:
            columns = Columns(self.gathered, T.bind(group * row + x * (layer.stride * pixel)), layer.stride * pixel)
            add_taps(layer, isa, columns, self._taps(block, group), sums)

    def _taps(self, block: Expr, group: Expr) -> Taps:
        """Where the weights of a block for a group of kernel rows lie (`signature.weight_shape`)."""
        column = tile_pixel(self.layer, self.isa) * self.isa.group
        start = T.bind(group * (self.layer.kernel * column) + self._channel(block) * self.isa.group)
        return Taps(self.weight, start, column)

    def _add_dilated(self, columns: Columns, weights: Weights, sums: list[list[Buffer]]) -> None:
        """A row of a kernel whose taps are not neighbours in the tile: each is a loop of its own."""
        isa, layer = self.isa, self.layer
        channels = isa.padded_channels(layer.in_channels)
        with T.serial(layer.kernel) as kx:
            start = T.bind(columns.start + kx * (layer.dilation * tile_pixel(layer, isa)))
            first = T.bind(weights.start + kx * (channels // isa.group * weights.group_pitch))
            tap = Row(replace(columns, start=start), replace(weights, start=first), sums)
            add_row_products(isa, channels // isa.step, self.schedule.unroll, [tap], self._parts())

    def _weights(self, block: Expr, ky: Expr) -> Weights:
        """Where the weights of a block for a kernel row lie (`signature.weight_shape`)."""
        isa, vectors = self.isa, self.schedule.block_vectors
        of_row, size = isa.lanes * window(self.layer, isa), isa.lanes * isa.group
        if isa.order is None:
            start = T.bind((block * self.layer.kernel + ky) * (vectors * of_row))
            return Weights(self.weight, start, vectors * size, size)
        start = T.bind((block * (vectors * self.layer.kernel) + ky) * of_row)
        return Weights(self.weight, start, size, self.layer.kernel * of_row)
