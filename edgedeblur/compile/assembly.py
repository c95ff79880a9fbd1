"""What the machine code of a kernel says: its dot products, and whether its inner loop keeps its sums in registers."""

import re
from collections.abc import Iterator

from edgedeblur.compile.kernels.instruction_set import InstructionSet

_FUNCTION = re.compile(r'"?([A-Za-z_]\w*)"?:')
_LABEL = re.compile(r'"?[.\w]+"?:')
_NO_INSTRUCTION = re.compile(r"\s*([.#@]|//|$)")
_BRANCH = re.compile(r"\s+(b|b\.\w+|cbn?z|tbn?z|ret|j\w+|retq)\b")
_PARALLEL_BODY = "_compute_"  # TVM puts the body of a kernel's parallel loop into a function of its own


def kernel_bodies(assembly: str) -> dict[str, list[str]]:
    """Lines of assembly by kernel symbol: each kernel's parallel body."""
    bodies: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in assembly.splitlines():
        label = _FUNCTION.match(line)
        if label:
            lines = []
            if label[1].endswith(_PARALLEL_BODY):
                bodies[label[1].removesuffix(_PARALLEL_BODY)] = lines
        lines.append(line)
    return bodies


def dot_instructions(lines: list[str], isa: InstructionSet) -> int:
    """Dot-product instructions among lines of assembly."""
    return sum(is_dot(line, isa) for line in lines)


def is_dot(line: str, isa: InstructionSet) -> bool:
    """Whether a line of assembly is a dot product."""
    return re.match(rf"\s*{isa.mnemonic}\b", line) is not None


def inner_loop(lines: list[str], isa: InstructionSet) -> list[str]:
    """The instructions of the basic block with most dot products: one round of the kernel's inner loop."""
    return max(_basic_blocks(lines), key=lambda block: dot_instructions(block, isa))


def _basic_blocks(lines: list[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in lines:
        if _LABEL.match(line):
            yield block
            block = []
        elif not _NO_INSTRUCTION.match(line):
            block.append(line)
            if _BRANCH.match(line):
                yield block
                block = []
    yield block
