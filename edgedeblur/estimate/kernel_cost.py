"""What one kernel costs: cycles of each part of its machine code, bytes that it moves, and the time on a machine.

1. how often each basic block runs, task by task     execution.py
2. cycles of each block                              mca.py
3. what llvm-mca does not know: memory, branches     here
4. tasks pulled by threads, as runtime/pool.c does   here
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from edgedeblur.compile.assembly import is_dot
from edgedeblur.compile.kernels.tile import tile_rows
from edgedeblur.compile.lower import AnyKernel, LayerKernel
from edgedeblur.compile.machine_code.code import Function, parallel_body
from edgedeblur.compile.machine_code.effects import UnknownControlFlow
from edgedeblur.compile.machine_code.execution import Counts, Execution
from edgedeblur.compile.schedules.schedule import POSITIONS, channel_vectors, scratch_bytes, tile_columns, tile_widths
from edgedeblur.errors import UserError
from edgedeblur.estimate.cost import Cycles, InnerLoop, KernelCost, gate_ns, pass_cost
from edgedeblur.estimate.machine import KIB, Machine
from edgedeblur.estimate.mca import Processor, block_cycles, need_model

TASKS_PER_THREAD, MAX_TASKS = 8, 128  # runtime/pool.c
_FILLED_BYTES_PER_CYCLE = 32  # memset: two 16-byte stores or one of 32 bytes a cycle
_WINOGRAD_WEIGHT_BYTES = 2  # int16, transformed
_CALL_CYCLES = 20  # the few instructions of runtime/workspace.c behind an indirect call


@dataclass(frozen=True)
class _Task:
    """Core cycles of one task, as Cycles."""

    products: float
    tiles: float
    copies: float
    branches: float
    dots: int

    @property
    def total(self) -> float:
        return self.products + self.tiles + self.copies + self.branches


@dataclass(frozen=True)
class _Parts:
    """A kernel's code taken apart. cycles, dots: by block. products, tiles: blocks of each kind."""

    kernel: LayerKernel
    function: Function
    cycles: list[float]
    dots: list[int]
    products: frozenset[int]
    tiles: frozenset[int]


def inner_loops(kernels: Sequence[LayerKernel], code: Sequence[list[str]], processor: Processor) -> list[InnerLoop]:
    """The steady inner loop of each kernel.

    Args:
        code: as for `kernel_costs`.

    Raises:
        UserError: llvm-mca is missing or does not know the processor.
    """
    return [_inner_loop(parts, _dots(parts, processor)) for parts in _take_all_apart(kernels, code, processor)]


def kernel_costs(
    kernels: Sequence[AnyKernel], code: Sequence[list[str]], machine: Machine, footprint: int
) -> list[KernelCost]:
    """The estimate of each kernel.

    Args:
        code: each convolution's lines of assembly, as `assembly.kernel_bodies` gives them.
        footprint: bytes that the whole network reads and writes for an image: what has been through the caches before
            a layer's weights are read again.

    Raises:
        UserError: llvm-mca is missing or does not know the processor, or a kernel whose loops are not understood.
    """
    convolutions = [kernel for kernel in kernels if isinstance(kernel, LayerKernel)]
    costs = iter([_cost(parts, machine, footprint) for parts in _take_all_apart(convolutions, code, machine.processor)])
    return [next(costs) if isinstance(kernel, LayerKernel) else pass_cost(kernel, machine) for kernel in kernels]


def _take_all_apart(kernels: Sequence[LayerKernel], code: Sequence[list[str]], processor: Processor) -> list[_Parts]:
    """Each kernel's code, that of several layers once.

    Raises:
        UserError: kernels that llvm-mca has no model of.
    """
    for kernel in kernels:
        need_model(kernel.isa.name)
    bodies = {kernel.symbol: lines for kernel, lines in zip(kernels, code, strict=True)}
    functions = {symbol: parallel_body(lines) for symbol, lines in bodies.items()}
    blocks = [
        [i.text for i in block.instructions if not (i.is_call or i.is_return)]
        for function in functions.values()
        for block in function.blocks
    ]
    cycles = iter(block_cycles(blocks, processor))
    by_symbol = {symbol: [next(cycles) for _ in function.blocks] for symbol, function in functions.items()}
    return [_take_apart(kernel, functions[kernel.symbol], by_symbol[kernel.symbol]) for kernel in kernels]


def _take_apart(kernel: LayerKernel, function: Function, cycles: list[float]) -> _Parts:
    isa = kernel.isa.products(kernel.schedule.method)
    dots = [sum(is_dot(i.text, isa) for i in block.instructions) for block in function.blocks]
    loops = function.loops.values()
    innermost = [loop.body for loop in loops if function.is_innermost(loop)]
    products = frozenset().union(*(body for body in innermost if any(dots[block] for block in body)))
    calls = {index for index, block in enumerate(function.blocks) if any(i.is_call for i in block.instructions)}
    nests = [loop.body for loop in loops if any(dots[block] for block in loop.body) and not loop.body & calls]
    nest = frozenset().union(*nests) | {index for index, count in enumerate(dots) if count}
    return _Parts(kernel, function, cycles, dots, products, nest - products)


def _cost(parts: _Parts, machine: Machine, footprint: int) -> KernelCost:
    kernel = parts.kernel
    tasks = [_task(parts, counts, machine) for counts in _counts(parts, machine.processor, machine.threads)]
    compute = sum(task.total for task in tasks)
    hidden, exposed = _memory_ns(parts, machine)
    ghz = machine.clocks_ghz
    busy, waited, free = 0.0, 0.0, [0.0] * machine.threads
    for task in tasks:
        core = min(range(machine.threads), key=free.__getitem__)
        share = task.total / compute
        arithmetic = task.total / ghz[core]
        elapsed = max(arithmetic, hidden * share) + exposed * share
        free[core] += elapsed
        busy += elapsed * ghz[core]
        waited += (elapsed - arithmetic) * ghz[core]
    handoffs = 2 * machine.core.handoff_ns if machine.threads > 1 else 0.0  # to start the others, and from the last one
    first_read = weight_bytes(kernel) / machine.bytes_per_ns(footprint)
    gating = gate_ns(kernel, machine)
    elapsed = max(free) + handoffs + first_read + gating
    waited += first_read * sum(ghz)
    cycles = Cycles(
        products=sum(task.products for task in tasks),
        tiles=sum(task.tiles for task in tasks),
        copies=sum(task.copies for task in tasks) + gating * sum(ghz),
        branches=sum(task.branches for task in tasks),
        memory=waited,
        idle=(elapsed - first_read - gating) * sum(ghz) - busy,
    )
    dots = sum(task.dots for task in tasks)
    return KernelCost(kernel.layer.name, elapsed * 1e-6, kernel.layer.macs, dots, cycles, _inner_loop(parts, dots))


def _dots(parts: _Parts, processor: Processor) -> int:
    """Dot products of the whole layer."""
    (counts,) = _counts(parts, processor, 1)
    return sum(runs * parts.dots[block] for block, runs in counts.blocks.items())


def _counts(parts: _Parts, processor: Processor, threads: int) -> list[Counts]:
    """What each task does, in the order in which threads take them; one task where there is one thread."""
    execution = Execution(parts.function, processor.triple.split("-")[0])
    tasks = 1 if threads == 1 else min(threads * TASKS_PER_THREAD, MAX_TASKS)
    try:
        return [execution.task(task, tasks) for task in range(tasks)]
    except UnknownControlFlow as error:
        raise UserError(f"the loops of layer {parts.kernel.layer.name} cannot be counted: {error}") from None


def _task(parts: _Parts, counts: Counts, machine: Machine) -> _Task:
    by_kind: Counter = Counter()
    dots = calls = 0
    for block, runs in counts.blocks.items():
        kind = "products" if block in parts.products else "tiles" if block in parts.tiles else "copies"
        by_kind[kind] += runs * parts.cycles[block]
        dots += runs * parts.dots[block]
        calls += runs * sum(i.is_call for i in parts.function.blocks[block].instructions)
    filled = sum((size or 0) * times for size, times in counts.filled.items())
    by_kind["copies"] += filled / _FILLED_BYTES_PER_CYCLE + calls * _CALL_CYCLES
    ends = sum(
        entries
        for header, entries in counts.entries.items()
        if parts.function.is_innermost(parts.function.loops[header])
        and counts.blocks[header] / entries > machine.core.foreseen_trips
    )
    branches = ends * machine.core.mispredict_cycles
    return _Task(by_kind["products"], by_kind["tiles"], by_kind["copies"], branches, dots)


def _memory_ns(parts: _Parts, machine: Machine) -> tuple[float, float]:
    """Time of one core that moved all bytes of the layer: (what arithmetic can hide, what it cannot).

    Hidden: weights and the tile on their way into the first-level cache, weights into the second-level cache where they
    do not stay there, outputs and residuals: all of them are read or written in order, ahead of their use. Not hidden:
    the strip's input, which is copied before there is anything to compute.
    """
    kernel, core = parts.kernel, machine.core
    layer, schedule = kernel.layer, kernel.schedule
    sizes = {p.name: prod(p.shape) * np.dtype(p.dtype).itemsize for p in kernel.parameters}
    strips = -(-layer.out_size[0] // schedule.strip_rows)
    blocks = channel_vectors(layer, kernel.isa) // schedule.block_vectors
    scratch = scratch_bytes(layer, kernel.isa, schedule)
    into_l1 = strips * blocks * scratch + _weights_into_l1(kernel, core.l1_kib * KIB, scratch, strips)
    stays = sizes["weight"] + scratch <= core.l2_kib * KIB
    far = sizes["out"] + sizes.get("residual", 0) + (0 if stays else (strips - 1) * sizes["weight"])
    halo = max(1.0, tile_rows(layer, schedule.strip_rows) / (schedule.strip_rows * layer.stride))
    fetched = sizes["source"] * halo * (blocks if schedule.parallel == "channels" else 1)
    speed = machine.bytes_per_ns(sizes["source"] + sizes["out"] + sizes["weight"])
    ghz = sum(machine.clocks_ghz) / machine.threads
    return max(into_l1 / (core.l2_bytes_per_cycle * ghz), far / speed), fetched / speed


def _weights_into_l1(kernel: LayerKernel, l1_bytes: int, scratch: int, strips: int) -> float:
    """Bytes of weights, as dot products read them, that pass from the second-level to the first-level cache.

    Every register tile reads the weights of its block once. They stay in the first-level cache where they fit beside
    what the tile reads of the scratch.
    """
    layer, schedule, isa = kernel.layer, kernel.schedule, kernel.isa
    columns = tile_columns(layer, isa, schedule.method, schedule.strip_rows)
    tiles = sum(count for count, _ in tile_widths(columns, schedule.tile_width))
    read, passes = weight_bytes(kernel), tiles * schedule.strip_rows
    if schedule.method == "winograd":
        read, passes = POSITIONS * layer.in_channels * layer.out_channels * _WINOGRAD_WEIGHT_BYTES, tiles
    block = read / (channel_vectors(layer, isa) // schedule.block_vectors)
    fits = block + scratch * schedule.tile_width / columns <= l1_bytes
    return strips * read * (1 if fits else passes)


def weight_bytes(kernel: LayerKernel) -> int:
    """Of one layer's packed weights."""
    weight = next(p for p in kernel.parameters if p.name == "weight")
    return prod(weight.shape) * np.dtype(weight.dtype).itemsize


def _inner_loop(parts: _Parts, dots: int) -> InnerLoop:
    block = max(parts.products or range(len(parts.dots)), key=lambda index: parts.dots[index])
    instructions = len(parts.function.blocks[block].instructions)
    return InnerLoop(parts.dots[block], instructions, parts.cycles[block], parts.kernel.layer.macs / dots)
