"""What `bench --adb` is told: its options, checked, and the smaller networks among which the governor may choose, read.

A program holds one network; each of these has its own, and they take turns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedeblur.artefact.folder import ArtefactInfo, load_artefact
from edgedeblur.bench.governed import parse_levels
from edgedeblur.bench.measure import MAX_SECONDS
from edgedeblur.errors import UserError

MAX_MINUTES = 24 * 60.0
MAX_LIGHTER = 3  # of edgedeblur-bench --network


@dataclass(frozen=True)
class PhoneOptions:
    """What only a phone has.

    cores: "4-7": run there only; None: the big cores. cooldown_c: wait for this temperature first.
    sustained_minutes: run back to back so long, after the timed runs. governor: and then as long under the governor,
    with these levels ("4,4@20,2@10"), "" for its own; None: not. lighter: artefacts of smaller networks that it may
    choose too. timeout_s: longest time without a sign from the phone. clean: remove all files of edgedeblur from the
    phone at the end.
    """

    cores: str | None = None
    cooldown_c: float | None = None
    sustained_minutes: float | None = None
    governor: str | None = None
    lighter: tuple[Path, ...] = ()
    timeout_s: float = 60.0
    clean: bool = False

    def __post_init__(self):
        if self.sustained_minutes is not None and not 0 < self.sustained_minutes <= MAX_MINUTES:
            raise UserError(f"--sustained {self.sustained_minutes:g}; above 0 to {MAX_MINUTES:g} minutes", exit_code=2)
        if self.governor is not None and self.sustained_minutes is None:
            raise UserError("--governor is for a sustained run", "add --sustained MINUTES", exit_code=2)
        if self.lighter and self.governor is None:
            raise UserError("--lighter is for the governor", "add --governor", exit_code=2)
        if len(self.lighter) > MAX_LIGHTER:
            raise UserError(f"--lighter {len(self.lighter)} times; at most {MAX_LIGHTER}", exit_code=2)
        if self.governor:
            parse_levels(self.governor, [str(path) for path in self.lighter])
        if not 0 < self.timeout_s <= MAX_SECONDS:
            raise UserError(f"--timeout {self.timeout_s:g}; above 0 to {MAX_SECONDS:g} seconds", exit_code=2)
        if self.cooldown_c is not None and not 0 <= self.cooldown_c <= 100:
            raise UserError(f"--cooldown {self.cooldown_c:g}; 0 to 100 degrees Celsius", exit_code=2)


def load_lighter(artefact: ArtefactInfo, paths: Sequence[Path]) -> tuple[ArtefactInfo, ...]:
    """The artefacts in these folders, each of a smaller network than the one before.

    Raises:
        UserError: what `load_artefact` refuses; one of another target or size, or not smaller.
    """
    found: list[ArtefactInfo] = []
    for path in paths:
        other, before = load_artefact(path), (artefact, *found)[-1]
        if other.target.name != artefact.target.name:
            raise UserError(
                f"{path} is for the target {other.target.name}, not {artefact.target.name}",
                f"compile it for that: edgedeblur compile --target {artefact.target.name}",
                exit_code=2,
            )
        if (other.height, other.width) != (artefact.height, artefact.width):
            sizes = [f"{each.height}x{each.width}" for each in (other, artefact)]
            told = f"{path} is for images of {sizes[0]} (height x width), not {sizes[1]}"
            raise UserError(told, f"compile it with --size {sizes[1]}", exit_code=2)
        if macs(other) >= macs(before):
            told = f"{path} computes {macs(other) / 1e9:.2f} GMAC an image, {before.path} {macs(before) / 1e9:.2f}"
            raise UserError(told, "--lighter is for smaller networks, the smallest last", exit_code=2)
        found.append(other)
    return tuple(found)


def macs(artefact: ArtefactInfo) -> int:
    """Multiply-accumulates of an image."""
    return artefact.manifest["macs"]
