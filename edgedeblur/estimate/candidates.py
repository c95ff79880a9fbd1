"""Candidates to compare without the machine: layers with schedules to estimated times."""

from collections.abc import Collection, Sequence

import tvm

from edgedeblur.artefact.target import Target
from edgedeblur.compile.assembly import kernel_bodies
from edgedeblur.compile.kernels import target_instruction_set
from edgedeblur.compile.kernels.convolution import conv_kernel, same_kernel
from edgedeblur.compile.kernels.layer import ConvLayer, conv_layers, layer_isa
from edgedeblur.compile.llvm.functions import compile_functions
from edgedeblur.compile.lower import AnyKernel, LayerKernel
from edgedeblur.compile.schedules.choose import choose_schedules, databases_for
from edgedeblur.compile.schedules.schedule import Schedule, check_schedule
from edgedeblur.estimate.kernel_cost import KernelCost, kernel_costs, weight_bytes
from edgedeblur.estimate.machine import KIB, Machine, target_machine
from edgedeblur.quantize.network import QuantisedNetwork


def schedule_costs(
    candidates: Sequence[tuple[ConvLayer, Schedule]],
    target: Target,
    threads: int | None = None,
    machine: Machine | None = None,
    footprint: int | None = None,
) -> list[KernelCost]:
    """Estimated cost of each layer with its schedule; they are compiled and simulated together, which saves time.

    Args:
        target: with an `[estimate]` table, unless a machine is given.
        threads: None for the target's number.
        machine: instead of the target's own description, such as the measured host.
        footprint: bytes that the whole network goes over for one image; None: too many for any cache.

    Raises:
        UserError: a schedule that does not fit its layer, no description of the machine, no llvm-mca.
    """
    machine = machine or target_machine(target, threads)
    isa = target_instruction_set(target)
    kernels = []
    for index, (layer, schedule) in enumerate(candidates):
        own = layer_isa(layer, isa)
        check_schedule(layer, own, schedule)
        kernels.append(LayerKernel(layer, schedule, own, f"candidate{index}", source=""))
    beyond_caches = 2 * machine.core.l3_kib * KIB
    return kernel_costs(kernels, kernel_code(kernels, target), machine, footprint or beyond_caches)


def layers_ms(network: QuantisedNetwork, names: Collection[str], size: tuple[int, int], target: Target) -> float:
    """Estimated milliseconds of the convolutions of these names together, for images of that size; schedules as
    `compile` chooses them, each layer reading its tensors from beyond the caches; raises as `schedule_costs`."""
    layers = [layer for layer in conv_layers(network, *size) if layer.name in names]
    isa = target_instruction_set(target)
    chosen = choose_schedules(layers, isa, target.threads, databases_for(target))
    alike: dict[tuple[ConvLayer, Schedule], list[ConvLayer]] = {}
    for layer in layers:
        alike.setdefault((same_kernel(layer, isa), chosen[layer.name].schedule), []).append(layer)
    costs = schedule_costs([(group[0], schedule) for (_, schedule), group in alike.items()], target)
    return sum(cost.ms * len(group) for cost, group in zip(costs, alike.values(), strict=True))


def schedule_ms(layer: ConvLayer, schedule: Schedule, target: Target, threads: int | None = None) -> float:
    """Estimated milliseconds of one layer with one schedule on the target's big cores; raises as `schedule_costs`."""
    return schedule_costs([(layer, schedule)], target, threads)[0].ms


def kernel_code(kernels: Sequence[AnyKernel], target: Target) -> list[list[str]]:
    """Each convolution's lines of assembly, compiled together."""
    kernels = [kernel for kernel in kernels if isinstance(kernel, LayerKernel)]
    functions = {k.symbol: conv_kernel(k.layer, k.schedule, k.isa, k.symbol) for k in kernels}
    compiled = compile_functions(tvm.IRModule(functions), target)
    bodies = kernel_bodies(compiled.inspect_source("asm"))
    return [bodies[kernel.symbol] for kernel in kernels]


def network_footprint(kernels: Sequence[AnyKernel], arena_bytes: int, image_bytes: int) -> int:
    """Bytes that a network goes over for one image: weights, arena and the two images."""
    convolutions = [kernel for kernel in kernels if isinstance(kernel, LayerKernel)]
    return sum(weight_bytes(kernel) for kernel in convolutions) + arena_bytes + 2 * image_bytes
