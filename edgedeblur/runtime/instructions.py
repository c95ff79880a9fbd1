"""How many instructions an image takes, counted by QEMU as it simulates the target's processor."""

from pathlib import Path

import numpy as np

from edgedeblur.artefact import cpu
from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.compile.linking import link
from edgedeblur.errors import UserError
from edgedeblur.processes import run_to_end
from edgedeblur.runtime.program import run_program, runner_for
from edgedeblur.storage.digests import digest
from edgedeblur.storage.files import write_bytes
from edgedeblur.storage.resources import resource_folder
from edgedeblur.storage.temporary import scratch_folder

_SOURCE = "count_instructions.c"


def count_instructions(artefact: ArtefactInfo, image: np.ndarray) -> int:
    """Instructions that one thread executes for one image: what the program executes for three, less that for two.

    Raises:
        UserError: the artefact is native here, its runner is not QEMU's user mode with plugins, or it does not run.
    """
    runner = runner_for(artefact)
    _check_runner(artefact, runner)
    plugin = _plugin()
    fewer, more = (_count_program(artefact, image, runner, plugin, runs) for runs in (1, 2))
    return more - fewer


def _count_program(artefact: ArtefactInfo, image: np.ndarray, runner: tuple[str, ...], plugin: Path, runs: int) -> int:
    """Instructions of the whole program, with its self-test and its first run."""
    with scratch_folder() as folder:
        result = folder / "instructions"
        counting = (runner[0], "-plugin", f"{plugin},out={result}", *runner[1:])
        run_program(artefact, image, runs=runs, warmup=0, threads=1, runner=counting)
        return int(result.read_text())


def _check_runner(artefact: ArtefactInfo, runner: tuple[str, ...]) -> None:
    if not runner:
        raise UserError(
            f"{artefact.path} runs natively here; instructions are counted where QEMU simulates a processor",
            "bench an artefact for another processor, or leave out --count-instructions",
            exit_code=2,
        )
    options = run_to_end([runner[0], "-help"]).stdout
    if not Path(runner[0]).name.startswith("qemu-") or "-plugin" not in options:
        raise UserError(
            f"{runner[0]} takes no plugins, so it cannot count instructions",
            "a QEMU of version 4.2 to 8.2 with plugins, such as Debian's qemu-user, or leave out --count-instructions",
        )


def _plugin() -> Path:
    """The compiled plugin, built for this machine the first time and kept beside zig's cache."""
    source = resource_folder("runtime") / "bench" / _SOURCE
    kept = link.zig_cache().parent / f"{_SOURCE}-{digest(source)[:16]}.so"
    if not kept.is_file():
        with scratch_folder() as folder:
            compiler = link.zig_cc_gnu(cpu.architecture())
            link.run_compiler([*compiler, "-O2", "-shared", "-fPIC", str(source), "-o", "plugin.so"], folder)
            write_bytes(kept, (folder / "plugin.so").read_bytes())
    return kept
