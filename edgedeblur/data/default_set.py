"""The default photographs: those inside scikit-image's wheel that calibration/default.toml names."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedeblur.data.blur.recipe import BlurRecipe
from edgedeblur.data.images import read_image
from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_toml
from edgedeblur.storage.records import read_record
from edgedeblur.storage.resources import resource_folder


@dataclass(frozen=True)
class HeldBack:
    """The keys in which the blur of what is held back differs from any recipe's."""

    min_length: float


@dataclass(frozen=True)
class DefaultSet:
    """Paths of the photographs for training and calibration, and of those held back. blur: how calibration pictures are
    blurred. held_back: the keys in which the blur of what is held back differs from any recipe's."""

    training: tuple[Path, ...]
    validation: tuple[Path, ...]
    blur: BlurRecipe
    held_back: HeldBack


@dataclass(frozen=True)
class _Part:
    """Files in a folder of an installed Python package."""

    package: str
    folder: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class _DefaultFile:
    training: _Part
    validation: _Part
    held_back: HeldBack
    blur: BlurRecipe


def default_set() -> DefaultSet:
    """The manifest's photographs on this machine.

    Raises:
        UserError: scikit-image is not installed, or its wheel lacks a photograph.
    """
    path = resource_folder("calibration") / "default.toml"
    origin = Origin(str(path))
    found = read_record(_DefaultFile, read_toml(path, origin), origin)
    return DefaultSet(_paths(found.training), _paths(found.validation), found.blur, found.held_back)


def default_photos(held_back: bool = False) -> list[np.ndarray]:
    """The default photographs, uint8 HxWx3 RGB: those for training and calibration, or those held back."""
    photos = default_set()
    return [read_image(path) for path in (photos.validation if held_back else photos.training)]


def _paths(part: _Part) -> tuple[Path, ...]:
    package = importlib.util.find_spec(part.package)
    if package is None or not package.submodule_search_locations:
        raise UserError("the default photographs come with scikit-image, which is missing", "pip install scikit-image")
    folder = Path(package.submodule_search_locations[0]) / part.folder
    paths = tuple(folder / name for name in part.files)
    for path in paths:
        if not path.is_file():
            raise UserError(f"the installed scikit-image has no {path.name}", "name your own photographs with --data")
    return paths
