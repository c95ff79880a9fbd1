"""An `.edq` file to an artefact."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.artefact.target import Target, database_name, load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.dump import into_folder, nowhere
from edgedeblur.errors import UserError
from edgedeblur.progress import Log
from edgedeblur.quantize.edq import load_edq
from edgedeblur.workflow.workdir import WorkDir

if TYPE_CHECKING:
    from edgedeblur.compile.schedules.tuned import Database


def compile_step(
    network: Path,
    target: str,
    size: tuple[int, int],
    workdir: WorkDir,
    log: Log,
    database: Path | None = None,
    tuned: bool = True,
    threads: int | None = None,
    output: Path | None = None,
    dump: Path | None = None,
    more_sizes: Sequence[tuple[int, int]] = (),
) -> ArtefactInfo:
    """`.edq` to `artefact-<target>/` in the work directory, or to another folder.

    Args:
        database: of tuned schedules; None for the work directory's. The shipped one is asked after it.
        tuned: whether to use any.
        threads: where the artefact's caller does not say; None for the target's. output: None for the work directory's.
        dump: a folder for what each stage of the compiler made.
        more_sizes: that the artefact holds too.

    Raises:
        UserError: no network or target, a size that does not fit, a missing or failing tool, a missing or bad database.
    """
    described, loaded = load_target(target), load_edq(network)
    described = replace(described, threads=threads or described.threads)
    if database is not None and not database.exists():
        raise UserError(f"no {database}", f"make it with: edgedeblur tune --database {database}")

    def databases(one: Target) -> "list[Database]":
        from edgedeblur.compile.schedules.choose import databases_for  # loads TVM

        return databases_for(one, database or workdir.tuned(database_name(one))) if tuned else []

    place, texts = output or workdir.artefact(described.name), nowhere if dump is None else into_folder(dump)
    return compile_network(loaded, described, *size, place, log, databases, texts, more_sizes)
