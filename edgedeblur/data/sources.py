"""Where training pairs come from: photographs that are blurred on the fly, ready pairs, or video frames.

A source draws one pair of crops from a NumPy generator, so a sample is a function of its seed alone.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from edgedeblur.data.blur.blurring import BlurRecipe, MadePair, blur_and_record
from edgedeblur.data.blur.gopro import MIN_FRAMES, average_frames, draw_window
from edgedeblur.data.blur.recorded import Shake
from edgedeblur.data.images import list_images, read_image
from edgedeblur.data.pairs import Pair, find_pairs, has_pairs
from edgedeblur.errors import UserError

KINDS = ("auto", "photos", "pairs", "frames")
_CACHE_BYTES = 4 << 30
_NUMBER = re.compile(r"[0-9]*\.?[0-9]+")


class Source(Protocol):
    """Draws (blur, sharp), both uint8 [size, size, 3] RGB."""

    def draw(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]: ...


class ImageCache:
    """Decoded images by path, kept until `limit` bytes are used; later ones are decoded again each time."""

    def __init__(self, limit: int = _CACHE_BYTES):
        self.limit = limit
        self._images: dict[Path, np.ndarray] = {}
        self._used = 0

    def __getitem__(self, path: Path) -> np.ndarray:
        image = self._images.get(path)
        if image is None:
            image = read_image(path)
            if self._used + image.nbytes <= self.limit:
                self._images[path] = image
                self._used += image.nbytes
        return image


@dataclass(frozen=True)
class Photos:
    """Sharp photographs; blur is made by the recipe. `images` are paths or arrays, uint8 HxWx3. shake: what `recorded`
    blur draws from; None for the model that ships."""

    images: tuple[Path | np.ndarray, ...]
    recipe: BlurRecipe
    cache: ImageCache = field(default_factory=ImageCache)
    shake: Shake | None = None

    def draw(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        made = self.make(rng, size, size)
        return made.blur, made.sharp

    def make(self, rng: np.random.Generator, height: int, width: int) -> MadePair:
        """A crop with a margin that its blur draws from; small photographs are mirrored outwards."""
        index = int(rng.integers(len(self.images)))
        chosen = self.images[index]
        image, name = (self.cache[chosen], chosen.name) if isinstance(chosen, Path) else (chosen, f"image {index}")
        margin = self.recipe.margin
        wide, softened = self._cut(rng, image, height + 2 * margin, width + 2 * margin)
        inside = slice(margin, margin + height), slice(margin, margin + width)
        made = blur_and_record(wide, self.recipe, rng, self.shake)
        record = made.record
        if "centre" in record:
            record["centre"] = [place - margin for place in record["centre"]]
        return MadePair(made.blur[inside], made.sharp[inside], {"source": name, **softened, **record})

    def _cut(self, rng: np.random.Generator, image: np.ndarray, height: int, width: int) -> tuple[np.ndarray, dict]:
        """A crop, enlarged and of less contrast where the recipe has it so; and what was drawn."""
        recipe, drawn = self.recipe, {}
        zoom = rng.uniform(1, recipe.max_zoom) if recipe.max_zoom > 1 else 1.0
        crop = crop_at_random(rng, (math.ceil(height / zoom), math.ceil(width / zoom)), image)[0]
        if zoom > 1:
            drawn["zoom"] = zoom
            crop = cv2.resize(crop, (width, height), interpolation=cv2.INTER_CUBIC)
        if recipe.min_contrast < 1:
            contrast, mean = rng.uniform(recipe.min_contrast, 1), crop.mean()
            drawn["contrast"] = contrast
            crop = np.clip((crop - mean) * contrast + mean + 0.5, 0, 255).astype(np.uint8)
        return crop, drawn


@dataclass(frozen=True)
class Frames:
    """Sequences of high-frame-rate frames; blur is the mean of 7 to 13 of them, the centre frame is sharp."""

    sequences: tuple[tuple[Path, ...], ...]
    recipe: BlurRecipe
    cache: ImageCache = field(default_factory=ImageCache)

    def draw(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        made = self.make(rng, size, size)
        return made.blur, made.sharp

    def make(self, rng: np.random.Generator, height: int, width: int) -> MadePair:
        sequence = self.sequences[rng.integers(len(self.sequences))]
        first, count = draw_window(rng, len(sequence))
        frames = sequence[first : first + count]
        crops = reduced_crop(rng, (height, width), self.recipe.reductions, *(self.cache[path] for path in frames))
        gamma = float(rng.choice(self.recipe.gammas))
        record = {"source": frames[count // 2].name, "model": "gopro", "gamma": gamma}
        record |= {"frames": count, "first_frame": frames[0].name, "last_frame": frames[-1].name}
        return MadePair(average_frames(crops, gamma), crops[count // 2], record)


@dataclass(frozen=True)
class Pairs:
    """Ready pairs. `reductions`: as the recipe's."""

    pairs: tuple[Pair, ...]
    cache: ImageCache = field(default_factory=ImageCache)
    reductions: tuple[int, ...] = (1,)

    def draw(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        pair = self.pairs[rng.integers(len(self.pairs))]
        blur, sharp = self.cache[pair.blur], self.cache[pair.sharp]
        if blur.shape != sharp.shape:
            pair.read()  # raises the message that names both files
        return tuple(reduced_crop(rng, (size, size), self.reductions, blur, sharp))


@dataclass(frozen=True)
class Mixture:
    """Several sources, each drawn from as often as its weight says."""

    sources: tuple[Source, ...]
    weights: tuple[float, ...]

    def draw(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        shares = np.array(self.weights) / sum(self.weights)
        return self.sources[rng.choice(len(self.sources), p=shares)].draw(rng, size)

    def make(self, rng: np.random.Generator, height: int, width: int) -> MadePair:
        """As `draw`, where no source is of ready pairs."""
        shares = np.array(self.weights) / sum(self.weights)
        return self.sources[rng.choice(len(self.sources), p=shares)].make(rng, height, width)


def crop_at_random(rng: np.random.Generator, size: tuple[int, int], *images: np.ndarray) -> list[np.ndarray]:
    """The same random window of `size` (height, width) of images of one shape; smaller images are mirrored outwards
    first."""
    (tall, wide), (height, width) = size, images[0].shape[:2]
    if height < tall or width < wide:
        grow = ((0, max(0, tall - height)), (0, max(0, wide - width)), (0, 0))
        images = tuple(np.pad(image, grow, mode="symmetric") for image in images)
        height, width = images[0].shape[:2]
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    return [image[top : top + tall, left : left + wide] for image in images]


def reduced_crop(
    rng: np.random.Generator, size: tuple[int, int], reductions: Sequence[int], *images: np.ndarray
) -> list[np.ndarray]:
    """As `crop_at_random`, of the images reduced by one of `reductions`, drawn among all that leave room for `size`
    (the smallest where none does). A reduced pixel is the mean of its pixels; blur gets shorter by the same factor."""
    factor = draw_reduction(rng, reductions, size, images[0].shape[:2])
    crops = crop_at_random(rng, (size[0] * factor, size[1] * factor), *images)
    if factor == 1:
        return crops
    return [cv2.resize(crop, size[::-1], interpolation=cv2.INTER_AREA) for crop in crops]


def draw_reduction(
    rng: np.random.Generator, reductions: Sequence[int], size: tuple[int, int], available: tuple[int, int]
) -> int:
    """One of the reductions that leave room for `size`; nothing is drawn where there is one alone."""
    fitting = [factor for factor in reductions if all(a * factor <= b for a, b in zip(size, available, strict=True))]
    fitting = fitting or [min(reductions)]
    return fitting[0] if len(set(fitting)) == 1 else int(rng.choice(fitting))


def open_source(text: str | Path, recipe: BlurRecipe, shake: Shake | None = None) -> Source:
    """The source that `FOLDER` or `KIND:FOLDER` names, KIND one of auto, photos, pairs, frames.

    `auto` takes a folder with blur/ and sharp/ inside for pairs and any other for photographs. Video frames must be
    named (`frames:FOLDER`): a folder of frames looks like a folder of photographs. Frames are found in the folder
    and in its sub-folders, each folder being one sequence in the order of the file names. `shake` is for photographs.

    Raises:
        UserError: no such folder, nothing usable in it, or fewer than 7 frames in a sequence.
    """
    kind, folder = _kind_and_folder(str(text))
    if kind == "auto":
        kind = "pairs" if has_pairs(folder) else "photos"
    if kind == "pairs":
        return Pairs(tuple(find_pairs(folder)), reductions=recipe.reductions)
    images = list_images(folder, recursive=True)
    if kind == "photos":
        return Photos(tuple(images), recipe, shake=shake)
    sequences: dict[Path, list[Path]] = {}
    for path in images:
        sequences.setdefault(path.parent, []).append(path)
    for parent, frames in sequences.items():
        if len(frames) < MIN_FRAMES:
            raise UserError(f"{parent} has {len(frames)} frames; blur by the GoPro recipe takes at least {MIN_FRAMES}")
    return Frames(tuple(tuple(frames) for frames in sequences.values()), recipe)


def split_share(text: str) -> tuple[str, float | None]:
    """(`KIND:FOLDER`, share) of `KIND:FOLDER@SHARE`, such as `pairs:GOPRO_Large/train@0.3`; None where no share is
    given, and for an existing folder whose own name ends like one.

    Raises:
        UserError: a share that is not between 0 and 1.
    """
    source, at, share = text.rpartition("@")
    if not at or not _NUMBER.fullmatch(share) or _kind_and_folder(text)[1].exists():
        return text, None
    if not 0 < float(share) < 1:
        raise UserError(
            f"{text} has the share {share}; a share is above 0 and below 1, the part of all crops from this folder",
            exit_code=2,
        )
    return source, float(share)


def _kind_and_folder(text: str) -> tuple[str, Path]:
    kind, colon, folder = text.partition(":")
    if colon and kind in KINDS:
        return kind, Path(folder)
    return "auto", Path(text)
