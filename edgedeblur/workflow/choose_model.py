"""The model or teacher that a command takes when none is named."""

from dataclasses import dataclass
from pathlib import Path

from edgedeblur.artefact import cpu
from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_json
from edgedeblur.storage.records import Rules, read_record
from edgedeblur.workflow.shipped import DEFAULT_TIER, shipped_network, shipped_teacher
from edgedeblur.workflow.workdir import WorkDir


@dataclass(frozen=True)
class _Target:
    triple: str


@dataclass(frozen=True)
class _Manifest:
    """What is read of a manifest here."""

    target: _Target


def default_model(workdir: WorkDir, interpreter: bool = False) -> Path:
    """The work directory's most finished model that runs in this process (an artefact for this machine, else the
    quantised network, else the student), else the shipped int8 network of the default tier: what its artefact gives,
    byte for byte, though slowly. With `interpreter`, only quantised networks count."""
    native = [path for path in workdir.artefacts() if _runs_in_process(path)]
    candidates = [workdir.quantised] if interpreter else [*native, workdir.quantised, workdir.student]
    found = next((path for path in candidates if path.exists()), None)
    return found or shipped_network(DEFAULT_TIER)


def default_teacher(workdir: WorkDir) -> Path:
    """The work directory's own, from `train`, else the shipped one."""
    return workdir.teacher if workdir.teacher.exists() else shipped_teacher()


def _runs_in_process(artefact: Path) -> bool:
    """Whether it is for this machine; the simulation of another takes minutes for a picture."""
    path = artefact / "manifest.json"
    origin = Origin(str(path))
    try:
        found = read_record(_Manifest, read_json(path, origin), Rules(origin, further_keys=True))
    except UserError:
        return False
    triple = found.target.triple
    return triple.split("-")[0] == cpu.architecture() and "android" not in triple
