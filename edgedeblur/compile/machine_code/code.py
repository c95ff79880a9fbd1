"""A kernel's machine code as basic blocks and loops, from LLVM's assembly."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LABEL = re.compile(r'"?([.\w$]+)"?:')
_NO_INSTRUCTION = re.compile(r"\s*([.#@]|//|$)")
_FUNCTION_END = re.compile(r"\.Lfunc_end\d+:")
_LOCAL_LABEL = re.compile(r"\.L(BB|tmp|func_|CPI)")
_BRANCH = re.compile(r"(b|b\.\w+|cbn?z|tbn?z|j\w+)$")
_ENCODING = re.compile(r"\{vex\}\s+")  # LLVM's word before what has another encoding too
_ALWAYS = ("b", "jmp")
_RETURN = ("ret", "retq")


@dataclass(frozen=True)
class Instruction:
    """One instruction: mnemonic and operands in the assembler's order. text: as the assembler wrote it."""

    mnemonic: str
    operands: tuple[str, ...]
    text: str

    @property
    def is_branch(self) -> bool:
        """Whether it may jump to a label of the same function; calls and returns do not."""
        return _BRANCH.match(self.mnemonic) is not None

    @property
    def is_call(self) -> bool:
        return self.mnemonic in ("bl", "blr") or self.mnemonic.startswith("call")

    @property
    def is_return(self) -> bool:
        return self.mnemonic in _RETURN


@dataclass(frozen=True)
class Block:
    """Instructions that run one after another. taken, next: indices of the blocks that may follow, None where none."""

    instructions: tuple[Instruction, ...]
    taken: int | None
    next: int | None

    @property
    def successors(self) -> tuple[int, ...]:
        return tuple(block for block in (self.taken, self.next) if block is not None)


@dataclass(frozen=True)
class Loop:
    """A natural loop. header: its first block. body: all its blocks, those of the loops inside it too."""

    header: int
    body: frozenset[int]


@dataclass(frozen=True)
class Function:
    """Blocks in the order of memory, the first one is the entry; loops by header."""

    blocks: tuple[Block, ...]
    loops: dict[int, Loop]

    def is_innermost(self, loop: Loop) -> bool:
        return not any(other.header in loop.body for other in self.loops.values() if other is not loop)


def parallel_body(lines: list[str]) -> Function:
    """The function that does the work of a kernel: among those of `assembly.kernel_bodies`, the one with most code.

    That is the body of TVM's parallel loop, or the kernel itself where nothing is parallel.
    """
    return parse_function(max(_functions(lines), key=len))


def parse_function(lines: list[str]) -> Function:
    """Basic blocks and loops of one function's lines."""
    blocks = _link(list(_cut(lines)))
    return Function(blocks, _natural_loops(blocks))


def parse_instruction(line: str) -> Instruction:
    """One line of assembly, comments left out."""
    text = re.split(r"\s//|\s#\s", line)[0].strip()
    code = _ENCODING.sub("", text)
    mnemonic, _, rest = code.partition("\t" if "\t" in code else " ")
    return Instruction(mnemonic, tuple(_operands(rest)), text)


def _functions(lines: list[str]) -> list[list[str]]:
    functions: list[list[str]] = [[]]
    for line in lines:
        label = _LABEL.match(line)
        if label and (_FUNCTION_END.match(line) or not _LOCAL_LABEL.match(label[1])):
            functions.append([])
        functions[-1].append(line)
    return [function for function in functions if any(not _NO_INSTRUCTION.match(line) for line in function)]


def _operands(text: str) -> Iterator[str]:
    """Operands split at commas outside of brackets."""
    depth, start = 0, 0
    for index, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            yield text[start:index].strip()
            start = index + 1
    if text.strip():
        yield text[start:].strip()


def _cut(lines: list[str]) -> Iterator[tuple[list[str], list[Instruction]]]:
    """(labels, instructions) of each basic block."""
    labels: list[str] = []
    instructions: list[Instruction] = []
    for line in lines:
        label = _LABEL.match(line)
        if label:
            if instructions:
                yield labels, instructions
                labels, instructions = [], []
            labels.append(label[1])
        elif not _NO_INSTRUCTION.match(line):
            instructions.append(parse_instruction(line))
            if instructions[-1].is_branch or instructions[-1].is_return:
                yield labels, instructions
                labels, instructions = [], []
    if instructions:
        yield labels, instructions


def _link(cut: list[tuple[list[str], list[Instruction]]]) -> tuple[Block, ...]:
    index_of = {label: index for index, (labels, _) in enumerate(cut) for label in labels}
    blocks = []
    for index, (_, instructions) in enumerate(cut):
        last = instructions[-1]
        taken = index_of[last.operands[-1]] if last.is_branch else None
        falls_through = last.mnemonic not in _ALWAYS and not last.is_return and index + 1 < len(cut)
        blocks.append(Block(tuple(instructions), taken, index + 1 if falls_through else None))
    return tuple(blocks)


def _natural_loops(blocks: tuple[Block, ...]) -> dict[int, Loop]:
    """Loops by header: every edge to a block that dominates its source closes one."""
    dominators = _dominators(blocks)
    before: dict[int, list[int]] = {}
    for index, block in enumerate(blocks):
        for successor in block.successors:
            before.setdefault(successor, []).append(index)
    bodies: dict[int, set[int]] = {}
    for index, block in enumerate(blocks):
        for header in block.successors:
            if header in dominators[index]:
                bodies.setdefault(header, {header})
                _add_body(bodies[header], index, before)
    return {header: Loop(header, frozenset(body)) for header, body in bodies.items()}


def _add_body(body: set[int], tail: int, before: dict[int, list[int]]) -> None:
    pending = [tail]
    while pending:
        block = pending.pop()
        if block not in body:
            body.add(block)
            pending.extend(before.get(block, ()))


def _dominators(blocks: tuple[Block, ...]) -> list[set[int]]:
    """Blocks through which every way from the entry leads, by block (the iterative method of Allen and Cocke)."""
    everything = set(range(len(blocks)))
    dominators = [{0}] + [set(everything) for _ in blocks[1:]]
    before: list[list[int]] = [[] for _ in blocks]
    for index, block in enumerate(blocks):
        for successor in block.successors:
            before[successor].append(index)
    changed = True
    while changed:
        changed = False
        for index in range(1, len(blocks)):
            ways = [dominators[block] for block in before[index]]
            found = (set.intersection(*ways) if ways else set()) | {index}
            if found != dominators[index]:
                dominators[index], changed = found, True
    return dominators
