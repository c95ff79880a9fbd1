"""Blocks of instructions that a program executes in QEMU's user mode, and how often: counts by kind, and the cycles
that LLVM's model of a processor has for them. Counts and simulated cycles, never times.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedeblur.artefact import cpu
from edgedeblur.compile.linking import link
from edgedeblur.errors import UserError
from edgedeblur.estimate.mca import Processor, block_cycles, find_mca, need_mca
from edgedeblur.processes import run_to_end
from edgedeblur.storage.temporary import scratch_folder

SOURCE = Path(__file__).with_name("executed_blocks.c")
TRIPLE = "aarch64-linux-gnu"
SHARE_SIMULATED = 0.998  # of all instructions; what is left are thousands of blocks that run a few times
# Kinds by encoding (Arm ARM, C4.1): those of int8 products that accumulate four or eight at a time.
DOTS = {
    "dot": ((0x9FE0FC00, 0x0E809400), (0x9FC0F400, 0x0F80E000), (0xBFE0FC00, 0x0E809C00)),  # sdot, udot, usdot
    "mmla": ((0xDFE0FC00, 0x4E80A400), (0xFFE0FC00, 0x4E80AC00)),  # smmla, ummla, usmmla
}
_LEAVES = ("bl", "blr", "ret", "svc", "br", "b")

Blocks = Counter  # instructions in hexadecimal, as they lie in memory -> how often the block ran


@dataclass(frozen=True)
class Counts:
    """Instructions of one image, in all and by kind of product."""

    total: int
    dots: dict[str, int]


def build_plugin(folder: Path) -> Path:
    """The compiled plugin for QEMU, for this machine."""
    link.run_compiler(
        [*link.zig_cc_gnu(cpu.architecture()), "-O2", "-shared", "-fPIC", str(SOURCE), "-o", "blocks.so"], folder
    )
    return folder / "blocks.so"


def blocks_of_an_image(run: Callable[[Path, int], None]) -> Blocks:
    """What one image executes: what two images do less what one does, so that loading is not in it.

    Args:
        run: runs the program under QEMU; what the plugin writes to, and how many images.
    """
    with scratch_folder() as folder:
        for images in (1, 2):
            run(folder / str(images), images)
        first, second = (_read(folder / str(images)) for images in (1, 2))
    return Blocks({code: runs - first[code] for code, runs in second.items() if runs > first[code]})


def _read(path: Path) -> Blocks:
    blocks = Blocks()
    for line in path.read_text().splitlines():
        runs, code = line.split()
        blocks[code] += int(runs)
    return blocks


def count(blocks: Blocks) -> Counts:
    """How many instructions they are."""
    dots = {
        kind: sum(runs * sum(_is_any(word, masks) for word in _words(code)) for code, runs in blocks.items())
        for kind, masks in DOTS.items()
    }
    return Counts(sum(runs * len(_words(code)) for code, runs in blocks.items()), dots)


def cycles(blocks: Blocks, core: str) -> float:
    """Cycles of an image by llvm-mca's model of a core: of each block repeated without end, times how often it ran.

    Every load hits the first-level cache and every branch is foreseen. Of the blocks that make up
    `SHARE_SIMULATED` of the instructions; the rest is taken to be like them.
    """
    total, simulated, chosen = count(blocks).total, 0, []
    for code, runs in sorted(blocks.items(), key=lambda item: -item[1] * len(item[0])):
        if simulated >= SHARE_SIMULATED * total:
            break
        chosen.append((code, runs))
        simulated += runs * len(_words(code))
    texts = _disassemble([code for code, _ in chosen], core)
    each = block_cycles([[line for line in text if _stays(line)] for text in texts], Processor(TRIPLE, core))
    return total / simulated * sum(runs * cost for (_, runs), cost in zip(chosen, each, strict=True))


def _words(code: str) -> list[int]:
    return [int.from_bytes(bytes.fromhex(code[start : start + 8]), "little") for start in range(0, len(code), 8)]


def _is_any(word: int, masks: Sequence[tuple[int, int]]) -> bool:
    return any(word & mask == value for mask, value in masks)


def _stays(line: str) -> bool:
    """Whether llvm-mca takes the instruction: not what leaves for another function."""
    return line.split()[0] not in _LEAVES


def _disassemble(codes: Sequence[str], core: str) -> list[list[str]]:
    """Lines of assembly of each block."""
    program = need_mca().with_name(find_mca().name.replace("mca", "mc"))
    octets = [f"0x{code[place : place + 2]}" for code in codes for place in range(0, len(code), 2)]
    given = "\n".join(" ".join(octets[start : start + 4]) for start in range(0, len(octets), 4))
    command = [program, "--disassemble", f"--triple={TRIPLE}", f"--mcpu={core}", "--mattr=+all"]
    done = run_to_end(command, given=given, timeout_s=120)
    lines = iter(line.strip() for line in done.stdout.splitlines() if line.strip() not in ("", ".text"))
    blocks = [[next(lines, "") for _ in _words(code)] for code in codes]
    if done.returncode or "" in blocks[-1] or next(lines, None) is not None:
        raise UserError(f"{program} does not know an instruction: {done.stderr[:300]}")
    return blocks
