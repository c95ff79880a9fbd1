"""x86-64: what the operands of an instruction name and give, in AT&T's syntax."""

import re
from collections.abc import Callable

from edgedeblur.compile.machine_code.code import Instruction
from edgedeblur.compile.machine_code.effects import FLAGS, State, Value, truncated

_STACK = re.compile(r"-?\d*\(%(rsp|rbp)\)$")


def reader(operand: str, bits: int) -> Callable[[State], Value]:
    """Reads a register, a stack slot or an immediate value."""
    if operand.startswith("$"):
        text = operand[1:].lstrip("-")
        number = int(operand[1:], 0) if text.isdigit() or text.startswith("0x") else None
        return lambda state: number
    place = place_of(operand)
    return lambda state: truncated(state.get(place), bits) if place else None


def uses_of(operand: str) -> frozenset[str]:
    """The place that an operand is, if it is one."""
    place = place_of(operand)
    return frozenset([place]) if place else frozenset()


def writes_of(instruction: Instruction) -> frozenset[str]:
    """The last operand is the target; `push` has none; scalar instructions leave flags, those on matrices do not."""
    if instruction.mnemonic.startswith("push") or not instruction.operands:
        return frozenset()
    is_vector = instruction.mnemonic.startswith("v") and not instruction.mnemonic.endswith("test")
    keeps_flags = is_vector or instruction.mnemonic.startswith(("tile", "tdp"))
    return uses_of(instruction.operands[-1]) | (frozenset() if keeps_flags else {FLAGS})


def place_of(operand: str) -> str | None:
    """rax of %al, %ax, %eax and %rax; a stack slot as it is written; None for anything else."""
    if _STACK.match(operand) and "%rsp" in operand:
        return operand
    if not operand.startswith("%"):
        return None
    name = operand[1:]
    numbered = re.match(r"r(\d+)[bwd]?$", name)
    if numbered:
        return f"r{numbered[1]}"
    stem = name.removeprefix("r").removeprefix("e")
    if stem in ("sp", "bp", "si", "di"):
        return f"r{stem}" if stem != "sp" else None
    if stem in ("al", "bl", "cl", "dl"):
        return f"r{stem[0]}x"
    if stem in ("sil", "dil", "bpl"):
        return f"r{stem[:2]}"
    return f"r{stem}" if stem in ("ax", "bx", "cx", "dx") else None


def bits_of(operand: str) -> int:
    name = operand.lstrip("%")
    if re.match(r"r\d+$", name) or name in ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp"):
        return 64
    return 32 if name.startswith("e") or name.endswith("d") else 16
