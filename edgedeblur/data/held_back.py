"""Validation pictures: whole pairs from folders, or a part of the training data that is held back."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgedeblur.data.blur.gopro import MAX_FRAMES
from edgedeblur.data.pairs import Pair, PairInMemory, find_pairs
from edgedeblur.data.sources import Frames, Mixture, Pairs, Photos, Source

SHARE = 0.05
_CROPS, _CROP_SIZE = 12, 256


def validation_from_folders(folders: Sequence[str]) -> list[PairInMemory]:
    """Every pair of the folders, full frame.

    Raises:
        UserError: a folder holds no pairs, or a pair cannot be read.
    """
    return [PairInMemory(pair.group, pair.name, *pair.read()) for folder in folders for pair in find_pairs(folder)]


def hold_back(source: Source, seed: int) -> tuple[Source, Source | None]:
    """(training, validation) parts of a source: one in twenty photographs, pairs or scenes, at least one, or the last
    twentieth of a frame sequence. Pairs of several folders are split by folder, since frames of one scene are nearly
    the same picture. None where there is too little to take from. The same seed gives the same split."""
    rng = np.random.default_rng((seed, 0x5EED))
    if isinstance(source, Photos):
        kept, held = _split(source.images, rng)
        return (replace(source, images=kept), always_blurred(replace(source, images=held))) if held else (source, None)
    if isinstance(source, Pairs):
        kept, held = _split_scenes(source.pairs, rng)
        return (replace(source, pairs=kept), replace(source, pairs=held)) if held else (source, None)
    if isinstance(source, Frames):
        return _hold_back_frames(source)
    parts = [hold_back(part, seed) for part in source.sources]
    held = tuple(part for _, part in parts if part is not None)
    kept = Mixture(tuple(part for part, _ in parts), source.weights)
    return kept, (Mixture(held, (1.0,) * len(held)) if held else None)


def always_blurred(source: Photos) -> Photos:
    """The same photographs with none left sharp: the PSNR of an untouched picture is as high as one likes, and a single
    one would decide the mean, as would one nearly sharp. And with nothing put in front of them, where the recipe has
    other blur than scenes."""
    recipe = source.recipe
    if sum(recipe.shares) == recipe.still_share:
        return source  # a recipe that leaves everything sharp is measured as it is
    if sum(recipe.shares) > recipe.still_share + recipe.scene_share:
        recipe = replace(recipe, scene_share=0.0)
    return replace(source, recipe=replace(recipe, still_share=0.0, slight_share=0.0))


def fixed_pairs(source: Source, seed: int) -> list[PairInMemory]:
    """Twelve crops of 256x256 from a source, the same for the same seed."""
    draws = (source.draw(np.random.default_rng((seed, 0xF1D, index)), _CROP_SIZE) for index in range(_CROPS))
    return [PairInMemory("held back", str(index), *pair) for index, pair in enumerate(draws)]


def _split(items: tuple, rng: np.random.Generator) -> tuple[tuple, tuple]:
    count = max(1, round(SHARE * len(items))) if len(items) > 1 else 0
    held = set(rng.permutation(len(items))[:count].tolist())
    return (
        tuple(item for index, item in enumerate(items) if index not in held),
        tuple(item for index, item in enumerate(items) if index in held),
    )


def _split_scenes(pairs: tuple[Pair, ...], rng: np.random.Generator) -> tuple[tuple, tuple]:
    groups = tuple(sorted({pair.group for pair in pairs}))
    if len(groups) == 1:
        return _split(pairs, rng)
    _, held = _split(groups, rng)
    return tuple(pair for pair in pairs if pair.group not in held), tuple(pair for pair in pairs if pair.group in held)


def _hold_back_frames(source: Frames) -> tuple[Source, Source | None]:
    longest = max(source.sequences, key=len)
    count = max(MAX_FRAMES, round(SHARE * len(longest)))
    if len(longest) < 2 * count:
        return source, None
    kept = tuple(frames[:-count] if frames is longest else frames for frames in source.sequences)
    return replace(source, sequences=kept), replace(source, sequences=(longest[-count:],))
