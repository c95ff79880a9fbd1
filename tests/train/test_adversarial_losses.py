"""Adversarial losses against the formulas of their papers, written out score by score."""

import math

import pytest
import torch
from torch import nn

from edgedeblur.generators.networks.patchgan import build_patchgan
from edgedeblur.train.adversarial import LOSSES, gradient_penalty

REAL, FAKE = [0.3, -1.2, 2.0], [0.1, 0.9, -0.5]


def mean(values):
    return sum(values) / len(values)


def sigmoid(score):
    return 1 / (1 + math.exp(-score))


def paper(kind: str) -> tuple[float, float]:
    """(discriminator's, generator's) loss of the scores above."""
    mean_real, mean_fake = mean(REAL), mean(FAKE)
    if kind == "wgan-gp":
        return mean_fake - mean_real, -mean_fake
    if kind == "lsgan":
        return (mean([(r - 1) ** 2 for r in REAL]) + mean([f**2 for f in FAKE])) / 2, mean(
            [(f - 1) ** 2 for f in FAKE]
        ) / 2
    if kind == "bce":
        sure = mean([-math.log(sigmoid(r)) for r in REAL]) + mean([-math.log(1 - sigmoid(f)) for f in FAKE])
        return sure / 2, mean([-math.log(sigmoid(f)) for f in FAKE])
    real, fake = [r - mean_fake for r in REAL], [f - mean_real for f in FAKE]
    return (
        (mean([(r - 1) ** 2 for r in real]) + mean([(f + 1) ** 2 for f in fake])) / 2,
        (mean([(r + 1) ** 2 for r in real]) + mean([(f - 1) ** 2 for f in fake])) / 2,
    )


@pytest.mark.parametrize("kind", LOSSES)
def test_losses_are_those_of_their_papers(kind):
    scores = torch.tensor(REAL), torch.tensor(FAKE)
    got = LOSSES[kind].discriminator(*scores, torch.mean), LOSSES[kind].generator(*scores, torch.mean)
    assert [loss.item() for loss in got] == pytest.approx(paper(kind), rel=1e-5)


def test_a_sure_discriminator_still_gives_the_generator_a_gradient():
    """Non-saturating: at a score of -20, log(1 - D) would have a gradient of 2e-9."""
    score = torch.tensor([-20.0], requires_grad=True)
    LOSSES["bce"].generator(score, score, torch.mean).backward()
    assert score.grad.item() == pytest.approx(-1, abs=1e-6)


def test_the_gradient_penalty_of_a_linear_critic_is_known():
    """score = sum(w * x): the gradient is w everywhere, so the penalty is (|w| - 1)^2."""

    class Linear(nn.Module):
        def forward(self, x):
            return (3.0 / x[0].numel() ** 0.5 * x).sum(dim=(1, 2, 3))

    real, fake, mix = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), torch.rand(2, 1, 1, 1)
    assert gradient_penalty(Linear(), real, fake, mix).item() == pytest.approx(4.0, rel=1e-4)


def test_a_critic_of_patches_counts_by_its_mean_score():
    """Two scores with gradients 3u and -u, u of length 1: their mean has u."""

    class Two(nn.Module):
        def forward(self, x):
            score = (x / x[0].numel() ** 0.5).sum(dim=(1, 2, 3))
            return torch.stack([3 * score, -score], dim=1).view(-1, 1, 1, 2)

    real, fake, mix = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), torch.rand(2, 1, 1, 1)
    assert gradient_penalty(Two(), real, fake, mix).item() == pytest.approx(0.0, abs=1e-6)


def test_the_gradient_penalty_is_taken_between_real_and_fake():
    """score = sum(x^2) / 2 has the point itself as its gradient."""

    class Square(nn.Module):
        def forward(self, x):
            return x.square().sum(dim=(1, 2, 3)) / 2

    real, fake = torch.full((2, 3, 4, 4), 0.5), torch.full((2, 3, 4, 4), -0.25)
    mix = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    norms = [0.25 * 48**0.5, 0.5 * 48**0.5]
    expected = mean([(norm - 1) ** 2 for norm in norms])
    assert gradient_penalty(Square(), real, fake, mix).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_discriminator_learns_to_tell_real_from_fake(kind):
    discriminator, loss = build_patchgan(8), LOSSES[kind]
    optimiser = torch.optim.Adam(discriminator.parameters(), 2e-3, betas=(0.5, 0.999))
    torch.manual_seed(0)
    for _ in range(120):
        real, fake = _noise_and_blocks(4)
        optimiser.zero_grad()
        total = loss.discriminator(discriminator(real), discriminator(fake), torch.mean)
        if loss.penalised:
            total = total + 10 * gradient_penalty(discriminator, real, fake, torch.rand(4, 1, 1, 1))
        total.backward()
        optimiser.step()
    with torch.no_grad():
        real, fake = _noise_and_blocks(32)
        assert discriminator(real).mean() > discriminator(fake).mean()


def _noise_and_blocks(count):
    """Pixel noise as real images, noise in blocks of 8x8 as fake ones."""
    fake = torch.rand(count, 3, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    return torch.rand(count, 3, 32, 32) * 2 - 1, fake * 2 - 1
