"""The discriminator: a 70x70 PatchGAN (Isola et al., CVPR 2017), as DeblurGAN uses it (Kupyn et al., CVPR 2018)."""

import torch
from torch import Tensor, nn


class PatchGan(nn.Module):
    """[N, 3, H, W] in [-1, 1] -> [N, 1, H/8 - 2, W/8 - 2] scores, each of one 70x70 patch; higher is more real.

    Convolutions 4x4 of C64-C128-C256-C512 with strides 2, 2, 2, 1 and a last one to one channel; leaky ReLU 0.2;
    instance normalisation in the inner three, which unlike batch normalisation allows a penalty per image.
    """

    def __init__(self, width: int = 64):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for level, stride in ((1, 2), (2, 2), (3, 1)):
            channels = width * 2**level
            layers += [nn.Conv2d(channels // 2, channels, 4, stride=stride, padding=1), nn.InstanceNorm2d(channels)]
            layers += [nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, padding=1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


def build_patchgan(width: int = 64, seed: int = 0) -> PatchGan:
    """A discriminator with fresh weights, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PatchGan(width)


def lsgan_discriminator_loss(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Least squares: real scores to 1, fake scores to 0 (Mao et al., ICCV 2017)."""
    return 0.5 * ((discriminator(real) - 1).square().mean() + discriminator(fake).square().mean())


def lsgan_generator_loss(scores: Tensor) -> Tensor:
    return 0.5 * (scores - 1).square().mean()


def wgan_discriminator_loss(discriminator: nn.Module, real: Tensor, fake: Tensor, penalty: float = 10.0) -> Tensor:
    """Wasserstein critic with gradient penalty (Gulrajani et al., NeurIPS 2017), the penalty weighted by `penalty`."""
    score = discriminator(fake).mean() - discriminator(real).mean()
    return score + penalty * gradient_penalty(discriminator, real, fake)


def wgan_generator_loss(scores: Tensor) -> Tensor:
    return -scores.mean()


def gradient_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Mean of (|gradient| - 1)^2 at random points between real and fake images; |.| over one image."""
    mix = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (mix * real + (1 - mix) * fake).detach().requires_grad_(True)
    scores = discriminator(between)
    (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()
