"""The distillation recipe: what a run is besides teacher, tier, data and length."""

from dataclasses import dataclass, field

from edgedeblur.data.blur.recipe import BlurRecipe
from edgedeblur.training.recipe import Fitting, Shares


@dataclass(frozen=True)
class DistillWeights:
    """Weights of the losses; a term of weight 0 is not computed.

    psnr: log10 of the mean squared error to the sharp image, over the batch. harm: log10 of how much further from the
    sharp image than the blurred one the output is, of pictures that come out worse than they came in. sharp:
    Charbonnier to the sharp image. teacher: Charbonnier to the teacher's output, less where the student is nearer to
    the sharp image than it (`trust`). feature: distance to the teacher's deepest features. frequency: L1 of the
    spectrum's difference to the sharp image.
    """

    psnr: float = 0.0
    harm: float = 0.0
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
    """Everything about a distillation that is not teacher, tier, data and length.

    head_rate: learning rate of the student's last convolution, as a share of `fitting.rate`. Its sums reach the image
    directly, where a hundredth is much; in the layers before, outputs are of the order of one. tuning_rate: share of
    `fitting.rate` at which a student that is trained already goes on (`--init`); a `--rate` is taken as it is.
    gates: the student has gates (`student/`); one to start from that has none gets them, without effect at first, and
    one that has them keeps them in any case.
    """

    fitting: Fitting = field(default_factory=Fitting)
    losses: DistillWeights = field(default_factory=DistillWeights)
    shares: Shares = field(default_factory=Shares)
    blur: BlurRecipe = field(default_factory=BlurRecipe)
    head_rate: float = 1.0
    tuning_rate: float = 1.0
    gates: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.head_rate <= 1 or not 0 < self.tuning_rate <= 1:
            raise ValueError(
                f"head_rate is {self.head_rate}, tuning_rate {self.tuning_rate}; they must be above 0, at most 1"
            )
