"""The direct convolution by registers that hold matrices: the loops of direct.py, and sums of up to 80 pixels by 16
channels, or 16 by 80, in registers.

for strip, or for block of output channels, in parallel:     a task
    for the other of the two:
        tile = padded copy of the strip's input              none where the source lies as the tile would
        for row, for tile of pixels:
            for ky, for piece of the window:                 sums += pixels x products * products x channels
            requantise, add the residual, clamp, store       the tile before
            scratch = sums

Sums leave the registers through memory, and requantising them takes about as long as making them where channels are
few. So the products of a tile are begun before those of the tile before are requantised: the processor does both at
once.
"""

from collections.abc import Iterator
from itertools import product

from tvm.ir import Expr
from tvm.tirx import Buffer
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, span
from edgedeblur.compile.kernels.layer import ConvLayer, read_numbers
from edgedeblur.compile.kernels.matrix.geometry import packed_pixels, pieces, reads_source, row_tiles
from edgedeblur.compile.kernels.matrix.packed import Block, Unit, store_units
from edgedeblur.compile.kernels.requantise import Output
from edgedeblur.compile.kernels.tile import Input, fill_tile, tile_pitch, tile_pixel, tile_rows
from edgedeblur.compile.schedules.schedule import Schedule, channel_vectors

_STREAMED = 2


class MatrixConvolution:
    """The state while one kernel is emitted: what is built, and the buffers it is built on."""

    def __init__(self, layer: ConvLayer, schedule: Schedule, isa: InstructionSet, buffers: dict[str, Buffer]):
        self.layer, self.schedule, self.isa, self.buffers = layer, schedule, isa, buffers
        self.registers = isa.matrix_registers
        self.pieces = pieces(layer, isa)
        self.tiles = row_tiles(layer.out_size[1], schedule.tile_width, self.registers)
        self.pitch, self.from_source = tile_pitch(layer, isa, layer.out_size[1]), reads_source(layer, isa)
        self.channels = schedule.block_vectors * isa.lanes

    def emit(self) -> None:
        layer, rows = self.layer, self.schedule.strip_rows
        strips = -(-layer.out_size[0] // rows)
        blocks = channel_vectors(layer, self.isa) // self.schedule.block_vectors
        by_rows = self.schedule.parallel == "rows"
        with T.parallel(strips if by_rows else blocks) as task:
            self._allocate()
            if by_rows:
                first = self._fill(task)
                with T.serial(blocks) as block:
                    self._block(block, first)
            else:
                with T.serial(strips) as strip:
                    self._block(task, self._fill(strip))
            self.registers.release()

    def _allocate(self) -> None:
        """A task's numbers, scratch and registers."""
        buffers, layer = self.buffers, self.layer
        numbers = read_numbers(layer, self.isa, buffers.get("numbers"))
        self.input = Input(layer, self.isa, numbers, buffers["source"])
        kept = buffers.get("residual"), buffers["out"], buffers.get("negative_scale")
        self.output = Output(layer, self.isa, numbers, *kept)
        if not self.from_source:
            beyond = self.pieces.surplus * self.isa.group  # what the last pixel's last piece reads of no pixel
            size = tile_rows(layer, self.schedule.strip_rows) * self.pitch + beyond
            self.tile = T.alloc_buffer((size,), self.isa.tile_dtype)
        self.scratch = T.alloc_buffer((self.tiles.pixels * self.channels,), "int32")
        self._configure()

    def _configure(self) -> None:
        """Sums first; then those of the operand that is held, and two of the other one, which streams past it."""
        each, vectors, registers = self.tiles.registers, self.schedule.block_vectors, self.registers
        rows, depth = self.tiles.rows, self.pieces.groups * self.isa.group
        sums, left, right = (rows, registers.row_bytes), (rows, depth), (self.pieces.groups, registers.row_bytes)
        self.holds_weights = vectors <= each
        held = registers.count - each * vectors - _STREAMED
        held_shape, streamed_shape = (right, left) if self.holds_weights else (left, right)
        shapes = [sums] * (each * vectors) + [held_shape] * held + [streamed_shape] * _STREAMED
        given = registers.configure(shapes)
        self.sums = [given[p * vectors : (p + 1) * vectors] for p in range(each)]
        self.held, self.streamed = given[each * vectors : -_STREAMED], given[-_STREAMED:]

    def _fill(self, strip: Expr) -> Expr:
        """A strip's tile; returns its first output row."""
        layer, rows = self.layer, self.schedule.strip_rows
        first = T.bind(strip * rows)
        if not self.from_source:
            fill_tile(self.input, self.tile, self.pitch, first * layer.stride - layer.pad, tile_rows(layer, rows))
        return first

    def _block(self, block: Expr, first: Expr) -> None:
        """The strip's outputs of one block; of the last one only those channels that there are."""
        whole, rest = divmod(self.layer.out_channels, self.channels)
        if rest == 0 or whole == 0:
            self._tiles(block, first, rest or self.channels)
            return
        with T.If(block < whole):
            with T.Then():
                self._tiles(block, first, self.channels)
            with T.Else():
                self._tiles(block, first, rest)

    def _tiles(self, block: Expr, first: Expr, channels: int) -> None:
        """Every tile of the strip, and the one before it on its way out."""
        isa, vectors = self.isa, self.schedule.block_vectors
        channel = T.bind(block * self.channels)
        places = [span(channel + v * isa.lanes, isa.lanes) for v in range(vectors)]
        scales = [T.bind(self.buffers["scale"].vload([place])) for place in places]
        steps = T.bind(T.min(self.schedule.strip_rows, self.layer.out_size[0] - first) * self.tiles.count)
        with T.serial(steps + 1) as step:
            with T.If(step < steps), T.Then():
                self._accumulate(block, channel, first, *self._place(step))
            with T.If(step > 0), T.Then():
                row, x = self._place(step - 1)
                self._finish(channel, channels, scales, first + row, x)
            with T.If(step < steps), T.Then():
                for (p, v), total in self._numbered():
                    at = (p * self.tiles.rows * vectors + v) * isa.lanes
                    self.registers.store(total, self.scratch, [at], self.channels * 4)

    def _place(self, step: Expr) -> tuple[Expr, Expr]:
        """(row of the strip, first pixel) of a tile."""
        count, width = self.tiles.count, self.layer.out_size[1]
        row = T.bind(T.floordiv(step, count))
        return row, T.bind(T.min(T.floormod(step, count) * self.tiles.pixels, width - self.tiles.pixels))

    def _numbered(self) -> Iterator[tuple[tuple[int, int], object]]:
        """((pixels, vector), register) of every register of sums."""
        for p, row in enumerate(self.sums):
            for v, total in enumerate(row):
                yield (p, v), total

    def _accumulate(self, block: Expr, channel: Expr, first: Expr, row: Expr, x: Expr) -> None:
        """The sums of one tile, which begin with the bias."""
        layer, unroll = self.layer, self.schedule.unroll
        for (_, v), total in self._numbered():
            self.registers.load(total, self.buffers["bias"], [channel + v * self.isa.lanes], 0)
        taps = self.pieces.runs
        with T.serial(layer.kernel) as ky, T.serial(taps) as kx:
            weights = T.bind(((block * layer.kernel + ky) * taps + kx) * (self.pieces.count * self._piece_bytes()))
            pixels = self._pixels(first, row, x, ky, kx)
            with T.serial(self.pieces.count // unroll) as k:
                for u in range(unroll):
                    self._multiply(pixels, weights, k * unroll + u, u)

    def _pixels(self, first: Expr, row: Expr, x: Expr, ky: Expr, kx: Expr) -> tuple[Buffer, list[Expr]]:
        """Where the first piece of a tile's first pixel lies for a run of the kernel."""
        layer, pixel = self.layer, tile_pixel(self.layer, self.isa)
        if self.from_source:
            return self.buffers["source"], [(first + row) * layer.stride, x * (layer.stride * pixel)]
        start = (row * layer.stride + ky * layer.dilation) * self.pitch + x * (layer.stride * pixel)
        return self.tile, [T.bind(start + kx * (layer.dilation * pixel))]

    def _multiply(self, pixels: tuple[Buffer, list[Expr]], weights: Expr, piece: Expr, turn: int) -> None:
        """One piece of the window: every register of pixels with every one of weights."""
        vectors, load = self.schedule.block_vectors, self.registers.load
        step, pitch = self.pieces.groups * self.isa.group, self.layer.stride * tile_pixel(self.layer, self.isa)
        buffer, place = pixels

        def load_pixels(register, p: int) -> None:
            at = place[-1] + piece * step + p * (self.tiles.rows * pitch)
            load(register, buffer, [*place[:-1], at], pitch)

        def load_weights(register, v: int) -> None:
            size = self.isa.lanes * self.isa.group
            load(register, self.buffers["weight"], [weights + piece * self._piece_bytes() + v * size], vectors * size)

        each = self.tiles.registers
        count, others = (vectors, each) if self.holds_weights else (each, vectors)
        load_held, load_other = (load_weights, load_pixels) if self.holds_weights else (load_pixels, load_weights)
        turns = len(self.held) // count
        held = self.held[turn % turns * count :][:count]
        for index, register in enumerate(held):
            load_held(register, index)
        for other in range(others):
            streamed = self.streamed[other % _STREAMED]
            load_other(streamed, other)
            for index, register in enumerate(held):
                if self.holds_weights:
                    self.registers.multiply(self.sums[other][index], streamed, register)
                else:
                    self.registers.multiply(self.sums[index][other], register, streamed)

    def _piece_bytes(self) -> int:
        """Of a block's weights."""
        return self.pieces.groups * self.channels * self.isa.group

    def _finish(self, channel: Expr, channels: int, scales: list[Expr], y: Expr, x: Expr) -> None:
        """What follows the sums of a tile, for a few pixels at a time; the last ones may be done twice."""
        layer, run = self.layer, self.output.run
        together = packed_pixels(self.tiles.pixels, self.schedule.block_vectors)
        row, column = y * layer.depth_to_space, 0
        if layer.depth_to_space > 1:
            row, column = row + T.floordiv(channel, run), T.floormod(channel, run)
        else:
            column = channel
        row = T.bind(row)
        with T.serial(-(-self.tiles.pixels // together)) as group:
            pixel = T.bind(T.min(group * together, self.tiles.pixels - together))
            block = Block(channel, channels, row, T.bind((x + pixel) * run + column))
            store_units(self.output, list(self._units(pixel, together)), scales, block)

    def _units(self, pixel: Expr, together: int) -> Iterator[Unit]:
        """Their sums are not bound to a name: TVM cannot bound PReLU's comparison then."""
        lanes = self.isa.lanes
        for p, v in product(range(together), range(self.schedule.block_vectors)):
            at = (pixel + p) * self.channels + v * lanes
            yield Unit(p, v, self.scratch.vload([span(at, lanes)]))
