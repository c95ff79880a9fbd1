"""x86-64: what scalar instructions do to the values that decide control flow, in AT&T's syntax.

Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2. Whatever else an instruction is, only the
general registers that it writes are forgotten.
"""

import re
from collections.abc import Callable

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
from edgedeblur.compile.machine_code.x86_operands import bits_of, place_of, reader, uses_of, writes_of

ENTRY = {"task": "rdi", "environment": "rsi"}
_CALLER_SAVED = frozenset(("rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", FLAGS))
_ADDRESS = re.compile(r"(-?\d*)\((?:%(\w+))?(?:,%(\w+)(?:,(\d))?)?\)$")
_SYMBOL = re.compile(r"(\w+)@GOTPCREL\(%rip\)$")
_SIZES = {"b": 8, "w": 16, "l": 32, "q": 64}
_CONDITIONS = {
    **{"e": "eq", "ne": "ne", "l": "lt", "le": "le", "g": "gt", "ge": "ge", "b": "lo", "be": "ls", "a": "hi"},
    **{"ae": "hs", "s": "mi", "ns": "pl", "o": "vs", "no": "vc"},
}
_RESULTS: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, bits: a + b,
    "sub": lambda a, b, bits: a - b,
    "and": lambda a, b, bits: a & b,
    "andn": lambda a, b, bits: ~a & b,
    "or": lambda a, b, bits: a | b,
    "xor": lambda a, b, bits: a ^ b,
    "imul": lambda a, b, bits: a * b,
    "shl": lambda a, b, bits: a << b % bits,
    "shr": lambda a, b, bits: a >> b % bits,
    "sar": lambda a, b, bits: signed(a, bits) >> b % bits,
}
_STEMS = "add adc sub sbb andn? or xor imul shl shr sar inc dec neg not cmp test bt mov lea idiv div"
_STEM = re.compile(f"({'|'.join(_STEMS.split())})([bwlq])$")
_EXTENDING = re.compile(r"mov([sz])([bwl])([wlq])$")


def effect(instruction: Instruction) -> Effect:
    """What an instruction that is no branch does."""
    name, operands = instruction.mnemonic, instruction.operands
    if instruction.is_call:
        return _call(instruction)
    if name in ("cltd", "cqto"):
        bits = 32 if name == "cltd" else 64
        return _write("rdx", bits, ["rax"], lambda state: arithmetic(lambda a: signed(a, bits) >> 63, state.get("rax")))
    if name == "cltq":
        return _write("rax", 64, ["rax"], lambda state: arithmetic(lambda a: signed(a, 32), state.get("rax")))
    extending = _EXTENDING.match(name)
    if extending:
        return _extend(*extending.groups(), *operands)
    if name.startswith(("cmov", "set")):
        return _conditional(name, operands)
    stem = _STEM.match(name)
    if name == "movabsq" or (stem and stem[1] == "mov"):
        return _move(operands, _SIZES[name[-1]])
    if stem is None or not operands:
        return forget(writes_of(instruction))
    return _scalar(stem[1], _SIZES[stem[2]], operands)


def branch(instruction: Instruction) -> Branch:
    """Where the last instruction of a block leads."""
    name = instruction.mnemonic
    if name == "jmp":
        return Branch(frozenset(), lambda state: True)
    condition = _CONDITIONS.get(name[1:])

    def taken(state: State) -> bool:
        if condition is None:
            raise UnknownControlFlow(instruction.text)
        return holds(condition, state.get(FLAGS))

    return Branch(frozenset([FLAGS]), taken)


def _scalar(name: str, bits: int, operands: tuple[str, ...]) -> Effect:
    if name == "lea":
        return _lea(operands, bits)
    if name in ("idiv", "div"):
        return _divide(name, bits, operands[0])
    if name in ("cmp", "test", "bt"):
        return _compare(name, bits, operands)
    if name in ("adc", "sbb"):
        return _with_carry(name, bits, operands)
    if name in ("inc", "dec"):
        operands = ("$1", operands[0])
        name = "add" if name == "inc" else "sub"
    if name in ("neg", "not"):
        operands = (operands[0], "$0" if name == "neg" else "$-1", operands[0])
        name = "sub" if name == "neg" else "xor"
    if len(operands) == 1:  # a shift by one, or a product into rdx:rax
        if name == "imul":
            return forget(("rax", "rdx", FLAGS))
        operands = ("$1", operands[0])
    second, first, target = operands if len(operands) == 3 else (*operands, operands[-1])
    if name == "xor" and first == second:
        return _update(target, bits, frozenset(), lambda state: (0, Flags(0, True, bits)))
    read_a, read_b = reader(first, bits), reader(second, bits)

    def compute(state: State) -> tuple[Value, object]:
        a, b = read_a(state), read_b(state)
        result = truncated(arithmetic(lambda a, b: _RESULTS[name](a, b, bits), a, b), bits)
        known = isinstance(a, int) and isinstance(b, int)
        return result, _flags(name, a, b, result, bits) if known else None

    return _update(target, bits, uses_of(first) | uses_of(second), compute)


def _with_carry(name: str, bits: int, operands: tuple[str, ...]) -> Effect:
    """The flags that it leaves are not followed."""
    source, target = operands
    read_a, read_b, sign = reader(target, bits), reader(source, bits), 1 if name == "adc" else -1

    def compute(state: State) -> tuple[Value, object]:
        flags = state.get(FLAGS)
        if not isinstance(flags, Flags):
            return None, None
        carried = 0 if flags.carry else 1
        result = arithmetic(lambda a, b: a + sign * (b + carried), read_a(state), read_b(state))
        return truncated(result, bits), None

    return _update(target, bits, uses_of(source) | uses_of(target) | {FLAGS}, compute)


def _flags(name: str, a: int, b: int, result: int, bits: int) -> Flags:
    if name == "sub":
        return subtract(a, b, bits)
    if name == "add":
        return Flags(signed(a, bits) + signed(b, bits), (a + truncated(b, bits)) >> bits == 0, bits)
    return Flags(signed(result, bits), True, bits)


def _compare(name: str, bits: int, operands: tuple[str, ...]) -> Effect:
    second, first = operands
    read_a, read_b = reader(first, bits), reader(second, bits)

    def value(state: State) -> object:
        a, b = read_a(state), read_b(state)
        if not (isinstance(a, int) and isinstance(b, int)):
            same = isinstance(a, str) and a == b and name == "test"  # an address is not zero
            return Flags(1, True, bits) if same else None
        if name == "cmp":
            return subtract(a, b, bits)
        if name == "bt":
            return Flags(0, not a >> b % bits & 1, bits)
        return Flags(signed(a & b, bits), True, bits)

    return assign(FLAGS, uses_of(first) | uses_of(second), value)


def _lea(operands: tuple[str, ...], bits: int) -> Effect:
    address, target = operands
    match = _ADDRESS.match(address)
    if match is None or match[2] in ("rip", "rsp"):
        return forget(uses_of(target))
    terms = [(reader(f"%{match[2]}", 64), 1)] if match[2] else []
    terms += [(reader(f"%{match[3]}", 64), int(match[4] or 1))] if match[3] else []
    offset = int(match[1] or 0)

    def value(state: State) -> Value:
        values = [read(state) for read, _ in terms]
        return arithmetic(lambda *all: offset + sum(v * f for v, (_, f) in zip(all, terms, strict=True)), *values)

    uses = frozenset().union(*(uses_of(f"%{register}") for register in (match[2], match[3]) if register))
    return _write(place_of(target), bits, uses, value)


def _divide(name: str, bits: int, divisor: str) -> Effect:
    read = reader(divisor, bits)

    def run(state: State) -> None:
        high, low, by = state.get("rdx"), state.get("rax"), read(state)
        if not (isinstance(high, int) and isinstance(low, int) and isinstance(by, int) and by):
            state["rax"] = state["rdx"] = None
            return
        whole = truncated(high, bits) << bits | truncated(low, bits)
        if name == "idiv":
            whole, by = signed(whole, 2 * bits), signed(by, bits)
        result = quotient(whole, by)
        state["rax"], state["rdx"] = truncated(result, bits), truncated(whole - result * by, bits)

    return Effect(frozenset(("rax", "rdx", FLAGS)), uses_of(divisor) | {"rax", "rdx"}, run)


def _move(operands: tuple[str, ...], bits: int) -> Effect:
    source, target = operands
    if place_of(target) is None:
        return Effect()  # to memory that is not the stack
    symbol, address = _SYMBOL.match(source), _ADDRESS.match(source)
    if symbol:
        return _write(place_of(target), bits, frozenset(), lambda state: symbol[1])
    if place_of(source) is None and address and address[2] and not address[3]:
        read = reader(f"%{address[2]}", 64)
        offset = int(address[1] or 0)
        return _write(
            place_of(target),
            bits,
            uses_of(f"%{address[2]}") | {TASKS},
            lambda state: loaded(read(state), offset, state),
        )
    return _write(place_of(target), bits, uses_of(source), reader(source, bits))


def _extend(sign: str, source_size: str, target_size: str, source: str, target: str) -> Effect:
    read, width = reader(source, _SIZES[source_size]), _SIZES[source_size]
    value = (lambda a: signed(a, width)) if sign == "s" else (lambda a: a)
    return _write(place_of(target), _SIZES[target_size], uses_of(source), lambda state: arithmetic(value, read(state)))


def _conditional(name: str, operands: tuple[str, ...]) -> Effect:
    target, is_move = operands[-1], name.startswith("cmov")
    bits = bits_of(target) if is_move else 8
    condition = _CONDITIONS.get(name[4:]) or _CONDITIONS.get(name[4:-1]) if is_move else _CONDITIONS.get(name[3:])
    if condition is None or place_of(target) is None:
        return forget(uses_of(target))
    chosen, other = (reader(operands[0], bits), reader(target, bits)) if is_move else (lambda s: 1, lambda s: 0)
    uses = uses_of(operands[0]) | uses_of(target) | {FLAGS}
    return _write(
        place_of(target), bits, uses, lambda state: (chosen if holds(condition, state.get(FLAGS)) else other)(state)
    )


def _call(instruction: Instruction) -> Effect:
    target = instruction.operands[0]
    filled = "rdx" if target.startswith("memset") else None
    indirect = re.match(r"\*\(?%(\w+)\)?$", target)
    place = indirect[1] if indirect else None
    callee = (lambda state: state.get(place)) if place else (lambda state: target)
    return call(_CALLER_SAVED, "rax", [place] if place else [], callee, filled)


def _write(place: str | None, bits: int, uses, value: Callable[[State], Value]) -> Effect:
    """32 bits clear the upper half of a register; 8 and 16 bits keep the rest."""
    if place is None:
        return Effect()
    if bits >= 32 or not place.startswith("r"):
        return assign(place, uses, lambda state: truncated(value(state), bits))
    mask = (1 << bits) - 1

    def merged(state: State) -> Value:
        new, old = truncated(value(state), bits), state.get(place)
        return old & ~mask | new if isinstance(old, int) and isinstance(new, int) else new

    return assign(place, frozenset(uses) | {place}, merged)


def _update(target: str, bits: int, uses: frozenset[str], compute: Callable[[State], tuple]) -> Effect:
    """A result and the flags."""
    place = place_of(target)

    def run(state: State) -> None:
        result, flags = compute(state)
        state[FLAGS] = flags
        if place:
            state[place] = result

    return Effect(frozenset({FLAGS, place} - {None}), uses, run)
