"""Reads TVM's memory plan back from the planned Relax function: which tensor lies where, which kernel runs when."""

from dataclasses import dataclass

import tvm
from tvm import relax

from edgedeblur.compile.lower import ENTRY
from edgedeblur.compile.plan import ALIGNMENT, Operand


@dataclass(frozen=True)
class PlannedCall:
    """One kernel call: its symbol, and where each of its tensors lies."""

    symbol: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True)
class MemoryPlan:
    """The calls in order, and the bytes of the arena that their tensors share."""

    calls: tuple[PlannedCall, ...]
    arena_bytes: int


def aligned(size: int) -> int:
    """Bytes rounded up to whole cache lines."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def read_memory_plan(module: tvm.IRModule, constant_offsets: list[int]) -> MemoryPlan:
    """The plan of `main` after `lower.plan_memory`.

    Storages lie one after another in the arena, in the order in which the planner made them. The one tensor that the
    planner leaves alone is the function's result: the caller's output image.

    Args:
        constant_offsets: where each parameter of `main` after the image lies in the constants.
    """
    function = module[ENTRY]
    image, *constants = function.params
    places = {image: ("input", 0)}
    places.update((v, ("constant", offset)) for v, offset in zip(constants, constant_offsets, strict=True))
    storages, calls, arena_bytes = {}, [], 0
    for variable, value in _bindings(function):
        if isinstance(value, relax.Var):
            places[variable] = places[value]
        elif isinstance(value.op, tvm.ir.GlobalVar):
            calls.append(_read_call(value, places))
        elif value.op.name == "relax.memory.alloc_storage":
            storages[variable] = arena_bytes
            arena_bytes += aligned(int(value.args[0].values[0]))
        elif value.op.name == "relax.memory.alloc_tensor":
            places[variable] = ("arena", storages[value.args[0]] + int(value.args[1].value))
        elif value.op.name == "relax.builtin.alloc_tensor":
            places[variable] = ("output", 0)
        else:
            raise NotImplementedError(f"TVM planned a call of {value.op.name}, which this reader does not know")
    return MemoryPlan(tuple(calls), arena_bytes)


def _bindings(function: relax.Function) -> list[tuple]:
    return [(binding.var, binding.value) for block in function.body.blocks for binding in block.bindings]


def _read_call(call, places: dict) -> PlannedCall:
    operands = []
    for argument in call.args:
        place, offset = places[argument]
        shape = tuple(int(extent) for extent in argument.ty.shape.values)
        operands.append(Operand(place, offset, shape, str(argument.ty.dtype)))
    return PlannedCall(call.op.name_hint, tuple(operands))
