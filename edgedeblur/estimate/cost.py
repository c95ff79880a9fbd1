"""What a kernel's estimate says; and the estimates of kernels that are mostly memory: gates, layers without weights."""

from dataclasses import dataclass
from math import prod

from edgedeblur.compile.lower import LayerKernel, OperationKernel
from edgedeblur.estimate.machine import Machine

_ADDED_BYTES_PER_CYCLE = 16  # channel sums: widen and add, two instructions for 16 bytes
_GATE_PRODUCTS_PER_CYCLE = 2
_COMBINED_PER_CYCLE = 2  # values of a layer without weights: widened, scaled, rounded, narrowed, four lanes at a time
_LOOKED_UP_PER_CYCLE = 0.7  # values of a table: three instructions each


@dataclass(frozen=True)
class Cycles:
    """Core cycles of one layer, over all cores.

    products: rounds of the inner loops with dot products. tiles: what is around them in the same loop nest, that is the
    sums' first values, requantisation, stores and counting. copies: the rest, that is input copied into the padded tile
    and Winograd's input transform, and a gate's sums. branches: ends of loops that were not foreseen. memory: waiting
    for data beyond what the arithmetic hides. idle: waiting for the last task of the layer, and for the hand-over to
    the next one.
    """

    products: float
    tiles: float
    copies: float
    branches: float
    memory: float
    idle: float

    @property
    def total(self) -> float:
        return self.products + self.tiles + self.copies + self.branches + self.memory + self.idle


@dataclass(frozen=True)
class InnerLoop:
    """The loop with most of a kernel's dot products. Of one round: dots, instructions, cycles by llvm-mca.
    macs_per_dot: the layer's multiply-accumulates for each dot product that it takes, so that padded channels count
    for nothing, and Winograd's method for more than it multiplies."""

    dots: int
    instructions: int
    cycles: float
    macs_per_dot: float

    @property
    def mac_per_cycle(self) -> float:
        return self.dots * self.macs_per_dot / self.cycles


@dataclass(frozen=True)
class KernelCost:
    """The estimate of one layer. dots: dot products executed for one image. inner_loop: None without weights."""

    layer: str
    ms: float
    macs: int
    dots: int
    cycles: Cycles
    inner_loop: InnerLoop | None


def pass_cost(kernel: OperationKernel, machine: Machine) -> KernelCost:
    """A layer without weights: its tensors are read and written once by all threads. Not taken from its machine code,
    since memory is most of it."""
    layer, ghz = kernel.layer, sum(machine.clocks_ghz)
    rate = _LOOKED_UP_PER_CYCLE if layer.operation.combine == "table" else _COMBINED_PER_CYCLE
    taps = sum(len(taps) for taps in layer.operation.taps) / len(layer.operation.taps)
    values = prod(layer.sources[0].shape if layer.operation.combine == "mean" else layer.out)
    computing = values * max(taps, len(layer.sources)) / (rate * ghz)
    moving = layer.bytes / machine.bytes_per_ns(layer.bytes) / machine.threads
    handing = machine.core.handoff_ns if machine.threads > 1 else 0.0
    cycles = Cycles(0.0, 0.0, computing * ghz, 0.0, max(moving - computing, 0.0) * ghz, handing * ghz)
    return KernelCost(layer.name, cycles.total / ghz * 1e-6, 0, 0, cycles, None)


def gate_ns(kernel: LayerKernel, machine: Machine) -> float:
    """Time of a gate's kernel: the tensor is read once more by all threads, right after it was stored, and one thread
    multiplies the matrix. Not taken from its machine code, since it is less than a hundredth of the layers'."""
    if kernel.gate is None:
        return 0.0
    gate, ghz = kernel.gate.gate, sum(machine.clocks_ghz) / machine.threads
    size = prod(gate.source)
    reading = max(size / machine.bytes_per_ns(size), size / (_ADDED_BYTES_PER_CYCLE * ghz)) / machine.threads
    handoffs = 2 * machine.core.handoff_ns if machine.threads > 1 and gate.parts > 1 else 0.0
    return reading + handoffs + gate.out_channels * gate.source[2] / (_GATE_PRODUCTS_PER_CYCLE * ghz)
