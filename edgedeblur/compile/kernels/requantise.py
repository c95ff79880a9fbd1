"""From int32 sums to stored activations: the part of the kernel that follows the last dot product.

    q = clamp(rint(float32(sum) * scale) + rint(float32(residual - zero_point) * residual_scale) + zero_point, low, 127)

Each product is rounded once and feeds a rounding, never an addition, so no compiler can contract it into a fused
multiply-add and change a bit (edgedeblur/quantize/network.py defines the arithmetic).
"""

from math import gcd

from tvm.ir import Expr
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.instruction_set import InstructionSet, span, splat, vector
from edgedeblur.compile.kernels.layer import IMAGE_OFFSET, ConvLayer, Residual


def requantise(sums: Expr, scale: Expr, lanes: int) -> Expr:
    """rint(float32(sums) * scale) as int32, half to even."""
    return T.cast(T.nearbyint(T.cast(sums, vector("float32", lanes)) * scale), vector("int32", lanes))


def store_vector(
    layer: ConvLayer, isa: InstructionSet, result: Expr, channel: Expr, y: Expr, x: Expr, residual, out
) -> None:
    """Emits residual, clamp and store of one vector of requantised sums.

    result: int32 x lanes, output channels from `channel` on, of the convolution's pixel (y, x).
    residual, out: [height, width * channels] as stored, after depth-to-space; residual None where there is none.
    """
    fold = layer.depth_to_space
    run = fold * layer.out[2]  # neighbours in memory: the channels of `fold` unfolded pixels of one row
    lanes = gcd(isa.lanes, run)
    for first in range(0, isa.lanes, lanes):
        part = T.Shuffle([result], list(range(first, first + lanes))) if lanes < isa.lanes else result
        at = channel + first
        row, column = y * fold + T.floordiv(at, run), x * run + T.floormod(at, run)
        if layer.out_channels % isa.lanes == 0:
            _finish(layer, part, row, column, residual, out, lanes)
            continue
        with T.If(at < layer.out_channels), T.Then():
            _finish(layer, part, row, column, residual, out, lanes)


def _finish(layer: ConvLayer, result: Expr, row: Expr, column: Expr, residual, out, lanes: int) -> None:
    place = [row, span(column, lanes)]
    if layer.residual is not None:
        result = result + _residual_steps(layer.residual, residual.vload(place), lanes)
    offset = IMAGE_OFFSET if layer.image_out else 0
    shifted = result + splat(layer.out_zero_point + offset, "int32", lanes)
    low, high = splat(layer.low + offset, "int32", lanes), splat(127 + offset, "int32", lanes)
    clamped = T.max(T.min(shifted, high), low)
    T.buffer_store(out, T.cast(clamped, vector(out.dtype, lanes)), place)


def _residual_steps(residual: Residual, stored: Expr, lanes: int) -> Expr:
    """The residual in steps of the output's scale; a plain integer where both tensors share a scale."""
    zero = residual.zero_point + (IMAGE_OFFSET if residual.image else 0)
    steps = T.cast(stored, vector("int32", lanes)) - splat(zero, "int32", lanes)
    if residual.scale == 1.0:
        return steps
    return requantise(steps, splat(residual.scale, "float32", lanes), lanes)
