"""From the user's `--data` and `--validation` to a source to draw from and the pictures to measure on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedeblur.data.blur import BlurRecipe
from edgedeblur.data.default_set import default_set
from edgedeblur.data.held_back import ValidationPair, always_blurred, fixed_pairs, hold_back, validation_from_folders
from edgedeblur.data.sources import Frames, Mixture, Pairs, Photos, Source, open_source
from edgedeblur.errors import UserError

DEFAULT_SET = "the default photographs (calibration/default.toml)"


@dataclass(frozen=True)
class TrainingData:
    """What to draw from, what to measure on, and what was given in words (folder names without their paths)."""

    source: Source
    validation: list[ValidationPair]
    described: list[str]


def open_training_data(
    data: Sequence[str], validation: Sequence[str], recipe: BlurRecipe, shares: Mapping[str, float], seed: int
) -> TrainingData:
    """The training data that `data` names (each `FOLDER` or `KIND:FOLDER`; none: the default photographs).

    Validation is on the pairs of the `validation` folders, or on crops of what is held back from the data.

    Args:
        shares: how often each kind (photos, pairs, frames) is drawn.

    Raises:
        UserError: a folder is missing or holds nothing usable, or nothing is left to validate on.
    """
    source, described = open_data(data, recipe, shares)
    if validation:
        return TrainingData(source, validation_from_folders(validation), described)
    if data:
        source, held = hold_back(source, seed)
    else:
        held = always_blurred(Photos(default_set().validation, recipe))
    if held is None:
        raise UserError("too few pictures to hold one back", "give pairs to measure on: --validation FOLDER")
    return TrainingData(source, fixed_pairs(held, seed), described)


def open_data(data: Sequence[str], recipe: BlurRecipe, shares: Mapping[str, float]) -> tuple[Source, list[str]]:
    """What `data` names as one source, and each part in words; the arguments are those of `open_training_data`.

    Raises:
        UserError: a folder is missing or holds nothing usable.
    """
    if not data:
        return Photos(default_set().training, recipe), [DEFAULT_SET]
    sources = [open_source(text, recipe) for text in data]
    return _mix(sources, shares), [_described(*both) for both in zip(data, sources, strict=True)]


def _mix(sources: list[Source], shares: Mapping[str, float]) -> Source:
    """Kinds weighted by their shares, and the sources of one kind by their number of pictures."""
    if len(sources) == 1:
        return sources[0]
    totals: dict[str, int] = {}
    for source in sources:
        kind, count = _kind_and_count(source)
        totals[kind] = totals.get(kind, 0) + count
    counted = [_kind_and_count(source) for source in sources]
    return Mixture(tuple(sources), tuple(shares[kind] * count / totals[kind] for kind, count in counted))


def _described(text: str, source: Source) -> str:
    kind, count = _kind_and_count(source)
    return f"{count} {kind} of {Path(text.removeprefix(kind + ':')).resolve().name}"


def _kind_and_count(source: Source) -> tuple[str, int]:
    if isinstance(source, Photos):
        return "photos", len(source.images)
    if isinstance(source, Pairs):
        return "pairs", len(source.pairs)
    assert isinstance(source, Frames)
    return "frames", sum(len(frames) for frames in source.sequences)
