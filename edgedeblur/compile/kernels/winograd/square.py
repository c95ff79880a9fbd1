"""The 3x3 convolution by Winograd's F(4x4, 3x3), exact in integers: 36 products per sixteen outputs instead of 144.

Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016. Their G has fractions; with its rows times
(24, 24, 24, 24, 24, 12), and A^T's last column doubled to make up for the 12, everything is an integer and

    576 * outputs = A^T [ (G g G^T) * (B^T d B) ] A

holds modulo 2^32. Each row of B^T has coefficients that add up to zero and positive ones of at most 5, so transformed
activations lie within +-2 * 25 * 255 and transformed weights within +-12^2 * 128: both fit int16. 576 is 64 * 9, and 9
has an inverse modulo 2^32, so outputs below 2^31 / 64 come out exactly, whatever wrapped on the way. A network's
weights say whether they are (`schedule.takes_winograd`).

Weights stay the int8 that they are in the artefact; each task transforms those that it needs, which costs a few per
cent of the products and saves eight times their memory. Nothing is shared between threads but the layer's input and
output: writing to lines that another core has read is slower than transforming twice.

    for strip, or for block of output channels, in parallel:     a task
        for the other of the two:
            tile = padded copy of the strip's input
            transformed = B^T d B of every 6x6 patch             [36, patches, channels]
            transformed weights = G g G^T of the block           [36, channels, lanes]
            for tile of patches:
                for position of 36: sums in registers            -> products [36, patches, block], in cache
                for patch: A^T products A, then as every convolution: bias, requantise, residual, clamp, store
"""

from tvm.ir import Expr
from tvm.tirx import Buffer
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, named, span, splat, vector
from edgedeblur.compile.kernels.layer import ConvLayer, read_numbers
from edgedeblur.compile.kernels.register_tile import Columns, Row, Weights, add_row_products, new_sums
from edgedeblur.compile.kernels.requantise import Output, store_pixel
from edgedeblur.compile.kernels.tile import Input, fill_tile, tile_pitch, tile_rows
from edgedeblur.compile.schedules.schedule import (
    PATCH,
    POSITIONS,
    TRANSFORM_LANES,
    WINDOW,
    Schedule,
    channel_vectors,
    patches_per_row,
    patches_per_strip,
    tile_widths,
)

_TAPS = 9
_INVERSE_OF_9 = 954_437_177  # modulo 2^32
_SHIFT = 32  # int16 from one position to the next besides the values: the 36 stores of a patch fall into different sets
_LANES_AT_ONCE = 16  # of output channels, when products become outputs: what one 16-byte store holds


class WinogradConvolution:
    """The state while one kernel is emitted: what is built, and the buffers it is built on."""

    def __init__(self, layer: ConvLayer, schedule: Schedule, isa: InstructionSet, buffers: dict[str, Buffer]):
        self.layer, self.schedule, self.isa = layer, schedule, isa
        self.buffers, self.weight = buffers, buffers["weight"]
        self.bias, self.scale = buffers["bias"], buffers["scale"]
        self.channels, self.groups = layer.in_channels, layer.in_channels // isa.group
        self.pitch = tile_pitch(layer, isa, PATCH * patches_per_row(layer))
        self.patches = patches_per_strip(layer, schedule.strip_rows)
        self.vectors = schedule.block_vectors
        self.block_lanes = self.vectors * isa.lanes
        self.blocks = channel_vectors(layer, isa) // self.vectors
        self.patch_pitch = self.patches * self.channels + _SHIFT
        self.weight_pitch = self.channels * self.block_lanes + _SHIFT

    def emit(self) -> None:
        strips = -(-self.layer.out_size[0] // self.schedule.strip_rows)
        if self.schedule.parallel == "rows":
            with T.parallel(strips) as strip:
                self._allocate()
                first = self._prepare_strip(strip)
                with T.serial(self.blocks) as block:
                    self._transform_weights(block)
                    self._block(block, first)
            return
        with T.parallel(self.blocks) as block:
            self._allocate()
            self._transform_weights(block)
            with T.serial(strips) as strip:
                self._block(block, self._prepare_strip(strip))

    def _allocate(self) -> None:
        """A task's numbers and scratch."""
        buffers = self.buffers
        numbers = read_numbers(self.layer, self.isa, buffers.get("numbers"))
        self.input = Input(self.layer, self.isa, numbers, buffers["source"])
        kept = buffers.get("residual"), buffers["out"], buffers.get("negative_scale")
        self.output = Output(self.layer, self.isa, numbers, *kept)
        rows, columns = tile_rows(self.layer, self.schedule.strip_rows), self.schedule.tile_width
        self.tile = T.alloc_buffer((rows * self.pitch,), self.isa.tile_dtype)
        self.transformed = T.alloc_buffer((POSITIONS * self.patch_pitch,), self.isa.tile_dtype)
        self.transformed_weight = T.alloc_buffer((POSITIONS * self.weight_pitch,), self.isa.weight_dtype)
        self.products = T.alloc_buffer((POSITIONS * columns * self.block_lanes,), "int32")

    def _prepare_strip(self, strip: Expr) -> Expr:
        """A strip's transformed input; returns its first output row."""
        rows = self.schedule.strip_rows
        first = T.bind(strip * rows)
        source_row = first - self.layer.pad
        copied = tile_rows(self.layer, rows)
        fill_tile(self.input, self.tile, self.pitch, source_row, copied)
        with T.grid(rows // PATCH, patches_per_row(self.layer)) as (row, column):
            self._transform(row, column)
        return first

    def _transform_weights(self, block: Expr) -> None:
        """G g G^T for one block of output channels."""
        size = self.isa.lanes * self.isa.group
        with T.serial(self.groups * self.vectors) as item:  # vectors within groups of input channels, as they are read
            taps = T.bind((block * (self.groups * self.vectors) + item) * (_TAPS * size))
            kernel = [[self._tap(taps + (y * 3 + x) * size, size) for x in range(3)] for y in range(3)]
            by_rows = [_transform_kernel(line) for line in kernel]
            by_columns = [_transform_kernel([by_rows[y][x] for y in range(3)]) for x in range(WINDOW)]
            for y in range(WINDOW):
                for x in range(WINDOW):
                    at = (y * WINDOW + x) * self.weight_pitch + item * size
                    T.buffer_store(self.transformed_weight, by_columns[x][y], [span(at, size)])

    def _tap(self, at: Expr, size: int) -> Expr:
        return T.bind(T.cast(self.weight.vload([span(at, size)]), vector("int16", size)))

    def _transform(self, row: Expr, column: Expr) -> None:
        """B^T d B of one 6x6 patch, vectors of channels at a time."""
        widest = 2 * self.isa.lanes  # int16 in a register
        whole = self.channels // widest
        with T.serial(whole) as chunk:
            self._transform_lanes(row, column, chunk * widest, widest)
        for channel in range(whole * widest, self.channels, TRANSFORM_LANES):
            self._transform_lanes(row, column, channel, TRANSFORM_LANES)

    def _transform_lanes(self, row: Expr, column: Expr, channel: Expr | int, lanes: int) -> None:
        corner = T.bind(row * (PATCH * self.pitch) + column * (PATCH * self.channels) + channel)
        steps = range(WINDOW)
        patch = [
            [T.bind(self.tile.vload([span(corner + y * self.pitch + x * self.channels, lanes)])) for x in steps]
            for y in steps
        ]
        by_rows = [_transform_input(line) for line in patch]
        by_columns = [_transform_input([by_rows[y][x] for y in steps]) for x in steps]
        place = T.bind((row * patches_per_row(self.layer) + column) * self.channels + channel)
        for y in steps:
            for x in steps:
                at = place + (y * WINDOW + x) * self.patch_pitch
                T.buffer_store(self.transformed, by_columns[x][y], [span(at, lanes)])

    def _block(self, block: Expr, first: Expr) -> None:
        start = 0
        for count, columns in tile_widths(self.patches, self.schedule.tile_width):
            with T.serial(count) as tile:
                patch = T.bind(start + tile * columns)
                with T.serial(POSITIONS) as position:
                    self._multiply(position, patch, columns)
                with T.serial(columns) as column:
                    self._finish(block, first, patch + column, column, columns)
            start += count * columns

    def _multiply(self, position: Expr, patch: Expr, columns: int) -> None:
        """One position's products of `columns` patches with the block of output channels."""
        isa, every = self.isa, span(0, self.isa.lanes)
        sums = new_sums(isa, columns, self.vectors)
        for total in (total for column in sums for total in column):
            T.buffer_store(total, splat(0, "int32", isa.lanes), [every])
        start = T.bind(position * self.patch_pitch + patch * self.channels)
        weights = T.bind(position * self.weight_pitch)
        operand = Columns(self.transformed, start, self.channels)
        size = isa.lanes * isa.group
        loads = self.channels // isa.step
        order = Weights(self.transformed_weight, weights, self.vectors * size, size)
        add_row_products(isa, loads, self.schedule.unroll, [Row(operand, order, sums)])
        for c, v in ((c, v) for c in range(columns) for v in range(self.vectors)):
            at = (position * columns + c) * self.block_lanes + v * isa.lanes
            T.buffer_store(self.products, sums[c][v].vload([every]), [span(at, isa.lanes)])

    def _finish(self, block: Expr, first: Expr, patch: Expr, column: Expr, columns: int) -> None:
        """The sixteen output pixels of one patch."""
        per_row = patches_per_row(self.layer)
        y, x = T.bind(first + T.floordiv(patch, per_row) * PATCH), T.bind(T.floormod(patch, per_row) * PATCH)
        together = max(1, _LANES_AT_ONCE // self.isa.lanes)
        for v in range(0, self.vectors, together):
            chosen = range(v, min(v + together, self.vectors))
            self._finish_vectors(T.bind(block * self.block_lanes), chosen, (y, x), column, columns)

    def _finish_vectors(self, channel: Expr, chosen: range, place: tuple, column: Expr, columns: int) -> None:
        """Some vectors of output channels of one patch, row by row."""
        isa = self.isa

        def constants(buffer: Buffer) -> list[Expr]:
            return [T.bind(buffer.vload([span(channel + v * isa.lanes, isa.lanes)])) for v in chosen]

        bias, scales = constants(self.bias), constants(self.scale)
        by_columns = [self._transform_columns(column, columns, v) for v in chosen]
        for dy in range(PATCH):
            lines = [
                [self._exact(total, b) for total in _transform_output([line[dy] for line in vectors])]
                for vectors, b in zip(by_columns, bias, strict=True)
            ]
            for dx in range(PATCH):
                totals = [line[dx] for line in lines]
                self._store(totals, scales, channel + chosen.start * isa.lanes, place[0] + dy, place[1] + dx)

    def _transform_columns(self, column: Expr, columns: int, v: int) -> list[list[Expr]]:
        """A^T of each of the six columns of a patch's products, for one vector of output channels: [column][row]."""

        def product(position: int) -> Expr:
            at = (position * columns + column) * self.block_lanes + v * self.isa.lanes
            return T.bind(self.products.vload([span(at, self.isa.lanes)]))

        return [_transform_output([product(y * WINDOW + x) for y in range(WINDOW)]) for x in range(WINDOW)]

    def _exact(self, total: Expr, bias: Expr) -> Expr:
        """576 times a sum, modulo 2^32, to the sum, with its bias."""
        lanes = self.isa.lanes
        ninth = total * splat(_INVERSE_OF_9, "int32", lanes)
        return named(T.shift_right(ninth, splat(6, "int32", lanes)) + bias)

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


def _transform_kernel(g: list[Expr]) -> list[Expr]:
    """G g, three values to six."""
    four, outer = named(_times(g[0] + g[2], 4)), named(g[0] + _times(g[2], 4))
    middle, double = named(_times(g[1], 4)), named(_times(g[1], 2))
    values = (
        _times(g[0], 6),
        _times(four + middle, -1),
        middle - four,
        outer + double,
        outer - double,
        _times(g[2], 12),
    )
    return [named(value) for value in values]


def _transform_input(d: list[Expr]) -> list[Expr]:
    """B^T d, six values to six."""
    even, odd = named(d[4] - d[2]), named(d[3] - d[1])
    p, q, double = named(d[4] - _times(d[2], 4)), named(d[3] - _times(d[1], 4)), named(_times(odd, 2))
    values = (
        _times(d[0] - d[2], 4) + even,
        p + q,
        p - q,
        even + double,
        even - double,
        (d[5] - d[3]) - _times(odd, 4),
    )
    return [named(value) for value in values]


def _transform_output(m: list[Expr]) -> list[Expr]:
    """A^T m, six values to four."""
    plus, minus = named(m[1] + m[2]), named(m[1] - m[2])
    far_plus, far_minus = named(m[3] + m[4]), named(m[3] - m[4])
    values = (
        m[0] + plus + far_plus,
        minus + _times(far_minus, 2),
        plus + _times(far_plus, 4),
        minus + _times(far_minus, 8) + _times(m[5], 2),
    )
    return [named(value) for value in values]


def _times(value: Expr, factor: int) -> Expr:
    """value * factor in the value's own type; LLVM makes shifts of it."""
    dtype = str(value.ty.dtype)
    scalar, _, lanes = dtype.partition("x")
    return value * splat(factor, scalar, int(lanes or 1))
