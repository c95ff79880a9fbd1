"""A layer's kernel as a TIR function, by the method that its schedule names."""

import dataclasses

from tvm.script.ir_builder import IRBuilder
from tvm.tirx import PrimFunc
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.direct import DirectConvolution
from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer, reads_numbers
from edgedeblur.compile.kernels.matrix.convolution import MatrixConvolution
from edgedeblur.compile.kernels.requantise import clamps_at_zero_point
from edgedeblur.compile.kernels.signature import parameters
from edgedeblur.compile.kernels.winograd.rows import RowsConvolution
from edgedeblur.compile.kernels.winograd.square import WinogradConvolution
from edgedeblur.compile.ranges import SCALE_STEPS, IntegerScale
from edgedeblur.compile.schedules.schedule import Schedule

_METHODS = {
    "direct": DirectConvolution,
    "depthwise": DirectConvolution,
    "winograd": WinogradConvolution,
    "rows": RowsConvolution,
    "matrix": MatrixConvolution,
}


def conv_kernel(layer: ConvLayer, schedule: Schedule, isa: InstructionSet, symbol: str) -> PrimFunc:
    """The kernel as TIR; its parameters are `signature.parameters`, in that order."""
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(symbol)
        T.func_attr({"global_symbol": symbol, "tirx.noalias": True})
        buffers = {
            p.name: T.arg(p.name, T.buffer(p.shape, p.dtype, align=p.alignment))
            for p in parameters(layer, schedule, isa)
        }
        _METHODS[schedule.method](layer, schedule, isa.products(schedule.method), buffers).emit()
    return builder.get()


def same_kernel(layer: ConvLayer, isa: InstructionSet) -> ConvLayer:
    """The layer without what its kernel reads as data: equal for layers that share a kernel."""
    layer = dataclasses.replace(layer if isa.adds_to_round else without_short_cuts(layer), name="", largest_sum=0)
    if not reads_numbers(layer):
        return layer
    residual = layer.residual
    if residual is not None:
        integer = residual.integer and IntegerScale(residual.integer.whole * SCALE_STEPS, 0)
        scale = 1.0 if residual.scale == 1.0 else 0.0
        residual = dataclasses.replace(residual, zero_point=0, scale=scale, integer=integer)
    lowest, highest = layer.stored_range
    clamps = {"low": 0 if layer.clamps_low else lowest, "high": 0 if layer.clamps_high else highest}
    out = {"out_zero_point": layer.out_zero_point % 2 if layer.residual is None and layer.short_steps else 0, **clamps}
    if layer.short_steps and clamps_at_zero_point(layer):
        out |= {"out_zero_point": -1, "low": -1}
    return dataclasses.replace(layer, residual=residual, source_zero_point=0, **out)


def without_short_cuts(layer: ConvLayer) -> ConvLayer:
    """The layer for an instruction set that has no use for them."""
    residual = None if layer.residual is None else dataclasses.replace(layer.residual, integer=None)
    return dataclasses.replace(layer, residual=residual, float_sums=False, short_steps=False)
