"""The convolution kernel: parallel over strips of output rows, sums in registers, everything fused.

for strip in parallel:                          a task
    tile = padded copy of the strip's input     scratch of the thread
    for block of output channels:               its weights stay in cache over the strip
        for row, for tile of pixels:            sums in registers
            for ky, for k in kernel * channels: the window's pixels of a row are neighbours in the tile,
                sums += dot(activation, weights)     so kx and the channels are one loop
            requantise, add the residual, clamp, store
"""

from itertools import product

from tvm.ir import Expr
from tvm.script.ir_builder import IRBuilder
from tvm.tirx import PrimFunc
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, span
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.requantise import Output, store_pixel
from edgedeblur.compile.kernels.signature import parameters
from edgedeblur.compile.kernels.tile import fill_tile, tile_pitch, tile_rows, window
from edgedeblur.compile.schedule import Schedule, channel_vectors, tile_widths


def conv_kernel(layer: ConvLayer, schedule: Schedule, isa: InstructionSet, symbol: str) -> PrimFunc:
    """The kernel as TIR; its parameters are `signature.parameters`, in that order."""
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(symbol)
        T.func_attr({"global_symbol": symbol, "tirx.noalias": True})
        buffers = {
            p.name: T.arg(p.name, T.buffer(p.shape, p.dtype, align=p.alignment))
            for p in parameters(layer, schedule, isa)
        }
        _Kernel(layer, schedule, isa, buffers).emit()
    return builder.get()


class _Kernel:
    """The state while one kernel is emitted: what is built, and the buffers it is built on."""

    def __init__(self, layer: ConvLayer, schedule: Schedule, isa: InstructionSet, buffers: dict):
        self.layer, self.schedule, self.isa = layer, schedule, isa
        self.source, self.weight = buffers["source"], buffers["weight"]
        self.bias, self.scale = buffers["bias"], buffers["scale"]
        self.output = Output(layer, isa, buffers.get("residual"), buffers["out"])
        self.pitch = tile_pitch(layer, isa)

    def emit(self) -> None:
        layer, rows = self.layer, self.schedule.strip_rows
        height = layer.out_size[0]
        with T.parallel(-(-height // rows)) as strip:
            self.tile = T.alloc_buffer((tile_rows(layer, rows) * self.pitch,), self.isa.tile_dtype)
            first = T.bind(strip * rows)
            copied = tile_rows(layer, rows)
            fill_tile(layer, self.isa, self.source, self.tile, first * layer.stride - layer.pad, copied)
            blocks = channel_vectors(layer, self.isa) // self.schedule.block_vectors
            with T.serial(blocks) as block, T.serial(T.min(rows, height - first)) as row:
                self._row(block, row, first + row)

    def _row(self, block: Expr, row: Expr, y: Expr) -> None:
        start = 0
        for count, pixels in tile_widths(self.layer.out_size[1], self.schedule.tile_width):
            with T.serial(count) as tile:
                self._tile(block, row, y, T.bind(start + tile * pixels), pixels)
            start += count * pixels

    def _tile(self, block: Expr, row: Expr, y: Expr, x: Expr, pixels: int) -> None:
        """One register tile: `pixels` output pixels by `block_vectors` vectors of output channels."""
        isa, vectors = self.isa, self.schedule.block_vectors
        channel = T.bind(block * (vectors * isa.lanes))
        sums = [[T.alloc_buffer((isa.lanes,), "int32") for _ in range(vectors)] for _ in range(pixels)]
        every = span(0, isa.lanes)
        for v in range(vectors):
            bias = T.bind(self.bias.vload([span(channel + v * isa.lanes, isa.lanes)]))
            for p in range(pixels):
                T.buffer_store(sums[p][v], bias, [every])
        self._accumulate(block, row, x, sums)
        scales = [T.bind(self.scale.vload([span(channel + v * isa.lanes, isa.lanes)])) for v in range(vectors)]
        for p, pixel_sums in enumerate(sums):
            totals = [total.vload([every]) for total in pixel_sums]
            store_pixel(self.output, totals, scales, channel, y, x + p)

    def _accumulate(self, block: Expr, row: Expr, x: Expr, sums: list[list]) -> None:
        """Every product of the tile: kernel rows, then the row's window in rounds of `unroll` activation loads."""
        layer, isa, unroll = self.layer, self.isa, self.schedule.unroll
        channels = isa.padded_channels(layer.in_channels)
        reach = window(layer, isa)
        block_row = self.schedule.block_vectors * isa.lanes * reach
        with T.serial(layer.kernel) as ky:
            pixel = T.bind((row * layer.stride + ky) * self.pitch + x * (layer.stride * channels))
            weight = T.bind((block * layer.kernel + ky) * block_row)
            with T.serial(reach // (isa.step * unroll)) as k:
                for u in range(unroll):
                    self._step(pixel, weight, k * unroll + u, sums)

    def _step(self, pixel: Expr, weight: Expr, load: Expr, sums: list[list]) -> None:
        """The dot products of one activation load per pixel.

        One side is loaded first and held, the other streams past it: activations are held where a load serves several
        groups of channels, weights where it serves one.
        """
        isa, vectors = self.isa, self.schedule.block_vectors
        per_pixel = self.layer.stride * isa.padded_channels(self.layer.in_channels)
        size, parts = isa.lanes * isa.group, isa.step // isa.group

        def activation_of(p: int) -> Expr:
            return T.bind(isa.load(self.tile, pixel + p * per_pixel + load * isa.step))

        def weights_of(part: int, v: int) -> Expr:
            return T.bind(self.weight.vload([span(weight + ((load * parts + part) * vectors + v) * size, size)]))

        def add(p: int, v: int, activation: Expr, part: int, weights: Expr) -> None:
            every = span(0, isa.lanes)
            T.buffer_store(sums[p][v], isa.dot(sums[p][v].vload([every]), activation, part, weights), [every])

        if isa.holds_activations:
            activations = [activation_of(p) for p in range(len(sums))]
            for part, v in product(range(parts), range(vectors)):
                weights = weights_of(part, v)
                for p, activation in enumerate(activations):
                    add(p, v, activation, part, weights)
            return
        held = {(part, v): weights_of(part, v) for part, v in product(range(parts), range(vectors))}
        for p in range(len(sums)):
            activation = activation_of(p)
            for (part, v), weights in held.items():
                add(p, v, activation, part, weights)
