"""Inputs that are nearly sharp already, as a group of their own: a network must not make slight blur worse, and in a
mean over pairs with much to gain such a loss does not show."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

ABOVE_DB = 36.0
EQUAL_DB = 100.0  # from here an input is its sharp image, and a gain over it has no meaning


class Scored(Protocol):
    """`edgedeblur.restore.evaluation.evaluate.Score`."""

    @property
    def psnr_db(self) -> float: ...


class ScoredPair(Protocol):
    """`edgedeblur.restore.evaluation.evaluate.PairScores`."""

    @property
    def group(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def blurred(self) -> Scored: ...
    @property
    def models(self) -> Sequence[Scored]: ...


@dataclass(frozen=True)
class NearlySharpModel:
    """A model on the group. A gain below zero is a loss. The first three are None without a pair in the group, the
    last two without an input that is its sharp image."""

    mean_gain_db: float | None
    worst_gain_db: float | None
    worst_pair: str | None
    equal_mean_db: float | None
    equal_worst_db: float | None


@dataclass(frozen=True)
class NearlySharp:
    """pairs: inputs with a PSNR above `above_db` to their sharp image; models: in the evaluation's order.

    equal: inputs that are their sharp image. They are counted apart, and what a model gives for them is measured to the
    input, since there is nothing to gain.
    """

    above_db: float
    pairs: int
    equal: int
    models: list[NearlySharpModel]


def nearly_sharp(pairs: Sequence[ScoredPair]) -> NearlySharp:
    """The group among all pairs of an evaluation."""
    near = [pair for pair in pairs if ABOVE_DB < pair.blurred.psnr_db < EQUAL_DB]
    equal = [pair for pair in pairs if pair.blurred.psnr_db >= EQUAL_DB]
    models = [_model(near, equal, index) for index in range(len(pairs[0].models))]
    return NearlySharp(ABOVE_DB, len(near), len(equal), models)


def nearly_sharp_lines(found: NearlySharp, names: Sequence[str]) -> list[str]:
    """The group in words, a line per model."""
    lines = [f"nearly sharp inputs (above {found.above_db:g} dB to their sharp image): {found.pairs or 'none'}"]
    for name, model in zip(names, found.models, strict=True):
        said = []
        if model.mean_gain_db is not None:
            said.append(f"mean {model.mean_gain_db:+.2f} dB, worst {model.worst_gain_db:+.2f} dB ({model.worst_pair})")
        if model.equal_mean_db is not None:
            said.append(
                f"{found.equal} more identical to their sharp image: mean {model.equal_mean_db:.1f} dB after "
                f"restoration, worst {model.equal_worst_db:.1f} dB"
            )
        if said:
            lines.append(f"  {name}: {'; '.join(said)}")
    return lines


def _model(near: Sequence[ScoredPair], equal: Sequence[ScoredPair], index: int) -> NearlySharpModel:
    gains = [(pair.models[index].psnr_db - pair.blurred.psnr_db, f"{pair.group}/{pair.name}") for pair in near]
    kept = [min(pair.models[index].psnr_db, EQUAL_DB) for pair in equal]
    worst, where = min(gains, default=(None, None))
    mean = statistics.fmean(gain for gain, _ in gains) if gains else None
    return NearlySharpModel(mean, worst, where, *((statistics.fmean(kept), min(kept)) if kept else (None, None)))
