"""The distillation recipe: what a run is besides teacher, tier, data and length."""

from dataclasses import dataclass, field

from edgedeblur.data.blur import BlurRecipe
from edgedeblur.train.recipe import Fitting, Shares


@dataclass(frozen=True)
class DistillWeights:
    """Weights of the losses; a term of weight 0 is not computed.

    sharp: Charbonnier to the sharp image. teacher: Charbonnier to the teacher's output. feature: distance to the
    teacher's deepest features. frequency: L1 of the spectrum's difference to the sharp image.
    """

    sharp: float = 1.0
    teacher: float = 0.5
    feature: float = 0.02
    frequency: float = 0.5

    def __post_init__(self) -> None:
        values = vars(self).values()
        if min(values) < 0 or max(values) == 0:
            raise ValueError(f"loss weights must not be negative, and one must be above 0: {vars(self)}")

    @property
    def needs_teacher(self) -> bool:
        return self.teacher > 0 or self.feature > 0


@dataclass(frozen=True)
class DistillRecipe:
    """Everything about a distillation that is not teacher, tier, data and length."""

    fitting: Fitting = field(default_factory=Fitting)
    losses: DistillWeights = field(default_factory=DistillWeights)
    shares: Shares = field(default_factory=Shares)
    blur: BlurRecipe = field(default_factory=BlurRecipe)
