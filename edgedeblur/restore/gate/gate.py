"""Flags of a frame from its measures, and what is done with it: restored, passed as it is, or the last output again."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from edgedeblur.restore.gate.measures import Measures, grey, measure

Action = Literal["restored", "passed", "repeated"]

FLAGS = {
    "blank": "even all over: a covered lens, a lost signal",
    "dark": "too dark",
    "overexposed": "mostly white",
    "frozen": "the frame before it once more",
    "torn": "parts of two frames",
    "damaged": "broken blocks of a codec",
    "cut": "another scene than the frame before",
    "sharp": "sharp enough",
}
"""In the order of a log's lines."""

_NOT_RESTORED = {"blank", "dark", "overexposed", "torn", "damaged", "sharp"}


@dataclass(frozen=True)
class GateLimits:
    """Where a measure becomes a flag; docs/frame-gate.md says what each was measured to miss and to flag wrongly.

    blur: sharp below this score. bright: dark below this 95th percentile. overexposed: share of pixels. contrast: blank
    below this deviation of the thumbnail. change: frozen at or below. tear, first_tear: torn above, with a frame before
    it and without. blocks, natural: damaged with so many broken segments beyond the natural ones, and
    so many times their square root (as counts of a Poisson process). likeness: a cut below.
    """

    blur: float = 0.3
    bright: float = 40
    overexposed: float = 0.5
    contrast: float = 2.0
    change: float = 0.05
    tear: float = 0.1
    first_tear: float = 0.3
    blocks: float = 12
    natural: float = 5
    likeness: float = 0.4


@dataclass(frozen=True)
class Judgement:
    """Of one frame. flags: of `FLAGS`."""

    measures: Measures
    flags: tuple[str, ...]
    action: Action


def flags_of(measures: Measures, limits: GateLimits) -> tuple[str, ...]:
    """The flags that a frame's measures give, in the order of `FLAGS`."""
    beyond = measures.blocks - measures.natural_blocks
    first = measures.change is None
    blank = measures.contrast < limits.contrast
    flagged = {
        "blank": blank,
        "dark": measures.bright < limits.bright,
        "overexposed": measures.overexposed > limits.overexposed,
        "frozen": not first and measures.change <= limits.change,
        "torn": measures.tear > (limits.first_tear if first else limits.tear),
        "damaged": beyond > max(limits.blocks, limits.natural * np.sqrt(measures.natural_blocks)),
        "cut": not first and measures.likeness < limits.likeness,
        "sharp": not blank and measures.blur < limits.blur,
    }
    return tuple(name for name in FLAGS if flagged[name])


class Gate:
    """Judges frames in their order and keeps what the next judgement needs.

    Args:
        limits: where measures become flags.
        log: told every judgement, as JSON values with units in the names.
    """

    def __init__(self, limits: GateLimits, log: Callable[[dict], None]):
        self._limits, self._log = limits, log
        self._before: np.ndarray | None = None
        self._output: np.ndarray | None = None
        self.actions: Counter[str] = Counter()
        self.flags: Counter[str] = Counter()
        self.part_lines: list[dict] = []

    def judge(self, frame: np.ndarray, place: dict) -> Judgement:
        """What to do with a frame.

        Args:
            frame: uint8 [H, W, 3] RGB.
            place: which one it is; goes into the log as it is.
        """
        luminance = grey(frame)
        measures = measure(luminance, self._before)
        self._before = luminance
        flags = flags_of(measures, self._limits)
        action: Action = "restored"
        if "frozen" in flags and self._output is not None and self._output.shape == frame.shape:
            action = "repeated"
        elif _NOT_RESTORED & set(flags):
            action = "passed"
        line = {**place, "action": action, "flags": list(flags), **_rounded(measures)}
        self._note(line)
        self.part_lines.append(line)
        return Judgement(measures, flags, action)

    def apply(self, frame: np.ndarray, action: Action, restore: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """The output for a frame that has just been judged; `restore` is called only where it is needed."""
        if action != "repeated":
            self._output = frame if action == "passed" else restore(frame)
        return self._output

    def begin_part(self) -> None:
        """From here on the judgements depend on the frame before alone, and `part_lines` are those from here on: what a
        run that is resumed here does too."""
        self._output = None
        self.part_lines = []

    def resume(self, lines: list[dict]) -> None:
        """Counts and logs the lines of an earlier run."""
        for line in lines:
            self._note(line)

    def look_at(self, frame: np.ndarray) -> None:
        """The frame before the next, uint8 [H, W, 3] RGB, where an earlier run has judged it."""
        self._before = grey(frame)

    def _note(self, line: dict) -> None:
        self.actions[line["action"]] += 1
        self.flags.update(line["flags"])
        self._log(line)

    def sentence(self) -> str:
        """How many frames of which kind there were."""
        done = ", ".join(f"{self.actions[action]} {action}" for action in ("restored", "passed", "repeated"))
        found = ", ".join(f"{name} {self.flags[name]}" for name in FLAGS if self.flags[name])
        return f"gate: {done}" + (f" ({found})" if found else "")


def _rounded(measures: Measures) -> dict:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(measures).items()}
