"""AArch64: what scalar instructions do to the values that decide control flow.

Arm Architecture Reference Manual, C6 "A64 Base Instruction Descriptions". Whatever else an instruction is, only the
general registers that it writes are forgotten.
"""

import re
from collections.abc import Callable

from edgedeblur.compile.cost.effects import (
    ENVIRONMENT,
    FLAGS,
    TASKS,
    Branch,
    Effect,
    Flags,
    State,
    UnknownControlFlow,
    Value,
    arithmetic,
    assign,
    forget,
    holds,
    signed,
    subtract,
    truncated,
)
from edgedeblur.compile.cost.machine_code import Instruction

ENTRY = {"task": "x0", "environment": "x1"}
_CALLER_SAVED = frozenset(f"x{n}" for n in range(18)) | {FLAGS}
_REGISTER = re.compile(r"(?:[xw](\d+|zr)|w?sp)$")
_SYMBOL = re.compile(r":got(?:_lo12)?:([\w.$]+)")
_ADDRESS = re.compile(r"\[(\w+)(?:, #(-?\d+))?\]")
_STACK = re.compile(r"\[sp(?:, #(\d+))?\]$")
_SHIFTS = {"lsl": lambda value, n: value << n, "lsr": lambda value, n: value >> n}
_EXTENDS = {"uxtw": (32, False), "sxtw": (32, True), "uxtb": (8, False), "sxtb": (8, True), "sxth": (16, True)}

_BINARY: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, bits: a + b,
    "sub": lambda a, b, bits: a - b,
    "and": lambda a, b, bits: a & b,
    "bic": lambda a, b, bits: a & ~b,
    "orr": lambda a, b, bits: a | b,
    "eor": lambda a, b, bits: a ^ b,
    "mul": lambda a, b, bits: a * b,
    "lsl": lambda a, b, bits: a << b % bits,
    "lsr": lambda a, b, bits: a >> b % bits,
    "asr": lambda a, b, bits: signed(a, bits) >> b % bits,
    "udiv": lambda a, b, bits: a // b if b else 0,
    "sdiv": lambda a, b, bits: _divide(signed(a, bits), signed(b, bits)),
    "smull": lambda a, b, bits: signed(a, 32) * signed(b, 32),
    "umull": lambda a, b, bits: a * b,
}
_TERNARY: dict[str, Callable[[int, int, int], int]] = {
    "madd": lambda a, b, c: a * b + c,
    "msub": lambda a, b, c: c - a * b,
    "smaddl": lambda a, b, c: signed(a, 32) * signed(b, 32) + c,
    "umaddl": lambda a, b, c: a * b + c,
}
_FLAGS_SET = {
    "subs": lambda a, b, bits: subtract(a, b, bits),
    "adds": lambda a, b, bits: Flags(signed(a, bits) + signed(b, bits), (a + b) >> bits != 0, bits),
    "ands": lambda a, b, bits: Flags(signed(a & b, bits), False, bits),
}
_COMPARISONS = {"cmp": "subs", "cmn": "adds", "tst": "ands"}
_SELECTIONS: dict[str, Callable[[int], int]] = {
    "csel": lambda b: b,
    "csinc": lambda b: b + 1,
    "csinv": lambda b: ~b,
    "csneg": lambda b: -b,
}


def effect(instruction: Instruction) -> Effect:
    """What an instruction that is no branch does."""
    name, operands = instruction.mnemonic, instruction.operands
    if instruction.is_call:
        return _call(instruction)
    if name in _COMPARISONS:
        return _set_flags(_COMPARISONS[name], None, operands)
    if name in _FLAGS_SET:
        return _set_flags(name, operands[0], operands[1:])
    if name == "adrp" and _SYMBOL.search(operands[1]):
        symbol = _SYMBOL.search(operands[1])[1]
        return _assign(operands[0], (), lambda state: symbol)
    if name in ("ldr", "ldp") and _place(operands[0]):
        return _load(instruction)
    if name in ("str", "stp") and _place(operands[0]) and _STACK.match(operands[-1]):
        return _store_to_stack(operands)
    computed = _computed(name, operands)
    return computed or forget(_written(instruction))


def branch(instruction: Instruction) -> Branch:
    """Where the last instruction of a block leads."""
    name, operands = instruction.mnemonic, instruction.operands
    if name == "b":
        return Branch(frozenset(), lambda state: True)
    if name.startswith("b."):
        return Branch(frozenset([FLAGS]), lambda state: holds(name[2:], state.get(FLAGS)))
    read, uses = _reader(operands[:1])
    bit = int(operands[1].lstrip("#"), 0) if name.startswith("tb") else None
    wants_zero = name in ("cbz", "tbz")

    def taken(state: State) -> bool:
        value = read(state)
        if value is None:
            raise UnknownControlFlow(instruction.text)
        if isinstance(value, str):  # an address is not zero
            return not wants_zero
        tested = value if bit is None else value >> bit & 1
        return (tested == 0) == wants_zero

    return Branch(uses, taken)


def _computed(name: str, operands: tuple[str, ...]) -> Effect | None:
    if not operands or not _place(operands[0]):
        return None
    bits = _bits(operands[0])
    if name == "mov":
        return _assign(operands[0], *_value(operands[1:]))
    if name in ("sxtw", "sxth", "sxtb", "uxtw", "uxtb"):
        return _assign(operands[0], *_value((f"{operands[1]}", name)))
    if name in ("neg", "negs", "mvn"):
        uses, read = _value(operands[1:])
        invert = (lambda a: -a) if name.startswith("neg") else (lambda a: ~a)
        return _assign(operands[0], uses, lambda state: arithmetic(invert, read(state)))
    if name == "movk":
        shift = int(operands[2].split("#")[1], 0) if len(operands) > 2 else 0
        piece = int(operands[1].lstrip("#"), 0)
        read, uses = _reader(operands[:1])
        put = lambda old: old & ~(0xFFFF << shift) | piece << shift  # noqa: E731
        return _assign(operands[0], uses, lambda state: arithmetic(put, read(state)))
    if name in _BINARY:
        read, uses = _reader(operands[1:2])
        more, second = _value(operands[2:])
        compute = _BINARY[name]
        return _assign(
            operands[0],
            uses | more,
            lambda state: arithmetic(lambda a, b: compute(a, b, bits), read(state), second(state)),
        )
    if name in _TERNARY:
        readers = [_reader((operand,)) for operand in operands[1:4]]
        return _assign(
            operands[0],
            frozenset().union(*(uses for _, uses in readers)),
            lambda state: arithmetic(_TERNARY[name], *(read(state) for read, _ in readers)),
        )
    if name in _SELECTIONS:
        return _select(name, *operands)
    if name in ("cset", "cinc"):
        first = "wzr" if name == "cset" else operands[1]
        inverse = {"eq": "ne", "lt": "ge", "gt": "le", "hs": "lo", "hi": "ls", "mi": "pl", "vs": "vc"}
        inverse |= {value: key for key, value in inverse.items()}
        return _select("csinc", operands[0], first, first, inverse[operands[-1]])
    if name in ("ubfx", "ubfiz", "sbfiz", "sbfx"):
        return _bit_field(name, operands)
    return None


def _select(name: str, target: str, first: str, second: str, condition: str) -> Effect:
    (read_first, uses_first), (read_second, uses_second) = _reader((first,)), _reader((second,))

    def value(state: State) -> Value:
        if holds(condition, state.get(FLAGS)):
            return read_first(state)
        return arithmetic(_SELECTIONS[name], read_second(state))

    return _assign(target, uses_first | uses_second | {FLAGS}, value)


def _bit_field(name: str, operands: tuple[str, ...]) -> Effect:
    read, uses = _reader(operands[1:2])
    low, width = (int(operand.lstrip("#"), 0) for operand in operands[2:4])

    def extract(value: int) -> int:
        field = value >> low if name.endswith("x") else value
        field = signed(field, width) if name.startswith("s") else field & (1 << width) - 1
        return field if name.endswith("x") else field << low

    return _assign(operands[0], uses, lambda state: arithmetic(extract, read(state)))


def _set_flags(name: str, target: str | None, operands: tuple[str, ...]) -> Effect:
    bits = _bits(operands[0])
    read, uses = _reader(operands[:1])
    more, second = _value(operands[1:])
    place = _place(target) if target is not None else None

    def run(state: State) -> None:
        a, b = read(state), second(state)
        known = isinstance(a, int) and isinstance(b, int)
        state[FLAGS] = _FLAGS_SET[name](a, truncated(b, bits), bits) if known else None
        if place:
            state[place] = truncated(arithmetic(lambda a, b: _BINARY[name[:3]](a, b, bits), a, b), bits)

    return Effect(frozenset({FLAGS, place} - {None}), uses | more, run)


def _load(instruction: Instruction) -> Effect:
    """Loads from the stack, of the number of tasks and of runtime functions; others give values that do not matter."""
    *targets, address = instruction.operands if instruction.operands[-1].endswith("]") else instruction.operands[:-1]
    stack = _STACK.match(address)
    if stack:
        step = _bits(targets[0]) // 8
        slots = [_slot(int(stack[1] or 0) + index * step) for index in range(len(targets))]
        places = [_place(target) for target in targets]

        def run(state: State) -> None:
            for place, slot, target in zip(places, slots, targets, strict=True):
                state[place] = truncated(state.get(slot), _bits(target))

        return Effect(frozenset(places), frozenset(slots), run)
    base, symbol = _ADDRESS.match(address), _SYMBOL.search(address)
    if len(targets) > 1 or not (base or symbol):
        return forget(_written(instruction))
    if symbol:
        return _assign(targets[0], (), lambda state: symbol[1])
    read, uses = _reader((base[1],))
    offset = int(base[2] or 0)

    def value(state: State) -> Value:
        where = read(state)
        if where == ENVIRONMENT:
            return state[TASKS] if offset == 8 else None
        return where if isinstance(where, str) else None

    written = _written(instruction) - {_place(targets[0])}
    loaded = _assign(targets[0], uses, value)
    return (
        Effect(loaded.defines | written, loaded.uses | {TASKS}, loaded.run)
        if not written
        else forget(loaded.defines | written)
    )


def _store_to_stack(operands: tuple[str, ...]) -> Effect:
    *sources, address = operands
    step, first = _bits(sources[0]) // 8, int(_STACK.match(address)[1] or 0)
    readers = [_reader((source,)) for source in sources]
    slots = [_slot(first + index * step) for index in range(len(sources))]

    def run(state: State) -> None:
        for slot, (read, _) in zip(slots, readers, strict=True):
            state[slot] = read(state)

    return Effect(frozenset(slots), frozenset().union(*(uses for _, uses in readers)), run)


def _call(instruction: Instruction) -> Effect:
    """A call of the runtime: it succeeds, and what it allocates has an address."""
    target = instruction.operands[0]
    filled = "x2" if target == "memset" else None
    read, uses = _reader((target,)) if instruction.mnemonic == "blr" else ((lambda state: target), frozenset())

    def run(state: State) -> None:
        callee = read(state)
        for place in _CALLER_SAVED:
            state[place] = None
        state["x0"] = callee if isinstance(callee, str) and "Alloc" in callee else 0

    return Effect(_CALLER_SAVED, uses | ({filled} if filled else set()), run, filled)


def _assign(target: str, uses, value: Callable[[State], Value]) -> Effect:
    place, bits = _place(target), _bits(target)
    if place is None:
        return Effect()
    return assign(place, uses, lambda state: truncated(value(state), bits))


def _reader(operands: tuple[str, ...]) -> tuple[Callable[[State], Value], frozenset[str]]:
    """Reads a register or an immediate value."""
    operand = operands[0]
    if operand.startswith("#") or operand.lstrip("-").isdigit():
        number = int(operand.lstrip("#"), 0)
        return (lambda state: number), frozenset()
    if operand in ("xzr", "wzr"):
        return (lambda state: 0), frozenset()
    place, bits = _place(operand), _bits(operand)
    if place is None:  # the stack pointer, or no general register
        return (lambda state: None), frozenset()
    return (lambda state: truncated(state.get(place), bits)), frozenset([place])


def _value(operands: tuple[str, ...]) -> tuple[frozenset[str], Callable[[State], Value]]:
    """The last source of an instruction, with its shift or extension ("lsl #2", "sxtw #1")."""
    read, uses = _reader(operands)
    if len(operands) < 2:
        return uses, read
    kind, _, amount = operands[1].partition(" ")
    shift = int(amount.lstrip("#"), 0) if amount else 0
    if kind in _SHIFTS:
        return uses, lambda state: arithmetic(lambda a: _SHIFTS[kind](a, shift), read(state))
    bits = _bits(operands[0])
    if kind == "asr":
        return uses, lambda state: arithmetic(lambda a: signed(a, bits) >> shift, read(state))
    if kind in _EXTENDS:
        width, is_signed = _EXTENDS[kind]
        extend = lambda a: (signed(a, width) if is_signed else a & (1 << width) - 1) << shift  # noqa: E731
        return uses, lambda state: arithmetic(extend, read(state))
    return uses, lambda state: None


def _written(instruction: Instruction) -> frozenset[str]:
    """General registers that an instruction may write: its first operands, and bases that it moves."""
    if instruction.mnemonic.startswith(("st", "prfm")):
        places: set[str | None] = set()
    else:
        places = {_place(operand) for operand in instruction.operands[: 2 if "ldp" in instruction.mnemonic else 1]}
    for index, operand in enumerate(instruction.operands):
        base = re.match(r"\[(\w+)", operand)
        if base and (operand.endswith("!") or index + 1 < len(instruction.operands)):
            places.add(_place(base[1]))
    return frozenset(place for place in places if place)


def _place(operand: str) -> str | None:
    """x7 of w7 or x7; None for the zero register, the stack pointer and everything else."""
    match = _REGISTER.match(operand)
    return f"x{match[1]}" if match and match[1] not in (None, "zr") else None


def _bits(operand: str) -> int:
    return 32 if operand.startswith("w") else 64


def _slot(offset: int) -> str:
    return f"[sp, #{offset}]"


def _divide(a: int, b: int) -> int:
    """Towards zero; nothing by nothing is zero."""
    return 0 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
