"""llvm-mca: cycles that basic blocks take on a processor, by LLVM's model of its pipelines.

https://llvm.org/docs/CommandGuide/llvm-mca.html. Every load hits the first-level cache and every branch is predicted;
what is lost otherwise is for its caller to add.
"""

import hashlib
import re
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from subprocess import SubprocessError, TimeoutExpired

from edgedeblur.errors import UserError
from edgedeblur.processes import run_to_end
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import parse_json
from edgedeblur.storage.places import cache_folder
from edgedeblur.storage.records import Rules, read_record

PACKAGE = "llvm-22"
_ITERATIONS = (6, 18)  # the first fill the pipelines; the difference is the steady state
_PROGRAMS = ("/usr/lib/llvm-22/bin/llvm-mca", "llvm-mca-22", "llvm-mca")
_OLDEST = 19  # the first whose model of Zen 4 and JSON are both complete
# Where LLVM's tables are wrong: instructions with the same operands and the real one's pipes and latency stand in.
# Zen 4 starts a 512-bit `vpdpbusd` or `vpdpwssd` each cycle, as it does `vfmadd231ps` (LLVM 22: every other cycle), and
# a broadcast from memory is a load, two a cycle, as LLVM has `vmovups` (LLVM 22: one a cycle, in a vector pipe).
# probe.c measures them.
_ZEN4 = ((r"^(\s*)vpdp(busd|wssd)\b", r"\1vfmadd231ps"), (r"^(\s*)vpbroadcastd(\s.*\), %zmm)", r"\1vmovups\2"))
_CORRECTIONS = {"znver4": _ZEN4, "znver5": _ZEN4}
_VERSION = re.compile(r"LLVM version (\d+)\.[\d.]+")
_TIMEOUT_S = 120


@dataclass(frozen=True)
class Processor:
    """What llvm-mca simulates, by LLVM's names: triple, cpu and features ("+dotprod")."""

    triple: str
    cpu: str
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Summary:
    TotalCycles: int


@dataclass(frozen=True)
class _Region:
    Name: str
    SummaryView: _Summary


@dataclass(frozen=True)
class _Simulation:
    """What is read of llvm-mca's JSON, by its own names."""

    CodeRegions: list[_Region]


def find_mca() -> Path | None:
    """The newest llvm-mca on this machine that is new enough, None where there is none."""
    names = [*_PROGRAMS, *(f"llvm-mca-{version}" for version in range(30, _OLDEST - 1, -1))]
    for name in names:
        path = shutil.which(name)
        if path is not None and version(Path(path)) is not None:
            return Path(path)
    return None


def version(program: Path) -> str | None:
    """Its version, None where it does not run or is too old."""
    try:
        text = run_to_end([program, "--version"], timeout_s=30, check=True).stdout
    except (OSError, SubprocessError):
        return None
    found = _VERSION.search(text)
    return found[0].removeprefix("LLVM version ") if found and int(found[1]) >= _OLDEST else None


def host_cpu() -> str:
    """LLVM's name of this machine's processor.

    Raises:
        UserError: llvm-mca is not installed.
    """
    text = run_to_end([need_mca(), "--version"], timeout_s=30, check=True).stdout
    found = re.search(r"Host CPU: (\S+)", text)
    return found[1] if found else "generic"


def need_mca() -> Path:
    """llvm-mca.

    Raises:
        UserError: it is not installed.
    """
    program = find_mca()
    if program is None:
        raise UserError(
            f"llvm-mca {_OLDEST} or newer is not installed; it knows how many cycles machine code takes",
            f"apt-get install {PACKAGE}, or the newest from llvm-{_OLDEST} on that this system has",
        )
    return program


def need_model(isa: str) -> None:
    """Raises UserError for an instruction set that llvm-mca models on no processor."""
    if isa == "amx":
        raise UserError(
            "there is no estimate of amx kernels: llvm-mca has no model of AMX, for any processor",
            "measure them on a machine with AMX: edgedeblur bench",
        )


def block_cycles(blocks: Sequence[Sequence[str]], processor: Processor, cache: Path | None = None) -> list[float]:
    """Cycles per run of each block of instructions, run again and again.

    Args:
        blocks: lines of assembly without labels, calls and returns; one without lines takes none.
        cache: a database of what was simulated before; None: `default_cache()`.

    Raises:
        UserError: llvm-mca is missing, or does not know the processor or an instruction.
    """
    texts = ["\n".join(_corrected(line, processor.cpu) for line in block) for block in blocks]
    wanted = sorted(set(texts) - {""})
    with closing(_open(cache or default_cache())) as database:
        program = need_mca()
        simulator = f"{version(program)} {_ITERATIONS}"
        keys = {text: _key(simulator, processor, text) for text in wanted}
        known = _read(database, keys)
        missing = [text for text in wanted if text not in known]
        if missing:
            found = dict(zip(missing, _simulate(program, missing, processor), strict=True))
            database.executemany("insert or replace into cycles values (?, ?)", [(keys[t], found[t]) for t in missing])
            database.commit()
            known |= found
    return [known[text] if text else 0.0 for text in texts]


def default_cache() -> Path:
    """Beside zig's: in the user's cache folder."""
    return cache_folder() / "mca.sqlite"


def _corrected(line: str, cpu: str) -> str:
    for wrong, right in _CORRECTIONS.get(cpu, ()):
        line = re.sub(wrong, right, line)
    return line


def _simulate(program: Path, texts: list[str], processor: Processor) -> list[float]:
    marked = "".join(f"# LLVM-MCA-BEGIN b{i}\n{text}\n# LLVM-MCA-END b{i}\n" for i, text in enumerate(texts))
    few, many = (_cycles(program, marked, processor, iterations) for iterations in _ITERATIONS)
    rounds = _ITERATIONS[1] - _ITERATIONS[0]
    return [max(0.0, (later - earlier) / rounds) for earlier, later in zip(few, many, strict=True)]


def _cycles(program: Path, assembly: str, processor: Processor, iterations: int) -> list[int]:
    command = [
        program,
        f"-mtriple={processor.triple}",
        f"-mcpu={processor.cpu}",
        f"-mattr={','.join(processor.features)}",
    ]
    command += [f"-iterations={iterations}", "-json", "-instruction-info=0", "-resource-pressure=0"]
    try:
        done = run_to_end(command, given=assembly, timeout_s=_TIMEOUT_S)
    except (OSError, TimeoutExpired) as error:
        raise UserError(f"{program} failed: {error}") from None
    try:
        origin = Origin(str(program))
        found = read_record(_Simulation, parse_json(done.stdout, origin), Rules(origin, further_keys=True))
        cycles = {region.Name: region.SummaryView.TotalCycles for region in found.CodeRegions}
        return [cycles[f"b{index}"] for index in range(assembly.count("# LLVM-MCA-BEGIN"))]
    except (UserError, KeyError):
        reason = "\n".join((done.stderr or done.stdout).strip().splitlines()[:4])
        raise UserError(f"{program} cannot simulate {processor.cpu}: {reason}", f"apt-get install {PACKAGE}") from None


def _key(simulator: str, processor: Processor, text: str) -> str:
    parts = (simulator, processor.triple, processor.cpu, *processor.features, text)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _open(cache: Path) -> sqlite3.Connection:
    """The cache; what cannot be written or read is replaced by one in memory."""
    for path in (str(cache), ":memory:"):
        try:
            if path != ":memory:":
                cache.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(path, timeout=30)
            database.execute("create table if not exists cycles (block text primary key, cycles real) without rowid")
            return database
        except (OSError, sqlite3.Error):
            continue
    raise AssertionError("sqlite has no database in memory")


def _read(database: sqlite3.Connection, keys: dict[str, str]) -> dict[str, float]:
    known = {}
    for text, key in keys.items():
        row = database.execute("select cycles from cycles where block = ?", (key,)).fetchone()
        if row is not None:
            known[text] = row[0]
    return known
