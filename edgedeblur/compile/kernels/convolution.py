"""A layer's kernel as a TIR function, by the method that its schedule names."""

from tvm.script.ir_builder import IRBuilder
from tvm.tirx import PrimFunc
from tvm.tirx.script.builder import ir as T

from edgedeblur.compile.kernels.direct import DirectConvolution
from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.signature import parameters
from edgedeblur.compile.kernels.winograd.rows import RowsConvolution
from edgedeblur.compile.kernels.winograd.square import WinogradConvolution
from edgedeblur.compile.schedules.schedule import Schedule

_METHODS = {
    "direct": DirectConvolution,
    "depthwise": DirectConvolution,
    "winograd": WinogradConvolution,
    "rows": RowsConvolution,
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
