"""PSNR and SSIM of several models on pairs by a protocol: RGB, full frame, uint8, no border crop."""

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np

from edgedeblur.metrics import psnr, ssim
from edgedeblur.progress import Progress
from edgedeblur.restore.open import Restorer
from edgedeblur.restore.protocol import STANDARD, EvaluationProtocol

ALL = "all"


class Pair(Protocol):
    """What is evaluated on: `edgedeblur.data.pairs.Pair`, or a pair in memory."""

    @property
    def group(self) -> str: ...
    @property
    def name(self) -> str: ...
    def read(self) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True)
class PairInMemory:
    """blur, sharp: uint8 [H, W, 3] RGB of one size."""

    group: str
    name: str
    blur: np.ndarray
    sharp: np.ndarray

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        return self.blur, self.sharp


@dataclass(frozen=True)
class Score:
    """psnr_db is infinite for equal images. ms: time for the image, tiling included; None for the blurred input."""

    psnr_db: float
    ssim: float
    ms: float | None = None


@dataclass(frozen=True)
class PairScores:
    """models: a score per evaluated model, in order."""

    group: str
    name: str
    height: int
    width: int
    blurred: Score
    models: list[Score]


@dataclass(frozen=True)
class EvaluatedModel:
    """sha256: of the file; for an artefact, of the quantised network that it was compiled from."""

    name: str
    kind: str
    path: str
    sha256: str
    parameters: int
    gmac: float | None


@dataclass(frozen=True)
class Evaluation:
    """protocol: its name; ssim: the kind that was measured, one of `edgedeblur.metrics.SSIM_KINDS`."""

    models: list[EvaluatedModel]
    pairs: list[PairScores]
    protocol: str
    ssim: str


@dataclass(frozen=True)
class GroupMeans:
    """Means over a group's pairs; ms is the median, which one slow first image does not move."""

    group: str
    pairs: int
    blurred: Score
    models: list[Score]


def evaluate(
    pairs: Sequence[Pair],
    restorers: Sequence[Restorer],
    progress: Progress,
    protocol: EvaluationProtocol = STANDARD,
    ssim_kind: str | None = None,
) -> Evaluation:
    """Restore every blurred image with every model and compare it with the sharp one.

    Args:
        ssim_kind: one of `edgedeblur.metrics.SSIM_KINDS`; None is the protocol's.

    Raises:
        UserError: a pair that cannot be read, or a model that cannot take it.
    """
    measure = _Measure(protocol, ssim_kind or protocol.ssim)
    restorers = [protocol.restorer(restorer) for restorer in restorers]
    scores = []
    for index, pair in enumerate(pairs, start=1):
        blur, sharp = pair.read()
        blurred = measure.score(blur, sharp)
        models = [measure.restored(restorer, blur, sharp) for restorer in restorers]
        scores.append(PairScores(pair.group, pair.name, *blur.shape[:2], blurred, models))
        progress(f"{pair.group}/{pair.name}", index, len(pairs))
    names = _distinct_names(restorers)
    models = [
        EvaluatedModel(name, r.kind, str(r.path), r.sha256, r.parameters, r.gmac)
        for name, r in zip(names, restorers, strict=True)
    ]
    return Evaluation(models, scores, protocol.name, measure.ssim)


def group_means(evaluation: Evaluation) -> list[GroupMeans]:
    """The means of each group in order of appearance and, where there are several, of all pairs, as `ALL`."""
    groups = list(dict.fromkeys(pair.group for pair in evaluation.pairs))
    means = [_means(group, [pair for pair in evaluation.pairs if pair.group == group]) for group in groups]
    return means if len(means) == 1 else [*means, _means(ALL, evaluation.pairs)]


def evaluation_json(evaluation: Evaluation) -> dict:
    """Everything as JSON values; an infinite PSNR (equal images) is null."""
    return {
        "protocol": evaluation.protocol,
        "ssim": evaluation.ssim,
        "models": [asdict(model) for model in evaluation.models],
        "means": [_finite(asdict(means)) for means in group_means(evaluation)],
        "pairs": [_finite(asdict(pair)) for pair in evaluation.pairs],
    }


@dataclass(frozen=True)
class _Measure:
    protocol: EvaluationProtocol
    ssim: str

    def score(self, image: np.ndarray, sharp: np.ndarray, ms: float | None = None) -> Score:
        return Score(min(psnr(image, sharp), self.protocol.equal_db), ssim(image, sharp, self.ssim), ms)

    def restored(self, restorer: Restorer, blur: np.ndarray, sharp: np.ndarray) -> Score:
        start = time.perf_counter()
        restored = restorer.restore(blur)
        return self.score(restored, sharp, (time.perf_counter() - start) * 1e3)


def _means(group: str, pairs: Sequence[PairScores]) -> GroupMeans:
    columns = zip(*(pair.models for pair in pairs), strict=True)
    return GroupMeans(group, len(pairs), _mean([pair.blurred for pair in pairs]), [_mean(list(c)) for c in columns])


def _mean(scores: Sequence[Score]) -> Score:
    times = [score.ms for score in scores if score.ms is not None]
    return Score(
        statistics.fmean(score.psnr_db for score in scores),
        statistics.fmean(score.ssim for score in scores),
        statistics.median(times) if times else None,
    )


def _distinct_names(restorers: Sequence[Restorer]) -> list[str]:
    """Each model's name, with its folder where two models have the same."""
    names = [restorer.name for restorer in restorers]
    return [
        f"{restorer.path.absolute().parent.name}/{name}" if names.count(name) > 1 else name
        for restorer, name in zip(restorers, names, strict=True)
    ]


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
