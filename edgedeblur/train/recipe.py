"""The recipe of a generator's training."""

from dataclasses import dataclass, field

from edgedeblur.data.blur.recipe import BlurRecipe
from edgedeblur.generators.load import padding_rule
from edgedeblur.generators.networks.unet import UNetConfig
from edgedeblur.generators.trainable import NetworkConfig, network_name
from edgedeblur.train.adversarial import LOSSES
from edgedeblur.training.recipe import Fitting, Shares, check_betas
from edgedeblur.training.recipe_table import require_choice

ADVERSARIES = (*LOSSES, "none")
DISCRIMINATORS = ("patch", "double")


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
        check_betas(self.betas)
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
