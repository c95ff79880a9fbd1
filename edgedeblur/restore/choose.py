"""The model that `deblur` and `inspect` take when none is named."""

import json
from pathlib import Path

from edgedeblur.compile import cpu
from edgedeblur.shipped import DEFAULT_TIER, shipped_network
from edgedeblur.workdir import WorkDir


def default_model(workdir: WorkDir) -> Path:
    """The work directory's most finished model that runs in this process (an artefact for this machine, else the
    quantised network, else the student), else the shipped int8 network of the default tier: what its artefact gives,
    byte for byte, though slowly."""
    native = [path for path in workdir.artefacts() if _runs_in_process(path)]
    candidates = [*native, workdir.quantised, workdir.student]
    found = next((path for path in candidates if path.exists()), None)
    return found or shipped_network(DEFAULT_TIER)


def _runs_in_process(artefact: Path) -> bool:
    """Whether it is for this machine; the simulation of another takes minutes for a picture."""
    try:
        triple = json.loads((artefact / "manifest.json").read_text())["target"]["triple"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return triple.split("-")[0] == cpu.architecture() and "android" not in triple
