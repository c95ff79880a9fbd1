"""What every training recipe says, generator's or student's: how to fit, how often each kind of data; and the files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edgedeblur.data.batches import MAX_REUSE
from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_toml
from edgedeblur.training.recipe_table import read_recipe_table, require_choice

T = TypeVar("T")
RECIPES = Path(__file__).parent / "recipes"
GENERATOR_RECIPES = ("deblurgan", "deblurgan-v2", "unet")
SCHEDULES = ("cosine", "linear")
OPTIMISERS = ("adamw", "muon")


def check_betas(betas: tuple[float, ...]) -> None:
    """Raises ValueError unless they are two numbers from 0 to below 1."""
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas are {list(betas)}; they must be two numbers from 0 to below 1")


@dataclass(frozen=True)
class Fitting:
    """batch: pairs per step and process; cpu_batch: the same on a CPU, 0 for no difference. crop: their side in pixels,
    a multiple of 16. reuse: how often each drawn pair is used, flipped and cut differently each time (`data.batches`).
    optimiser: `adamw`, or `muon` for weights of convolutions and AdamW for the rest. rate: its learning rate after the
    warm-up. betas, weight_decay: AdamW's; without decay it is Adam, and Muon has betas of its own. schedule: `cosine`,
    or `linear`: constant for half the run, then straight to zero. warm_up: steps in which the rate rises from zero.
    average: decay of the weights' running average, 0 for none. clip: largest norm of a gradient, 0 for any."""

    batch: int = 4
    cpu_batch: int = 0
    crop: int = 160
    reuse: int = 1
    optimiser: str = "adamw"
    rate: float = 6e-4
    betas: tuple[float, ...] = (0.9, 0.999)
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    warm_up: int = 100
    average: float = 0.998
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.crop < 32 or self.crop % 16:
            raise ValueError(f"crop is {self.crop}; it must be a multiple of 16, at least 32")
        if self.batch < 1 or not 0 < self.rate < 1 or not 0 <= self.average < 1 or self.clip < 0:
            raise ValueError(f"batch {self.batch}, rate {self.rate}, average {self.average} or clip {self.clip}")
        if self.cpu_batch < 0 or self.warm_up < 0 or self.weight_decay < 0:
            raise ValueError(f"cpu_batch {self.cpu_batch}, warm_up {self.warm_up} or weight_decay {self.weight_decay}")
        if not 1 <= self.reuse <= MAX_REUSE:
            raise ValueError(f"reuse is {self.reuse}; it must be 1 to {MAX_REUSE}")
        require_choice("fitting.optimiser", self.optimiser, OPTIMISERS)
        require_choice("fitting.schedule", self.schedule, SCHEDULES)
        check_betas(self.betas)


@dataclass(frozen=True)
class Shares:
    """How often each kind of data is drawn, where it is given; within a kind, folders count by their images."""

    photos: float = 0.6
    pairs: float = 1.0
    frames: float = 0.4


def find_recipe(name_or_path: str, names: Sequence[str] = GENERATOR_RECIPES) -> Path:
    """The file of a recipe: one of the shipped names, or a path.

    Raises:
        UserError: neither.
    """
    if name_or_path in names:
        return RECIPES / f"{name_or_path}.toml"
    path = Path(name_or_path)
    if not path.exists():
        shipped = f"the recipes that ship are {', '.join(names)}; any other is a TOML file"
        raise UserError(f"no recipe {name_or_path!r}: {shipped}", f"start from a copy of one in {RECIPES}", exit_code=2)
    return path


def read_recipe(path: str | Path, recipe_type: type[T]) -> T:
    """A recipe file; keys that are left out keep their defaults.

    Raises:
        UserError: the file is missing, not TOML, has an unknown key or a value of the wrong type or size.
    """
    path = Path(path)
    if not path.exists():
        shipped = ", ".join(sorted(found.name for found in RECIPES.glob("*.toml")))
        raise UserError(f"no recipe {path}", f"start from a copy of one that ships in {RECIPES}: {shipped}")
    origin = Origin(f"recipe {path}", f"see the recipes that ship in {RECIPES}")
    return read_recipe_table(recipe_type, read_toml(path, origin), origin)
