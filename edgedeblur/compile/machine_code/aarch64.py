"""AArch64: what scalar instructions do to the values that decide control flow.

Arm Architecture Reference Manual, C6 "A64 Base Instruction Descriptions". Whatever else an instruction is, only the
general registers that it writes are forgotten.
"""

from collections.abc import Callable

from edgedeblur.compile.machine_code.aarch64_operands import (
    ADDRESS,
    STACK,
    SYMBOL,
    bits_of,
    is_general,
    last_source,
    place_of,
    reader,
    stack_slot,
    writes_of,
)
from edgedeblur.compile.machine_code.code import Instruction
from edgedeblur.compile.machine_code.effects import (
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
    call,
    forget,
    holds,
    loaded,
    quotient,
    signed,
    subtract,
    truncated,
)

ENTRY = {"task": "x0", "environment": "x1"}
_CALLER_SAVED = frozenset(f"x{n}" for n in range(18)) | {FLAGS}

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
    "sdiv": lambda a, b, bits: quotient(signed(a, bits), signed(b, bits)),
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
    if name == "adrp" and SYMBOL.search(operands[1]):
        symbol = SYMBOL.search(operands[1])[1]
        return _assign(operands[0], (), lambda state: symbol)
    if name in ("ldr", "ldp") and place_of(operands[0]):
        return _load(instruction)
    if name in ("str", "stp") and is_general(operands[0]) and STACK.match(operands[-1]):
        return _store_to_stack(operands)
    computed = _computed(name, operands)
    return computed or forget(writes_of(instruction))


def branch(instruction: Instruction) -> Branch:
    """Where the last instruction of a block leads."""
    name, operands = instruction.mnemonic, instruction.operands
    if name == "b":
        return Branch(frozenset(), lambda state: True)
    if name.startswith("b."):
        return Branch(frozenset([FLAGS]), lambda state: holds(name[2:], state.get(FLAGS)))
    read, uses = reader(operands[:1])
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
    if not operands or not place_of(operands[0]):
        return None
    bits = bits_of(operands[0])
    if name == "mov":
        return _assign(operands[0], *last_source(operands[1:]))
    if name in ("sxtw", "sxth", "sxtb", "uxtw", "uxtb"):
        return _assign(operands[0], *last_source((f"{operands[1]}", name)))
    if name in ("neg", "negs", "mvn"):
        uses, read = last_source(operands[1:])
        invert = (lambda a: -a) if name.startswith("neg") else (lambda a: ~a)
        return _assign(operands[0], uses, lambda state: arithmetic(invert, read(state)))
    if name == "movk":
        shift = int(operands[2].split("#")[1], 0) if len(operands) > 2 else 0
        piece = int(operands[1].lstrip("#"), 0)
        read, uses = reader(operands[:1])
        put = lambda old: old & ~(0xFFFF << shift) | piece << shift  # noqa: E731
        return _assign(operands[0], uses, lambda state: arithmetic(put, read(state)))
    if name in _BINARY:
        read, uses = reader(operands[1:2])
        more, second = last_source(operands[2:])
        compute = _BINARY[name]
        return _assign(
            operands[0],
            uses | more,
            lambda state: arithmetic(lambda a, b: compute(a, b, bits), read(state), second(state)),
        )
    if name in _TERNARY:
        readers = [reader((operand,)) for operand in operands[1:4]]
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
    (read_first, uses_first), (read_second, uses_second) = reader((first,)), reader((second,))

    def value(state: State) -> Value:
        if holds(condition, state.get(FLAGS)):
            return read_first(state)
        return arithmetic(_SELECTIONS[name], read_second(state))

    return _assign(target, uses_first | uses_second | {FLAGS}, value)


def _bit_field(name: str, operands: tuple[str, ...]) -> Effect:
    read, uses = reader(operands[1:2])
    low, width = (int(operand.lstrip("#"), 0) for operand in operands[2:4])

    def extract(value: int) -> int:
        field = value >> low if name.endswith("x") else value
        field = signed(field, width) if name.startswith("s") else field & (1 << width) - 1
        return field if name.endswith("x") else field << low

    return _assign(operands[0], uses, lambda state: arithmetic(extract, read(state)))


def _set_flags(name: str, target: str | None, operands: tuple[str, ...]) -> Effect:
    bits = bits_of(operands[0])
    read, uses = reader(operands[:1])
    more, second = last_source(operands[1:])
    place = place_of(target) if target is not None else None

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
    stack = STACK.match(address)
    if stack:
        step = bits_of(targets[0]) // 8
        slots = [stack_slot(int(stack[1] or 0) + index * step) for index in range(len(targets))]
        places = [place_of(target) for target in targets]

        def run(state: State) -> None:
            for place, slot, target in zip(places, slots, targets, strict=True):
                state[place] = truncated(state.get(slot), bits_of(target))

        return Effect(frozenset(places), frozenset(slots), run)
    base, symbol = ADDRESS.match(address), SYMBOL.search(address)
    if len(targets) > 1 or not (base or symbol):
        return forget(writes_of(instruction))
    if symbol:
        return _assign(targets[0], (), lambda state: symbol[1])
    read, uses = reader((base[1],))
    offset = int(base[2] or 0)
    written = writes_of(instruction) - {place_of(targets[0])}
    target = _assign(targets[0], uses | {TASKS}, lambda state: loaded(read(state), offset, state))
    return forget(target.defines | written) if written else target


def _store_to_stack(operands: tuple[str, ...]) -> Effect:
    *sources, address = operands
    step, first = bits_of(sources[0]) // 8, int(STACK.match(address)[1] or 0)
    readers = [reader((source,)) for source in sources]
    slots = [stack_slot(first + index * step) for index in range(len(sources))]

    def run(state: State) -> None:
        for slot, (read, _) in zip(slots, readers, strict=True):
            state[slot] = read(state)

    return Effect(frozenset(slots), frozenset().union(*(uses for _, uses in readers)), run)


def _call(instruction: Instruction) -> Effect:
    target = instruction.operands[0]
    filled = "x2" if target == "memset" else None
    read, uses = reader((target,)) if instruction.mnemonic == "blr" else ((lambda state: target), frozenset())
    return call(_CALLER_SAVED, "x0", uses, read, filled)


def _assign(target: str, uses, value: Callable[[State], Value]) -> Effect:
    place, bits = place_of(target), bits_of(target)
    if place is None:
        return Effect()
    return assign(place, uses, lambda state: truncated(value(state), bits))
