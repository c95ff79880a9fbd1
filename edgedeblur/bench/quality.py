"""The report's quality: taken from an evaluation of the very network that the artefact was compiled from."""

from dataclasses import dataclass
from pathlib import Path

from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.errors import UserError
from edgedeblur.report.schema import Quality
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_json
from edgedeblur.storage.records import Rules, read_record

UNKNOWN = Quality(None, None, None, None, None)
_INT8_KINDS = ("quantised", "artefact")


@dataclass(frozen=True)
class _Model:
    kind: str
    sha256: str


@dataclass(frozen=True)
class _Score:
    psnr_db: float | None


@dataclass(frozen=True)
class _Means:
    pairs: int
    blurred: _Score
    models: list[_Score]


@dataclass(frozen=True)
class _Evaluation:
    """What the report takes from an `evaluation_json`; it holds more."""

    models: list[_Model]
    means: list[_Means]


def compiled_from(info: ArtefactInfo) -> tuple[str, str | None]:
    """Digests of the quantised network that an artefact was compiled from, and of the student that it was made from."""
    made_from = info.manifest["provenance"].get("student_sha256")
    return info.manifest["network_sha256"], made_from if isinstance(made_from, str) else None


def recorded_quality(path: Path, network_sha256: str, student_sha256: str | None = None) -> Quality:
    """The quality in an `evaluation.json`, unknown where there is none or it is of another network.

    Args:
        path: what `evaluate` wrote.
        network_sha256: of the artefact's quantised network. student_sha256: of what it was made from.
    """
    try:
        return quality(read_json(path, Origin(str(path))), network_sha256, student_sha256)
    except UserError:  # none, or not one of ours
        return UNKNOWN


def quality(evaluation: dict, network_sha256: str, student_sha256: str | None = None) -> Quality:
    """Mean PSNR over all pairs of an `evaluation_json`: the blurred input, teacher, float student, int8 network.

    A student may be the teacher of another: where one of them is what the network was made from, the first other is.

    Raises:
        UserError: it is not one.
    """
    origin = Origin("not an evaluation")
    found = read_record(_Evaluation, evaluation, Rules(origin, further_keys=True))
    if not found.means or len(found.means[-1].models) != len(found.models):
        raise origin.error(f"{len(found.means)} means of {len(found.models)} models")
    means = found.means[-1]  # of all pairs
    scores = {"teacher": None, "student": None, "int8": None}
    own = student_sha256 in {model.sha256 for model in found.models}
    for model, score in zip(found.models, means.models, strict=True):
        role = "int8" if model.kind in _INT8_KINDS else model.kind
        if role == "int8" and model.sha256 != network_sha256:
            continue
        if role == "student" and own and model.sha256 != student_sha256:
            role = "teacher"
        if role in scores and scores[role] is None:
            scores[role] = score.psnr_db
    if scores["int8"] is None:
        return UNKNOWN
    return Quality(means.blurred.psnr_db, scores["teacher"], scores["student"], scores["int8"], means.pairs)
