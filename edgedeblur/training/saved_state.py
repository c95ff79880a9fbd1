"""Where the state of a training run is kept, from its first checkpoint on to when it is finished.

<output>.state.pt     of a run that was interrupted: --resume starts from it, and no other run replaces it
<output>.finished.pt  of a run whose output is written: --resume with a later end starts from it too
"""

import os
import shlex
from pathlib import Path

from edgedeblur import command_line
from edgedeblur.errors import UserError


def state_path(output: Path) -> Path:
    """Where the state of a run that writes `output` is kept while it is not finished."""
    return output.with_suffix(".state.pt")


def finished_path(output: Path) -> Path:
    """Where it is kept afterwards."""
    return output.with_suffix(".finished.pt")


def path_to_resume(output: Path) -> Path:
    """The state that --resume starts from: the interrupted run's, else the finished one's; it need not exist."""
    interrupted, finished = state_path(output), finished_path(output)
    return interrupted if interrupted.exists() or not finished.exists() else finished


def mark_finished(output: Path) -> None:
    """Called when the output has been written."""
    if state_path(output).exists():
        os.replace(state_path(output), finished_path(output))


def refuse_to_replace(output: Path) -> None:
    """Call it before a new run.

    Raises:
        UserError: the state of an interrupted run is there, which the new one would write over.
    """
    path = state_path(output)
    if not path.exists():
        return
    step, began_by = _facts(path)
    resume = f"to resume: {command_line.resuming(began_by)}" if began_by else command_line.how_to_resume()
    remove = f"rm {shlex.quote(str(path))}"
    again = command_line.typed(command_line.words())
    raise UserError(
        f"{path} is the saved state of an interrupted run{step}; a new run would write over it",
        f"{resume}\n  to start over: {remove}{f' && {again}' if again else ', then the same again'}",
    )


def command_to_keep() -> dict | None:
    """What the state's file keeps of the command that made it; None where no command would make sense later."""
    words = command_line.words()
    return None if words is None else {"words": words, "folder": os.getcwd()}


def _facts(path: Path) -> tuple[str, list[str] | None]:
    """ " at step N" or nothing, and the words of the command that began the run, where they mean the same here."""
    from edgedeblur.training.state import read_training_state  # loads torch

    try:
        content = read_training_state(path)
    except Exception:  # damaged: torch raises what it stumbles over
        return "", None
    command = content.get("command")
    step = f" at step {content['step']}"
    if not isinstance(command, dict) or command.get("folder") != os.getcwd():
        return step, None
    words = command.get("words")
    known = isinstance(words, list) and all(isinstance(word, str) for word in words)
    return step, list(words) if known else None
