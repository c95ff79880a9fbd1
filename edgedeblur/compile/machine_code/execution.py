"""How often each basic block of a kernel runs: its control flow is executed, without its arithmetic on tensors.

Only instructions that decide a branch are executed (the backward slice of all branches; Weiser, "Program Slicing", ICSE
1981). The kernels' loops count with registers and constants, never with data, so that this is exact. A loop that is
entered again with the same deciding values is not executed again: what it did is remembered, so a nest costs the sum of
its trip counts instead of their product.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

from edgedeblur.compile.machine_code import aarch64, x86
from edgedeblur.compile.machine_code.code import Block, Function, Loop
from edgedeblur.compile.machine_code.effects import ENVIRONMENT, TASKS, Branch, Effect, State, UnknownControlFlow

_ARCHITECTURES = {"aarch64": aarch64, "x86_64": x86}
_MOST_STEPS = 2_000_000  # blocks executed one by one before a kernel counts as one that is not understood


@dataclass(frozen=True)
class Counts:
    """What one task does. blocks: runs by block. entries: by loop header, how often the loop is entered (and left).
    filled: calls of memset by their bytes."""

    blocks: Counter
    entries: Counter
    filled: Counter


@dataclass(frozen=True)
class _Passage:
    """What a loop does from its entry to the block after it."""

    counts: Counter
    end: int | None
    changed: tuple[tuple[str, Hashable], ...]


@dataclass(frozen=True)
class _Slice:
    """What decides a block's control flow: effects in order, and the branch at its end where that has a condition."""

    effects: tuple[Effect, ...]
    branch: Branch | None


class Execution:
    """Executes tasks of one kernel.

    Raises:
        UnknownControlFlow: from `task`, where a branch depends on what is not followed, or where the function does not
            end.
    """

    def __init__(self, function: Function, architecture: str):
        self._function, self._isa = function, _ARCHITECTURES[architecture]
        self._slices, live = _slice(function, self._isa)
        self._defined = {
            header: frozenset(
                place for block in loop.body for effect in self._slices[block].effects for place in effect.defines
            )
            for header, loop in function.loops.items()
        }
        self._deciding = {header: self._read_inside(loop, live[header]) for header, loop in function.loops.items()}
        self._children = {header: _outermost_inside(function, loop) for header, loop in function.loops.items()}
        self._remembered: dict[tuple, _Passage] = {}

    def task(self, task: int, tasks: int) -> Counts:
        """Counts of one of `tasks` tasks."""
        state: State = {self._isa.ENTRY["task"]: task, self._isa.ENTRY["environment"]: ENVIRONMENT, TASKS: tasks}
        outermost = _outermost_inside(self._function, None)
        total: Counter = Counter()
        block: int | None = 0
        while block is not None:
            block = self._step(block, outermost, state, total)
        kinds = {"block": Counter(), "enter": Counter(), "fill": Counter()}
        for (kind, what), count in total.items():
            kinds[kind][what] += count
        return Counts(kinds["block"], kinds["enter"], kinds["fill"])

    def _step(self, block: int, loops: frozenset[int], state: State, total: Counter) -> int | None:
        """Runs a block, or the whole loop that it heads, and says what comes next."""
        if block in loops:
            passage = self._loop(block, state)
            total.update(passage.counts)
            state.update(passage.changed)
            return passage.end
        total["block", block] += 1
        return self._run(block, state, total)

    def _read_inside(self, loop: Loop, live: tuple[str, ...]) -> tuple[str, ...]:
        """Of the places that matter where a loop begins those that the loop itself reads."""
        parts = [self._slices[block] for block in loop.body]
        reads = [effect.uses for part in parts for effect in part.effects]
        reads += [part.branch.uses for part in parts if part.branch]
        return tuple(place for place in live if any(place in uses for uses in reads))

    def _loop(self, header: int, state: State) -> _Passage:
        key = (header, *((place, state.get(place)) for place in self._deciding[header]))
        if key not in self._remembered:
            self._remembered[key] = self._pass(header, dict(state))
        return self._remembered[key]

    def _pass(self, header: int, state: State) -> _Passage:
        body, children = self._function.loops[header].body, self._children[header]
        total: Counter = Counter({("enter", header): 1, ("block", header): 1})
        block = self._run(header, state, total)
        for _ in range(_MOST_STEPS):
            if block is None or block not in body:
                changed = tuple((place, state.get(place)) for place in self._defined[header])
                return _Passage(total, block, changed)
            block = self._step(block, children, state, total)
        raise UnknownControlFlow(f"a loop that does not end within {_MOST_STEPS} steps")

    def _run(self, block: int, state: State, total: Counter) -> int | None:
        part, place = self._slices[block], self._function.blocks[block]
        for effect in part.effects:
            if effect.filled is not None:
                total["fill", state.get(effect.filled)] += 1
            effect.run(state)
        if part.branch is None:
            return place.next
        return place.taken if part.branch.taken(state) else place.next


def _slice(function: Function, isa) -> tuple[list[_Slice], list[tuple[str, ...]]]:
    """The deciding instructions of each block, and the places that decide something from its start on."""
    effects = [[isa.effect(i) for i in block.instructions if not i.is_branch] for block in function.blocks]
    branches = [_branch(block, isa) for block in function.blocks]
    live: list[frozenset[str]] = [frozenset()] * len(function.blocks)
    kept: list[list[Effect]] = [[] for _ in function.blocks]
    changed = True
    while changed:
        changed = False
        for index in reversed(range(len(function.blocks))):
            after = frozenset().union(*(live[successor] for successor in function.blocks[index].successors))
            kept[index], before = _needed(effects[index], branches[index], after)
            if before != live[index]:
                live[index], changed = before, True
    slices = [_Slice(tuple(steps), branch) for steps, branch in zip(kept, branches, strict=True)]
    return slices, [tuple(sorted(places)) for places in live]


def _needed(effects: list[Effect], branch: Branch | None, after: frozenset[str]) -> tuple[list[Effect], frozenset[str]]:
    """Of a block's effects those that decide something, and what decides something before it."""
    wanted = set(after) | (branch.uses if branch else set())
    kept = []
    for effect in reversed(effects):
        if effect.defines & wanted or effect.filled:
            kept.append(effect)
            wanted -= effect.defines
            wanted |= effect.uses
    return kept[::-1], frozenset(wanted)


def _branch(block: Block, isa) -> Branch | None:
    last = block.instructions[-1]
    return isa.branch(last) if last.is_branch else None


def _outermost_inside(function: Function, loop: Loop | None) -> frozenset[int]:
    """Headers of the loops that lie in a loop (None: in the function) and in no other one within it."""
    inside = {
        header: other
        for header, other in function.loops.items()
        if loop is None or (header in loop.body and header != loop.header)
    }
    return frozenset(
        header for header in inside if not any(header in other.body for key, other in inside.items() if key != header)
    )
