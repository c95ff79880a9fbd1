"""Training recipes: TOML files read into dataclasses, every key checked."""

import dataclasses
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from edgedeblur.data.blur import BlurRecipe
from edgedeblur.errors import UserError
from edgedeblur.generators.unet import UNetConfig

T = TypeVar("T")
RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Fitting:
    """batch: pairs per step. crop: their side in pixels, a multiple of 16. rate: AdamW's learning rate after warm-up.
    weight_decay: AdamW's. average: decay of the weights' running average. clip: largest norm of a gradient."""

    batch: int = 4
    crop: int = 160
    rate: float = 6e-4
    weight_decay: float = 1e-4
    average: float = 0.998
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.crop < 32 or self.crop % 16:
            raise ValueError(f"crop is {self.crop}; it must be a multiple of 16, at least 32")
        if self.batch < 1 or not 0 < self.rate < 1 or not 0 <= self.average < 1 or self.clip <= 0:
            raise ValueError(f"batch {self.batch}, rate {self.rate}, average {self.average} or clip {self.clip}")


@dataclass(frozen=True)
class Adversary:
    """kind: `lsgan`, `wgan-gp` or `none`. weight: of the generator's adversarial loss. from_fraction: how much of the
    run passes before the adversary takes part. rate: the discriminator's. width: its first channels, 64 in PatchGAN.
    penalty: weight of the gradient penalty."""

    kind: str = "lsgan"
    weight: float = 1e-3
    from_fraction: float = 0.9
    rate: float = 1e-4
    width: int = 64
    penalty: float = 10.0


@dataclass(frozen=True)
class ContentLosses:
    """Weights of the Charbonnier loss in pixels and the L1 loss in frequencies."""

    charbonnier: float = 1.0
    frequency: float = 0.1


@dataclass(frozen=True)
class Shares:
    """How often each kind of data is drawn, where it is given; within a kind, folders count by their images."""

    photos: float = 0.6
    pairs: float = 1.0
    frames: float = 0.4


@dataclass(frozen=True)
class GeneratorRecipe:
    """Everything about the training of a generator that is not where, how long and from what."""

    network: UNetConfig = UNetConfig()
    fitting: Fitting = Fitting()
    content: ContentLosses = ContentLosses()
    adversary: Adversary = Adversary()
    shares: Shares = Shares()
    blur: BlurRecipe = field(default_factory=BlurRecipe)

    def __post_init__(self) -> None:
        if self.adversary.kind not in ("lsgan", "wgan-gp", "none"):
            raise ValueError(f"adversary.kind is {self.adversary.kind!r}; there are lsgan, wgan-gp, none")


def read_recipe(path: str | Path, recipe_type: type[T]) -> T:
    """A recipe file; keys that are left out keep their defaults.

    Raises:
        UserError: the file is missing, not TOML, has an unknown key or a value of the wrong type or size.
    """
    path = Path(path)
    if not path.is_file():
        shipped = ", ".join(sorted(str(found.name) for found in RECIPES.glob("*.toml")))
        raise UserError(f"no recipe {path}", f"start from a copy of one that ships in {RECIPES}: {shipped}")
    try:
        return from_table(tomllib.loads(path.read_text("utf-8")), recipe_type)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"recipe {path}: {error}", "see the recipes that ship in " + str(RECIPES)) from error


def from_table(table: dict[str, Any], recipe_type: type[T], where: str = "") -> T:
    """A dataclass from nested tables; ValueError names the key that does not fit."""
    types = typing.get_type_hints(recipe_type)
    values = {}
    for name, value in table.items():
        if name not in types:
            raise ValueError(f"unknown key {where}{name}; there are {', '.join(types)}")
        values[name] = _value(value, types[name], f"{where}{name}")
    return recipe_type(**values)


def to_table(recipe: Any) -> dict[str, Any]:
    """The recipe as JSON values, for a model card."""
    table = dataclasses.asdict(recipe)
    return {
        key: {name: list(value) if isinstance(value, tuple) else value for name, value in part.items()}
        for key, part in table.items()
    }


def _value(value: Any, wanted: Any, where: str) -> Any:
    if dataclasses.is_dataclass(wanted):
        if not isinstance(value, dict):
            raise ValueError(f"{where} must be a table")
        return from_table(value, wanted, f"{where}.")
    if typing.get_origin(wanted) is tuple and isinstance(value, list):
        element = typing.get_args(wanted)[0]
        return tuple(_value(item, element, where) for item in value)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise ValueError(f"{where} is {value!r}; it must be a {getattr(wanted, '__name__', wanted)}")
    return value
