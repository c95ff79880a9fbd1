"""Adversarial losses: what a discriminator and a generator minimise, given the discriminator's scores.

Each is a pair of functions of (scores of sharp images, scores of restored ones), float32 tensors of any shape. A loss
is a mean over scores; the relativistic ones also compare with the mean over the batch, and take as `mean` a function
that gives it over all processes of a run.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Mean = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, Tensor, Mean], Tensor]


@dataclass(frozen=True)
class AdversarialLoss:
    """discriminator, generator: (real scores, fake scores, mean) -> loss. penalised: with a gradient penalty.
    relativistic: the generator's loss depends on the real scores too."""

    discriminator: Loss
    generator: Loss
    penalised: bool = False
    relativistic: bool = False


def wgan_discriminator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    """Wasserstein critic (Arjovsky et al., ICML 2017): sharp images score high, restored ones low."""
    return fake.mean() - real.mean()


def wgan_generator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    return -fake.mean()


def lsgan_discriminator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    """Least squares (Mao et al., ICCV 2017): real scores to 1, fake scores to 0."""
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def lsgan_generator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    return 0.5 * (fake - 1).square().mean()


def ragan_ls_discriminator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    """Relativistic average least squares (Jolicoeur-Martineau, ICLR 2019; DeblurGAN-v2, section 3.2): a real image
    scores one above the mean fake one, a fake image one below the mean real one. Half the paper's sum, as its code."""
    return 0.5 * ((real - mean(fake) - 1).square().mean() + (fake - mean(real) + 1).square().mean())


def ragan_ls_generator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    return 0.5 * ((real - mean(fake) + 1).square().mean() + (fake - mean(real) - 1).square().mean())


def bce_discriminator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    """Cross-entropy of the scores as logits (Goodfellow et al., NeurIPS 2014)."""
    return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())


def bce_generator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    """Non-saturating: -log D(restored), which still has a gradient where the discriminator is sure."""
    return F.softplus(-fake).mean()


LOSSES = {
    "wgan-gp": AdversarialLoss(wgan_discriminator, wgan_generator, penalised=True),
    "lsgan": AdversarialLoss(lsgan_discriminator, lsgan_generator),
    "ragan-ls": AdversarialLoss(ragan_ls_discriminator, ragan_ls_generator, relativistic=True),
    "bce": AdversarialLoss(bce_discriminator, bce_generator),
}


def gradient_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Mean of (|gradient| - 1)^2 at points between real and fake images (Gulrajani et al., NeurIPS 2017).

    Args:
        mix: [N, 1, 1, 1] in [0, 1], how much of the real image is in each point.

    The gradient is that of an image's mean score, which is what the critic's loss compares, and |.| is over the whole
    image, as in the paper. (Both DeblurGAN repositories take the gradient of the sum of the scores, and its norm over
    the three channels of each pixel.) Computed in float32: the gradient of a pixel is too small for 16-bit formats.
    """
    between = (mix * real + (1 - mix) * fake).detach().float().requires_grad_(True)
    with torch.autocast(real.device.type, enabled=False):
        scores = discriminator(between)
        values = scores.reshape(len(scores), -1).mean(dim=1)
        (gradient,) = torch.autograd.grad(values.sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()
