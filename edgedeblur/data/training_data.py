"""From the user's `--data` and `--validation` to a source to draw from and the pictures to measure on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgedeblur.data.blur.recipe import BlurRecipe
from edgedeblur.data.blur.shake_log import ShakeLogs, read_shake_logs
from edgedeblur.data.default_set import default_set
from edgedeblur.data.held_back import always_blurred, fixed_pairs, hold_back, validation_from_folders
from edgedeblur.data.pairs import PairInMemory
from edgedeblur.data.sources import Frames, Mixture, Pairs, Photos, Source, open_source, split_share
from edgedeblur.errors import UserError

DEFAULT_SET = "the default photographs (calibration/default.toml)"


@dataclass(frozen=True)
class TrainingData:
    """What to draw from, what to measure on, and what was given in words (folder names without their paths)."""

    source: Source
    validation: list[PairInMemory]
    described: list[str]


def open_training_data(
    data: Sequence[str],
    validation: Sequence[str],
    recipe: BlurRecipe,
    shares: Mapping[str, float],
    seed: int,
    shake: Path | None = None,
) -> TrainingData:
    """The training data that `data` names (each `FOLDER` or `KIND:FOLDER`, either with `@SHARE`; none: the default
    photographs).

    Validation is on the pairs of the `validation` folders, or on crops of what is held back from the data.

    Args:
        shares: how often each kind (photos, pairs, frames) is drawn, where `data` does not say (`FOLDER@SHARE`).
        shake: recordings of angular rates, in place of the model of them that ships; a folder of CSV files, or one.

    Raises:
        UserError: a folder is missing or holds nothing usable, or nothing is left to validate on; recordings that
            cannot be read, or that the recipe has no use for.
    """
    source, described = open_data(data, recipe, shares, shake)
    if validation:
        return TrainingData(source, validation_from_folders(validation), described)
    if data:
        source, held = hold_back(source, seed)
    else:
        photos = default_set()
        visible = replace(recipe, **vars(photos.held_back))
        held = always_blurred(replace(source, images=photos.validation, recipe=visible))
    if held is None:
        raise UserError("too few pictures to hold one back", "give pairs to measure on: --validation FOLDER")
    return TrainingData(source, fixed_pairs(held, seed), described)


def open_data(
    data: Sequence[str], recipe: BlurRecipe, shares: Mapping[str, float], shake: Path | None = None
) -> tuple[Source, list[str]]:
    """What `data` names as one source, and each part in words; arguments and errors are those of
    `open_training_data`."""
    logs, described = None, []
    if shake is not None:
        logs = _useful_logs(shake, recipe)
        described = [f"{len(logs.names)} recordings of {shake.resolve().name}, {logs.seconds:.1f} s"]
    if not data:
        return Photos(default_set().training, recipe, shake=logs), [DEFAULT_SET, *described]
    folders, own_shares = zip(*(split_share(text) for text in data), strict=True)
    sources = [open_source(folder, recipe, logs) for folder in folders]
    if logs is not None and not any(isinstance(source, Photos) for source in sources):
        told = f"--shake {shake} is for photographs, and {', '.join(data)} has none"
        raise UserError(told, "leave --shake out, or add --data photos:FOLDER", exit_code=2)
    weights = _weights(sources, own_shares, shares)
    named = [_described(*each) for each in zip(folders, sources, weights, strict=True)]
    return (sources[0] if len(sources) == 1 else Mixture(tuple(sources), weights)), named + described


def _useful_logs(path: Path, recipe: BlurRecipe) -> ShakeLogs:
    if recipe.recorded_share == 0:
        told = f"--shake {path} is for recorded motion, which the recipe does not use: recorded_share is 0"
        raise UserError(told, "set recorded_share above 0 in the recipe's [blur] table (synth: --kind recorded)")
    return read_shake_logs(path)


def _weights(
    sources: Sequence[Source], own_shares: Sequence[float | None], shares: Mapping[str, float]
) -> tuple[float, ...]:
    """The part of all crops that comes from each source. What the sources with a share of their own leave is for the
    others: kinds by the recipe's shares, and the sources of one kind by their number of pictures."""
    if len(sources) == 1 and own_shares[0] is None:
        return (1.0,)
    given = sum(share for share in own_shares if share is not None)
    others = [_kind_and_count(source) for source, share in zip(sources, own_shares, strict=True) if share is None]
    if given > 1 + 1e-9 or (others and given > 1 - 1e-9) or (not others and given < 1 - 1e-6):
        rest = "less than 1, since others share the rest" if others else "1, since no others share the rest"
        raise UserError(f"the shares of --data add up to {given:g}; they must add up to {rest}", exit_code=2)
    totals = Counter()
    for kind, count in others:
        totals[kind] += count
    kinds = sum(shares[kind] for kind in totals)
    if others and kinds <= 0:
        raise UserError(f"the recipe's shares of {', '.join(totals)} are 0", "give other --data or another --recipe")
    return tuple(
        (1 - given) * shares[kind] / kinds * count / totals[kind] if share is None else share
        for share, (kind, count) in zip(own_shares, map(_kind_and_count, sources), strict=True)
    )


def _described(folder: str, source: Source, weight: float) -> str:
    kind, count = _kind_and_count(source)
    named = f"{count} {kind} of {Path(folder.removeprefix(kind + ':')).resolve().name}"
    return named if weight == 1 else f"{100 * weight:.3g} % from {named}"


def _kind_and_count(source: Source) -> tuple[str, int]:
    if isinstance(source, Photos):
        return "photos", len(source.images)
    if isinstance(source, Pairs):
        return "pairs", len(source.pairs)
    assert isinstance(source, Frames)
    return "frames", sum(len(frames) for frames in source.sequences)
