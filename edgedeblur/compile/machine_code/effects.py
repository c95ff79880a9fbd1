"""What an instruction does to the values that decide where a kernel's control flow goes.

Values are unsigned 64-bit integers; a string stands for an address whose contents only its reader knows (the symbol of
a runtime function, the arguments of the kernel); None is a value that does not matter, such as a number from a tensor.
Places are registers by their 64-bit names, stack slots by their operands, and FLAGS.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

FLAGS = "flags"
ENVIRONMENT = "environment"  # the address of TVMParallelGroupEnv, whose field at 8 is the number of tasks
TASKS = "tasks"
Value = int | str | None
State = dict[str, "Value | Flags"]


class UnknownControlFlow(Exception):
    """A branch depends on something that this reader does not follow."""


@dataclass(frozen=True)
class Effect:
    """defines, uses: places. run: updates the state. filled: for a call of memset, the place of its length."""

    defines: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset()
    run: Callable[[State], None] = field(default=lambda state: None)
    filled: str | None = None


@dataclass(frozen=True)
class Branch:
    """Where a block goes. taken: whether the jump is taken, by the state. None: always taken or none."""

    uses: frozenset[str]
    taken: Callable[[State], bool]


@dataclass(frozen=True)
class Flags:
    """What an instruction in `bits` bits left. exact: its signed result, unwrapped. carry: after a comparison, whether
    the first operand is not below the second (AArch64's carry, the opposite of x86's)."""

    exact: int
    carry: bool
    bits: int


def forget(places: Iterable[str]) -> Effect:
    """The effect of an instruction whose results do not matter, as far as is known."""
    places = frozenset(places)

    def run(state: State) -> None:
        for place in places:
            state[place] = None

    return Effect(places, frozenset(), run)


def assign(place: str, uses: Iterable[str], value: Callable[[State], Value]) -> Effect:
    """place = value(state), whose reads are `uses`."""

    def run(state: State) -> None:
        state[place] = value(state)

    return Effect(frozenset([place]), frozenset(uses), run)


def call(
    caller_saved: frozenset[str],
    result: str,
    uses: Iterable[str],
    callee: Callable[[State], Value],
    filled: str | None,
) -> Effect:
    """A call of the runtime: it succeeds, and what it allocates has an address."""

    def run(state: State) -> None:
        called = callee(state)
        for place in caller_saved:
            state[place] = None
        state[result] = called if isinstance(called, str) and "Alloc" in called else 0

    return Effect(caller_saved, frozenset(uses) | ({filled} if filled else frozenset()), run, filled)


def loaded(address: Value, offset: int, state: State) -> Value:
    """What a load gives: the number of tasks, a runtime function, or a value that does not matter."""
    if address == ENVIRONMENT:
        return state[TASKS] if offset == 8 else None
    return address if isinstance(address, str) else None


def quotient(a: int, b: int) -> int:
    """Division towards zero; anything by zero is zero, as AArch64 has it (x86 traps)."""
    return 0 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def signed(value: int, bits: int) -> int:
    """The two's complement number in the low bits."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def truncated(value: Value, bits: int) -> Value:
    """An integer cut to its low bits; other values stay."""
    return value & ((1 << bits) - 1) if isinstance(value, int) else value


def arithmetic(compute: Callable[..., int], *values: Value) -> Value:
    """compute(*values) modulo 2^64; None where one is not known; an address moved is the same address."""
    if None in values:
        return None
    address = next((value for value in values if isinstance(value, str)), None)
    return address if address is not None else compute(*values) & (1 << 64) - 1


def subtract(a: int, b: int, bits: int) -> Flags:
    """The flags of a - b."""
    mask = (1 << bits) - 1
    return Flags(signed(a, bits) - signed(b, bits), a & mask >= b & mask, bits)


def holds(condition: str, flags: Value | Flags) -> bool:
    """Whether a condition, by AArch64's names, is true.

    Raises:
        UnknownControlFlow: the flags come from something that is not followed.
    """
    if not isinstance(flags, Flags):
        raise UnknownControlFlow(f"condition {condition} on a value that is not known")
    zero = flags.exact & (1 << flags.bits) - 1 == 0
    wrapped = signed(flags.exact, flags.bits)
    truths = {
        "eq": zero,
        "lt": flags.exact < 0,
        "le": flags.exact < 0 or zero,
        "hs": flags.carry,
        "hi": flags.carry and not zero,
        "mi": wrapped < 0,
        "vs": wrapped != flags.exact,
        "al": True,
    }
    opposite = {"ne": "eq", "ge": "lt", "gt": "le", "lo": "hs", "ls": "hi", "pl": "mi", "vc": "vs"}
    return not truths[opposite[condition]] if condition in opposite else truths[condition]
