"""The report's quality: taken from an evaluation of the very network that the artefact was compiled from."""

import json
from pathlib import Path

from edgedeblur.bench.report import Quality

UNKNOWN = Quality(None, None, None, None, None)
_INT8_KINDS = ("quantised", "artefact")


def recorded_quality(path: Path, network_sha256: str) -> Quality:
    """The quality in an `evaluation.json`, unknown where there is none or it is of another network.

    Args:
        path: what `evaluate` wrote.
        network_sha256: of the artefact's quantised network.
    """
    try:
        return quality(json.loads(path.read_text()), network_sha256)
    except (OSError, ValueError, KeyError, IndexError, TypeError):  # none, or not one of ours
        return UNKNOWN


def quality(evaluation: dict, network_sha256: str) -> Quality:
    """Mean PSNR over all pairs of an `evaluation_json`: the blurred input, teacher, float student, int8 network."""
    means = evaluation["means"][-1]  # of all pairs
    scores = {"teacher": None, "student": None, "int8": None}
    for model, score in zip(evaluation["models"], means["models"], strict=True):
        role = "int8" if model["kind"] in _INT8_KINDS else model["kind"]
        if role == "int8" and model["sha256"] != network_sha256:
            continue
        if scores[role] is None:
            scores[role] = score["psnr_db"]
    if scores["int8"] is None:
        return UNKNOWN
    return Quality(means["blurred"]["psnr_db"], scores["teacher"], scores["student"], scores["int8"], means["pairs"])
