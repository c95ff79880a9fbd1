"""What a kernel multiplies, by its machine code: the products that it executes for one image, integer and float.

Each instruction that multiplies is counted as often as it runs (cost/execution.py) times its products. A convolution is
int8 where its integer dot products cover its multiply-accumulates and floats are multiplied only to requantise: once
per output, and once per residual of another scale. Winograd's method takes 36 products where 144 are asked for; its
operands are int16 sums of int8 values, as AVX2's are int8 values widened. Along rows it takes 12 of int8 for 18. A
product of matrices (AMX) counts with the shapes that the kernel configures its registers to.
"""

import re
from collections import Counter

from edgedeblur.artefact.int8_proof import Int8Evidence
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.kernels.matrix.geometry import computed_pixels, matrix_products
from edgedeblur.compile.lower import LayerKernel
from edgedeblur.compile.machine_code.code import Function, Instruction, parallel_body
from edgedeblur.compile.machine_code.effects import UnknownControlFlow
from edgedeblur.compile.machine_code.execution import Execution
from edgedeblur.compile.schedules.schedule import (
    PATCH,
    POSITIONS,
    ROW_POSITIONS,
    channel_vectors,
    patches_per_row,
    row_columns,
)

_X86_BITS = {"xmm": 128, "ymm": 256, "zmm": 512}
_X86_DOTS = {r"vpdpb[us]{2}ds?": 8, r"vpdpw[us]{2}ds?": 16, "vpmaddubsw": 8, "vpmaddwd": 16}  # bits of an operand
_X86_MATRICES = re.compile(r"tdpb[us]{2}d$")
_X86_FLOATS = re.compile(r"v?(?:mul|dp|dpbf16|fn?madd\d*|fn?msub\d*|fmaddsub\d*|fmsubadd\d*)(p|s)([shd])$")
_ARM_DOTS = {r"([us]|us|su)dot": 4, r"([us]|us)mmla": 8}  # products for each 32-bit sum
_ARM_LONG = re.compile(r"sm(ull|lal|lsl)2?$")  # weights are signed; `umull` rescales residuals
_ARM_FLOATS = re.compile(r"(fn?mul\w*|fn?ml[as]\w*|fn?madd|fn?msub|bf(dot|mmla|mlal[bt]))$")
_ELEMENT_BITS = {"b": 8, "h": 16, "s": 32, "d": 64}


def int8_evidence(kernel: LayerKernel, body: list[str], architecture: str, dtypes: tuple[str, ...]) -> Int8Evidence:
    """The evidence of one kernel.

    Args:
        body: its lines of assembly, as `assembly.kernel_bodies` gives them.
        dtypes: of its operands, in the order of its parameters, as the plan has them.
    """
    products, uncounted = Counter(), ""
    try:
        products = _products(parallel_body(body), architecture, _matrix_products(kernel))
    except (UnknownControlFlow, LookupError, TypeError, ValueError) as error:  # a form of code that is not known yet
        uncounted = str(error) or type(error).__name__
    needed = _macs_on_pixels(kernel.layer)
    if kernel.schedule.method == "winograd":
        needed = needed * POSITIONS // (PATCH * PATCH * kernel.layer.kernel**2)
    if kernel.schedule.method == "rows":
        needed = needed * ROW_POSITIONS // (2 * kernel.layer.kernel)
    names = [parameter.name for parameter in kernel.parameters]
    operands = dict(zip(names, dtypes, strict=True))
    return Int8Evidence(
        products["integer"], needed, products["float"], _float_products_allowed(kernel), operands, uncounted
    )


def _products(function: Function, architecture: str, matrix_products: int) -> Counter:
    """Products by kind that all tasks of a kernel make together. matrix_products: of an instruction for matrices."""
    products: Counter = Counter()
    for block, runs in Execution(function, architecture).task(0, 1).blocks.items():
        for instruction in function.blocks[block].instructions:
            kind, each = products_of(instruction, architecture, matrix_products)
            products[kind] += runs * each
    return products


def products_of(instruction: Instruction, architecture: str, matrix_products: int = 0) -> tuple[str, int]:
    """("integer" or "float", products) of an instruction that multiplies; ("", 0) of another.

    Integer products are counted for dot-product instructions only, and AArch64's widening products, of int8 or int16.

    Args:
        matrix_products: what one that multiplies matrices makes, whose shapes are configured apart from it.
    """
    if architecture == "x86_64" and _X86_MATRICES.match(instruction.mnemonic):
        return "integer", matrix_products
    return (_x86_products if architecture == "x86_64" else _arm_products)(instruction)


def _x86_products(instruction: Instruction) -> tuple[str, int]:
    target = instruction.operands[-1].lstrip("%")[:3] if instruction.operands else ""
    bits = _X86_BITS.get(target, 0)
    for pattern, operand_bits in _X86_DOTS.items():
        if re.fullmatch(pattern, instruction.mnemonic):
            return "integer", bits // operand_bits
    floats = _X86_FLOATS.match(instruction.mnemonic)
    if not floats:
        return "", 0
    packed, kind = floats.groups()
    return "float", bits // {"h": 16, "s": 32, "d": 64}[kind] if packed == "p" else 1


def _arm_products(instruction: Instruction) -> tuple[str, int]:
    """Operands are v0.4s (four of 32 bits), z0.s (a scalable vector, counted at its least 128 bits), or s0."""
    shape = re.match(r"[vz]\d+\.(\d*)([bhsd])", instruction.operands[0]) if instruction.operands else None
    elements = int(shape[1] or 128 // _ELEMENT_BITS[shape[2]]) if shape else 1
    for pattern, products in _ARM_DOTS.items():
        if shape and re.fullmatch(pattern, instruction.mnemonic):
            return "integer", elements * products
    if shape and shape[2] in "hs" and _ARM_LONG.match(instruction.mnemonic):
        return "integer", elements
    return ("float", elements) if _ARM_FLOATS.match(instruction.mnemonic) else ("", 0)


def _macs_on_pixels(layer: ConvLayer) -> int:
    """The layer's multiply-accumulates without those on padding, which LLVM may compute once or leave out."""

    def taps(length: int, out_length: int) -> int:
        starts = (position * layer.stride - layer.pad for position in range(out_length))
        taps = range(0, layer.reach, layer.dilation)
        return sum(0 <= start + tap < length for start in starts for tap in taps)

    rows, columns = (taps(*lengths) for lengths in zip(layer.in_size, layer.out_size, strict=True))
    return rows * columns * layer.in_channels * layer.out_channels // layer.groups


def _float_products_allowed(kernel: LayerKernel) -> int:
    """Outputs with the channels and columns that only fill registers, for bias and residual."""
    layer, isa = kernel.layer, kernel.isa.products(kernel.schedule.method)
    if kernel.schedule.method == "winograd":
        columns = patches_per_row(layer) * PATCH
    elif kernel.schedule.method == "matrix":
        columns = computed_pixels(layer, isa, kernel.schedule.tile_width, kernel.schedule.block_vectors)
    else:
        method = kernel.schedule.method
        columns = row_columns(layer, isa, method) * isa.sums.pixels * (2 if method == "rows" else 1)
    outputs = layer.out_size[0] * columns * channel_vectors(layer, isa) * isa.lanes
    return outputs * (2 if _rescales_residual(layer) else 1)


def _matrix_products(kernel: LayerKernel) -> int:
    """Of one instruction; 0 where the kernel has none that multiplies matrices."""
    if kernel.schedule.method != "matrix":
        return 0
    return matrix_products(kernel.layer, kernel.isa.products("matrix"), kernel.schedule.tile_width)


def _rescales_residual(layer: ConvLayer) -> bool:
    return layer.residual is not None and layer.residual.scale != 1.0
