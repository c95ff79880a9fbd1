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
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.storage.digests import digest
from edgedeblur.student import TIERS
from edgedeblur.workflow.shipped import shipped_student
from edgedeblur.workflow.workdir import WorkDir

if TYPE_CHECKING:
    from edgedeblur.compile.schedules.tuned import Database
    from edgedeblur.student import Student


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
    precision: str = "int8",
    student: Path | None = None,
) -> ArtefactInfo:
    """`.edq` to `artefact-<target>/` in the work directory, or to another folder.

    Args:
        database: of tuned schedules; None for the work directory's. The shipped one is asked after it.
        tuned: whether to use any.
        threads: where the artefact's caller does not say; None for the target's. output: None for the work directory's.
        dump: a folder for what each stage of the compiler made.
        more_sizes: that the artefact holds too.
        precision: of the GPU's kernels, "int8" or "fp16". student: in fp16, the float student; None for the one in the
            work directory, or the shipped one that the network was made from.

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

    floats = _float_student(loaded, described, precision, student, workdir)
    place, texts = output or workdir.artefact(described.name), nowhere if dump is None else into_folder(dump)
    return compile_network(loaded, described, *size, place, log, databases, texts, more_sizes, floats)


def _float_student(
    network: QuantisedNetwork, target: Target, precision: str, given: Path | None, workdir: WorkDir
) -> "Student | None":
    """The float student that the network was quantised from; None where int8 is asked for.

    Raises:
        UserError: a student without fp16, a target without a GPU, no student or another one.
    """
    if precision == "int8":
        if given is not None:
            raise UserError(f"--student {given} without --precision fp16", "leave it out, or add --precision fp16", 2)
        return None
    if target.gpu is None:
        raise UserError(
            f"--precision {precision} is for a GPU, and target {target.name} has none",
            "compile --target opencl or adreno, or leave out --precision",
            exit_code=2,
        )
    from edgedeblur.student.model_file import load_student  # loads torch

    wanted = network.provenance.get("student_sha256")
    shipped = [shipped_student(tier) for tier in TIERS]
    looked = [given] if given is not None else [path for path in (workdir.student, *shipped) if path.exists()]
    found = next((path for path in looked if digest(path) == wanted), None)
    if found is None:
        raise UserError(
            f"the network was quantised from the student with SHA-256 {wanted}, and {_listed(looked)} is another one"
            if wanted
            else "the network does not say which student it was quantised from",
            "compile --student FILE, with the student that quantize was given",
            exit_code=2,
        )
    return load_student(found)[0]


def _listed(paths: list[Path]) -> str:
    return ", ".join(map(str, paths))
