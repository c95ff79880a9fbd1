"""Which steps of `edgedeblur run` are finished: options, inputs and outputs of each, by their digests."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedeblur import __version__
from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.digests import digest
from edgedeblur.storage.documents import read_json
from edgedeblur.storage.files import write_json

STATE_FILE = "run-state.json"


@dataclass(frozen=True)
class Step:
    """One step of `edgedeblur run`.

    Attributes:
        name: shown, and the key in the state file.
        options: JSON values that the result depends on.
        inputs: files and folders whose content it depends on; those that do not exist count as absent.
        outputs: files and folders that it makes.
        run: does it; told whether the same step, with the same options and inputs, was started before and interrupted.
    """

    name: str
    options: dict
    inputs: Sequence[Path]
    outputs: Sequence[Path]
    run: Callable[[bool], None]


def run_steps(
    root: Path, steps: Sequence[Step], log: Callable[[str], None], finished: list[str] | None = None
) -> list[str]:
    """Run what is not finished, in order; returns the names of the steps that ran.

    Args:
        finished: gets the name of each step that is finished, as soon as it is.

    A step is finished when it ran with the same options and input contents and its outputs are still what it made.
    A later step notices by itself: its inputs are the earlier one's outputs. The state is written when a step begins
    and when it is finished, so an interrupted run resumes with the step that was interrupted.
    """
    state_file = root / STATE_FILE
    state = _read_state(state_file)
    ran, finished = [], [] if finished is None else finished
    for index, step in enumerate(steps, start=1):
        label = f"[{index}/{len(steps)}] {step.name}"
        key = _key(step)
        if state.get(step.name) == {"key": key, "outputs": _digests(step.outputs)} and _complete(step):
            log(f"{label}: finished before, kept")
            finished.append(step.name)
            continue
        begun = state.get(step.name) == {"key": key, "outputs": None}
        log(f"{label}: resumed" if begun else label)
        _record(state_file, state, step.name, key, None)
        step.run(begun)
        _record(state_file, state, step.name, key, _digests(step.outputs))
        ran.append(step.name)
        finished.append(step.name)
    return ran


def _record(state_file: Path, state: dict, name: str, key: str, outputs: list[str | None] | None) -> None:
    state[name] = {"key": key, "outputs": outputs}
    write_json(state_file, state)


def _key(step: Step) -> str:
    text = json.dumps([__version__, step.options, _digests(step.inputs)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _digests(paths: Sequence[Path]) -> list[str | None]:
    """Digests in order, without the paths: a work directory may be moved."""
    return [digest(path) for path in paths]


def _complete(step: Step) -> bool:
    return all(path.exists() for path in step.outputs)


def _read_state(path: Path) -> dict:
    """The state, or an empty one: a damaged state file costs the work again, never the run."""
    try:
        return read_json(path, Origin(str(path)))
    except UserError:
        return {}
