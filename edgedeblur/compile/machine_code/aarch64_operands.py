"""AArch64: what the operands of an instruction name and give, as llvm-objdump writes them."""

import re
from collections.abc import Callable

from edgedeblur.compile.machine_code.code import Instruction
from edgedeblur.compile.machine_code.effects import State, Value, arithmetic, signed, truncated

_REGISTER = re.compile(r"(?:[xw](\d+|zr)|w?sp)$")
SYMBOL = re.compile(r":got(?:_lo12)?:([\w.$]+)")
ADDRESS = re.compile(r"\[(\w+)(?:, #(-?\d+))?\]")
STACK = re.compile(r"\[sp(?:, #(\d+))?\]$")
_SHIFTS = {"lsl": lambda value, n: value << n, "lsr": lambda value, n: value >> n}
_EXTENDS = {"uxtw": (32, False), "sxtw": (32, True), "uxtb": (8, False), "sxtb": (8, True), "sxth": (16, True)}


def reader(operands: tuple[str, ...]) -> tuple[Callable[[State], Value], frozenset[str]]:
    """Reads a register or an immediate value."""
    operand = operands[0]
    if operand.startswith("#") or operand.lstrip("-").isdigit():
        number = int(operand.lstrip("#"), 0)
        return (lambda state: number), frozenset()
    if operand in ("xzr", "wzr"):
        return (lambda state: 0), frozenset()
    place, bits = place_of(operand), bits_of(operand)
    if place is None:  # the stack pointer, or no general register
        return (lambda state: None), frozenset()
    return (lambda state: truncated(state.get(place), bits)), frozenset([place])


def last_source(operands: tuple[str, ...]) -> tuple[frozenset[str], Callable[[State], Value]]:
    """The last source of an instruction, with its shift or extension ("lsl #2", "sxtw #1")."""
    read, uses = reader(operands)
    if len(operands) < 2:
        return uses, read
    kind, _, amount = operands[1].partition(" ")
    shift = int(amount.lstrip("#"), 0) if amount else 0
    if kind in _SHIFTS:
        return uses, lambda state: arithmetic(lambda a: _SHIFTS[kind](a, shift), read(state))
    bits = bits_of(operands[0])
    if kind == "asr":
        return uses, lambda state: arithmetic(lambda a: signed(a, bits) >> shift, read(state))
    if kind in _EXTENDS:
        width, is_signed = _EXTENDS[kind]
        extend = lambda a: (signed(a, width) if is_signed else a & (1 << width) - 1) << shift  # noqa: E731
        return uses, lambda state: arithmetic(extend, read(state))
    return uses, lambda state: None


def writes_of(instruction: Instruction) -> frozenset[str]:
    """General registers that an instruction may write: its first operands, and bases that it moves."""
    if instruction.mnemonic.startswith(("st", "prfm")):
        places: set[str | None] = set()
    else:
        places = {place_of(operand) for operand in instruction.operands[: 2 if "ldp" in instruction.mnemonic else 1]}
    for index, operand in enumerate(instruction.operands):
        base = re.match(r"\[(\w+)", operand)
        if base and (operand.endswith("!") or index + 1 < len(instruction.operands)):
            places.add(place_of(base[1]))
    return frozenset(place for place in places if place)


def place_of(operand: str) -> str | None:
    """x7 of w7 or x7; None for the zero register, the stack pointer and everything else."""
    match = _REGISTER.match(operand)
    return f"x{match[1]}" if match and match[1] not in (None, "zr") else None


def is_general(operand: str) -> bool:
    """Whether it is a general register, or the zero register in its place."""
    return place_of(operand) is not None or operand in ("xzr", "wzr")


def bits_of(operand: str) -> int:
    return 32 if operand.startswith("w") else 64


def stack_slot(offset: int) -> str:
    return f"[sp, #{offset}]"
