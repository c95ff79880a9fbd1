"""What is done with one frame of a folder or video: judged by the gate, then restored, passed on or repeated."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedeblur.restore.gate.gate import Action, Gate, GateLimits
from edgedeblur.storage.files import atomic_path


@dataclass(frozen=True)
class FrameRestorer:
    """restore: uint8 [H, W, 3] RGB to the same shape. gate: None restores every frame."""

    restore: Callable[[np.ndarray], np.ndarray]
    gate: Gate | None = None

    def __call__(self, frame: np.ndarray, place: dict) -> tuple[np.ndarray, Action]:
        """The output for a frame, and how it came about.

        Args:
            frame: uint8 [H, W, 3] RGB.
            place: source, frame number and seconds; for the gate's log.
        """
        if self.gate is None:
            return self.restore(frame), "restored"
        action = self.gate.judge(frame, place).action
        return self.gate.apply(frame, action, self.restore), action


@contextlib.contextmanager
def gate_with_log(limits: GateLimits, log: Path) -> Iterator[Gate]:
    """A gate whose judgements become lines of JSON in a file, which is there when the block has ended without an error.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_path(log) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield Gate(limits, lambda line: file.write(json.dumps(line, allow_nan=False) + "\n"))
