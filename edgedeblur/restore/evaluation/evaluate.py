"""PSNR and SSIM of several models on pairs by a protocol: RGB, full frame, uint8, no border crop."""

import math
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

import numpy as np

from edgedeblur.data.pairs import AnyPair
from edgedeblur.metrics import psnr, ssim
from edgedeblur.progress import Progress
from edgedeblur.restore.evaluation.align import Aligned, aligned_score
from edgedeblur.restore.evaluation.nearly_sharp import nearly_sharp
from edgedeblur.restore.evaluation.protocol import STANDARD, EvaluationProtocol
from edgedeblur.restore.open import Restorer

ALL = "all"


@dataclass(frozen=True)
class Score:
    """psnr_db is infinite for equal images. ms: time for the image, tiling included; None for the blurred input and in
    a simulation. aligned: the same image after alignment, where the protocol has it."""

    psnr_db: float
    ssim: float
    ms: float | None = None
    aligned: Aligned | None = None


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
    """sha256: of the file; for an artefact, of the quantised network that it was compiled from. runs_in: what `ms` is
    the time of, as in Restorer."""

    name: str
    kind: str
    path: str
    sha256: str
    parameters: int
    gmac: float | None
    runs_in: str = ""


@dataclass(frozen=True)
class Evaluation:
    """protocol: its name; ssim: the kind that was measured, one of `edgedeblur.metrics.SSIM_KINDS`."""

    models: list[EvaluatedModel]
    pairs: list[PairScores]
    protocol: str
    ssim: str


@dataclass(frozen=True)
class GroupMeans:
    """Means over a group's pairs; ms is the median, which one slow first image does not move.

    aligned_pairs: those whose blurred image and every model's could be aligned; the aligned means are over these alone,
    so that they can be compared. None without alignment.
    """

    group: str
    pairs: int
    blurred: Score
    models: list[Score]
    aligned_pairs: int | None = None


def evaluate(
    pairs: Sequence[AnyPair],
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
        restored = [_timed(restorer, blur, len(pairs) - index + 1) for restorer in restorers]
        blurred, *models = measure.scores([(blur, None), *restored], sharp)
        if protocol.aligned:
            images = [blur, *(image for image, _ in restored)]
            blurred, *models = _with_alignment([blurred, *models], images, sharp)
        scores.append(PairScores(pair.group, pair.name, *blur.shape[:2], blurred, models))
        progress(f"{pair.group}/{pair.name}", index, len(pairs))
    names = _distinct_names(restorers)
    models = [
        EvaluatedModel(name, r.kind, str(r.path), r.sha256, r.parameters, r.gmac, r.what_ran())
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
        "nearly_sharp": asdict(nearly_sharp(evaluation.pairs)),
        "pairs": [_finite(asdict(pair)) for pair in evaluation.pairs],
    }


def failed_alignments(evaluation: Evaluation) -> list[str]:
    """A line for every image that could not be aligned, with the reason."""
    names = ["blurred", *(model.name for model in evaluation.models)]
    return [
        f"not aligned: {pair.group}/{pair.name}, {name}: {score.aligned.failed}"
        for pair in evaluation.pairs
        for name, score in zip(names, [pair.blurred, *pair.models], strict=True)
        if score.aligned is not None and score.aligned.failed is not None
    ]


@dataclass(frozen=True)
class _Measure:
    protocol: EvaluationProtocol
    ssim: str

    def scores(self, images: Sequence[tuple[np.ndarray, float | None]], sharp: np.ndarray) -> list[Score]:
        """Of images with the milliseconds that each took."""

        def score(image: np.ndarray, ms: float | None) -> Score:
            return Score(min(psnr(image, sharp), self.protocol.equal_db), ssim(image, sharp, self.ssim), ms)

        # NumPy's and OpenCV's part of it releases the interpreter's lock; each takes 100 bytes a pixel.
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            return list(pool.map(score, *zip(*images, strict=True)))


def _timed(restorer: Restorer, blur: np.ndarray, images: int) -> tuple[np.ndarray, float | None]:
    """The restored image and the milliseconds that it took; None in a simulation, whose time says nothing. `images`:
    this one and those to come."""
    restorer.load_for(blur, images)
    start = time.perf_counter()
    restored = restorer.restore(blur)
    return restored, None if restorer.simulated else (time.perf_counter() - start) * 1e3


def _with_alignment(scores: Sequence[Score], images: Sequence[np.ndarray], sharp: np.ndarray) -> list[Score]:
    with ThreadPoolExecutor() as pool:  # OpenCV's part of it releases the interpreter's lock
        aligned = pool.map(lambda image: aligned_score(image, sharp), images)
        return [replace(score, aligned=one) for score, one in zip(scores, aligned, strict=True)]


def _means(group: str, pairs: Sequence[PairScores]) -> GroupMeans:
    rows = [[pair.blurred, *pair.models] for pair in pairs]
    blurred, *models = (_mean(column) for column in zip(*rows, strict=True))
    if rows[0][0].aligned is None:
        return GroupMeans(group, len(pairs), blurred, models)
    whole = [[score.aligned for score in row] for row in rows if all(score.aligned.failed is None for score in row)]
    columns = zip(*whole, strict=True) if whole else [()] * len(rows[0])
    blurred, *models = (
        replace(score, aligned=_aligned_mean(column)) for score, column in zip([blurred, *models], columns, strict=True)
    )
    return GroupMeans(group, len(pairs), blurred, models, len(whole))


def _mean(scores: Sequence[Score]) -> Score:
    times = [score.ms for score in scores if score.ms is not None]
    return Score(
        statistics.fmean(score.psnr_db for score in scores),
        statistics.fmean(score.ssim for score in scores),
        statistics.median(times) if times else None,
    )


def _aligned_mean(scores: Sequence[Aligned]) -> Aligned:
    if not scores:
        return Aligned(failed="no pair of the group could be aligned")
    names = ("psnr_db", "ssim", "displacement_px", "centre_x_px", "centre_y_px")
    return Aligned(**{name: statistics.fmean(getattr(score, name) for score in scores) for name in names})


def _distinct_names(restorers: Sequence[Restorer]) -> list[str]:
    """Each model's name; where two have the same, their folders' too, else the files' suffixes."""
    names = [restorer.name for restorer in restorers]
    folders = [f"{restorer.path.absolute().parent.name}/{restorer.name}" for restorer in restorers]
    return [
        name if names.count(name) == 1 else folder if folders.count(folder) == 1 else restorer.path.name
        for restorer, name, folder in zip(restorers, names, folders, strict=True)
    ]


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
