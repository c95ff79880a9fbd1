"""Runs the bench program of an artefact with kernels for a GPU, with a double of the driver."""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from artefacts import HEIGHT, WIDTH, expected

from edgedeblur.artefact.folder import ArtefactInfo


@dataclass(frozen=True)
class Outcome:
    """What the bench program did: its result (None where it failed), its output image, what it said."""

    result: dict | None
    output: np.ndarray | None
    said: str


def run_with(artefact: ArtefactInfo, library: str | Path, folder: Path, *options: str, **environment: str) -> Outcome:
    """One image, `in.rgb` of the folder, after the self-test.

    Args:
        library: of the driver.
        environment: for a double of it: ED_DOUBLE_ and these names.
    """
    command = [artefact.bench, "--gpu-library", library, "--input", folder / "in.rgb"]
    command += ["--output", folder / "out.rgb", "--runs", "1", "--warmup", "0", *options]
    told = {f"ED_DOUBLE_{name.upper()}": value for name, value in environment.items()}
    done = subprocess.run(command, env=os.environ | told, capture_output=True, text=True)
    assert done.returncode in (0, 1), done
    if done.returncode:
        return Outcome(None, None, done.stderr)
    output = np.fromfile(folder / "out.rgb", np.uint8).reshape(HEIGHT, WIDTH, 3)
    return Outcome(json.loads(done.stdout), output, done.stderr)


def check_cpu(outcome: Outcome, said: str) -> None:
    """The CPU restored the image, and the program said why."""
    assert outcome.result is not None, outcome.said
    assert outcome.result["unit"] == "cpu" and "gpu" not in outcome.result
    np.testing.assert_array_equal(outcome.output, expected())
    assert "the CPU computes: " in outcome.said and re.search(said, outcome.said), outcome.said
