"""Training recipes: what a TOML file can say, and which files ship."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from edgedeblur.data.batches import MAX_REUSE
from edgedeblur.data.blur import BlurRecipe
from edgedeblur.errors import UserError
from edgedeblur.generators.load import padding_rule
from edgedeblur.generators.unet import UNetConfig
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_toml
from edgedeblur.train.adversarial import LOSSES
from edgedeblur.train.networks import NetworkConfig, network_name
from edgedeblur.train.recipe_table import read_recipe_table, require_choice

T = TypeVar("T")
RECIPES = Path(__file__).parent / "recipes"
GENERATOR_RECIPES = ("deblurgan", "deblurgan-v2", "unet")
ADVERSARIES = (*LOSSES, "none")
DISCRIMINATORS = ("patch", "double")
SCHEDULES = ("cosine", "linear")
OPTIMISERS = ("adamw", "muon")


def _check_betas(betas: tuple[float, ...]) -> None:
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas are {list(betas)}; they must be two numbers from 0 to below 1")


@dataclass(frozen=True)
class Fitting:
    """batch: pairs per step and process; cpu_batch: the same on a CPU, 0 for no difference. crop: their side in pixels,
    a multiple of 16. reuse: how often each drawn pair is used, flipped and cut anew each time (`data.batches`).
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
        _check_betas(self.betas)


@dataclass(frozen=True)
class Adversary:
    """kind: `wgan-gp`, `lsgan`, `ragan-ls`, `bce` or `none`. discriminator: `patch` (PatchGAN) or `double`
    (DeblurGAN-v2's local and global). weight: of the generator's adversarial loss. from_fraction: how much of the run
    passes before the adversary takes part. rate, betas: of the discriminator's Adam. width: its first channels, 64 in
    PatchGAN. penalty: weight of WGAN-GP's gradient penalty. updates: of the discriminator, on the same images, per
    step. clip: largest norm of its gradient, 0 for any."""

    kind: str = "lsgan"
    discriminator: str = "patch"
    weight: float = 1e-3
    from_fraction: float = 0.9
    rate: float = 1e-4
    betas: tuple[float, ...] = (0.5, 0.999)
    width: int = 64
    penalty: float = 10.0
    updates: int = 1
    clip: float = 10.0

    def __post_init__(self) -> None:
        require_choice("adversary.kind", self.kind, ADVERSARIES)
        require_choice("adversary.discriminator", self.discriminator, DISCRIMINATORS)
        _check_betas(self.betas)
        if self.width < 1 or self.updates < 1 or min(self.weight, self.penalty, self.clip) < 0 or self.rate <= 0:
            raise ValueError(
                f"adversary: width {self.width}, updates {self.updates}, rate {self.rate}, weight {self.weight}, "
                f"penalty {self.penalty} or clip {self.clip}"
            )

    @property
    def takes_part(self) -> bool:
        return self.kind != "none" and self.weight > 0


@dataclass(frozen=True)
class ContentLosses:
    """Weights, 0 to leave one out. l1, mse, charbonnier: in pixels, whose range is [-1, 1]. frequency: L1 between
    spectra. psnr: log10 of the mean squared error over the batch. perceptual: mean squared difference of VGG19's
    conv3_3 features."""

    l1: float = 0.0
    mse: float = 0.0
    charbonnier: float = 0.0
    frequency: float = 0.0
    psnr: float = 0.0
    perceptual: float = 0.0

    def __post_init__(self) -> None:
        if min(vars(self).values()) < 0:
            raise ValueError(f"weights of content losses must not be negative: {self.used}")

    @property
    def used(self) -> dict[str, float]:
        """The weights that are not 0, by name."""
        return {name: weight for name, weight in vars(self).items() if weight}


@dataclass(frozen=True)
class Shares:
    """How often each kind of data is drawn, where it is given; within a kind, folders count by their images."""

    photos: float = 0.6
    pairs: float = 1.0
    frames: float = 0.4


@dataclass(frozen=True)
class GeneratorRecipe:
    """Everything about the training of a generator that is not where, how long and from what.

    content_without_vgg: the content losses in place of `content` where that has a perceptual one and no VGG19 file is
    named. vgg: that file; `--vgg` goes before it. encoder: ImageNet weights for DeblurGAN-v2's encoder to start from;
    `--encoder` goes before it. frozen_fraction: of the run, in which an encoder from such a file stays as it is.
    """

    network: NetworkConfig = UNetConfig()
    fitting: Fitting = Fitting()
    content: ContentLosses = ContentLosses(charbonnier=1.0, frequency=0.1)
    content_without_vgg: ContentLosses = ContentLosses()
    vgg: str = ""
    encoder: str = ""
    frozen_fraction: float = 0.0
    adversary: Adversary = Adversary()
    shares: Shares = Shares()
    blur: BlurRecipe = field(default_factory=BlurRecipe)

    def __post_init__(self) -> None:
        if not self.content.used:
            raise ValueError("content has no loss above 0")
        if self.content.perceptual and not self.content_without_vgg.used:
            raise ValueError("content_without_vgg must name the losses of a run without a VGG19 file")
        if self.content_without_vgg.perceptual:
            raise ValueError("content_without_vgg.perceptual needs VGG19 too")
        if not 0 <= self.frozen_fraction <= 1:
            raise ValueError(f"frozen_fraction is {self.frozen_fraction}; it must be 0 to 1")
        padding, crop = padding_rule(self.network), self.fitting.crop
        if padding.network_size(crop, crop) != (crop, crop):
            least = min(padding.network_size(1, 1))
            raise ValueError(
                f"crop is {crop}; {network_name(self.network)} takes multiples of {padding.multiple} from {least} on"
            )

    def content_losses(self, with_vgg: bool) -> ContentLosses:
        """The losses of a run with or without VGG19's weights."""
        return self.content_without_vgg if self.content.perceptual and not with_vgg else self.content


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
