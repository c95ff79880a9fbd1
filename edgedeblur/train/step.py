"""One step of adversarial training: the discriminator against the generator's images, then the generator."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from edgedeblur.generators.networks.double_scale import build_double_scale
from edgedeblur.generators.networks.patchgan import build_patchgan
from edgedeblur.train.adversarial import LOSSES, AdversarialLoss, gradient_penalty
from edgedeblur.train.encoder import encoder_of
from edgedeblur.train.perceptual import VggFeatures, perceptual_loss
from edgedeblur.train.recipe import Adversary, ContentLosses, GeneratorRecipe
from edgedeblur.training.device import Compute
from edgedeblur.training.loop import Batch, StepFunction
from edgedeblur.training.losses import charbonnier, frequency_loss, l1, log_mse, mse
from edgedeblur.training.state import TrainingState

PIXEL_LOSSES = {"l1": l1, "mse": mse, "charbonnier": charbonnier, "frequency": frequency_loss, "psnr": log_mse}


def build_discriminator(adversary: Adversary, seed: int) -> nn.Module:
    """The recipe's discriminator with fresh weights; its `scales` are the networks that score."""
    build = build_double_scale if adversary.discriminator == "double" else build_patchgan
    return build(adversary.width, seed)


def adversarial_step(
    state: TrainingState, recipe: GeneratorRecipe, vgg: VggFeatures | None, compute: Compute, seed: int
) -> StepFunction:
    """The step function of a run on batches in [0, 1]; its losses are weighted as they enter the generator's sum.

    Without VGG19's features the content losses are the recipe's alternative, where it has a perceptual one. Everything
    random in a step is a function of seed, step and process.
    """
    adversary, clip = recipe.adversary, recipe.fitting.clip
    content = recipe.content_losses(with_vgg=vgg is not None)

    def step(batch: Batch, fraction: float) -> dict[str, float]:
        blur, sharp = (tensor.to(compute.device).mul(2).sub(1) for tensor in batch)
        torch.manual_seed(_seed_of(seed, state.step, state.processes.rank))  # dropout
        if recipe.encoder:
            encoder_of(state.main).requires_grad_(fraction >= recipe.frozen_fraction)
        with compute.autocast():
            restored = state.main(blur)
        restored = restored.float()
        values: dict[str, float] = {}
        losses = content_losses(content, vgg, restored, sharp, compute)
        if "discriminator" in state.networks and fraction >= adversary.from_fraction:
            rivalry = _Rivalry(state, adversary, compute, seed)
            values["discriminator"] = rivalry.train_discriminator(sharp, restored.detach())
            losses["adversarial"] = adversary.weight * rivalry.generator_loss(sharp, restored)
        state.optimise("generator", sum(losses.values()), clip)
        return {name: value.item() for name, value in losses.items()} | values

    return step


def content_losses(
    weights: ContentLosses, vgg: VggFeatures | None, restored: Tensor, sharp: Tensor, compute: Compute
) -> dict[str, Tensor]:
    """Each content loss of the recipe, times its weight, of images in [-1, 1]."""
    losses = {}
    for name, weight in weights.used.items():
        if name == "perceptual":
            with compute.autocast():
                losses[f"content_{name}"] = weight * perceptual_loss(vgg, restored, sharp)
        else:
            losses[f"content_{name}"] = weight * PIXEL_LOSSES[name](restored, sharp)
    return losses


@dataclass(frozen=True)
class _Rivalry:
    """The two sides of one step."""

    state: TrainingState
    adversary: Adversary
    compute: Compute
    seed: int

    def train_discriminator(self, real: Tensor, fake: Tensor) -> float:
        """As many updates as the recipe says; the loss of the last."""
        self.discriminator.requires_grad_(True)
        for update in range(self.adversary.updates):
            losses = [
                self.loss.discriminator(self._scores(scale, real), self._scores(scale, fake), self.state.processes.mean)
                for scale in self.discriminator.scales
            ]
            total = torch.stack(losses).mean()
            if self.loss.penalised:
                total = total + self.adversary.penalty * self._penalty(real, fake, update)
            self.state.optimise("discriminator", total, self.adversary.clip)
        return total.item()

    def generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Unweighted, the mean over scales (DeblurGAN-v2 weighs both alike); only the generator learns from it."""
        self.discriminator.requires_grad_(False)
        losses = []
        for scale in self.discriminator.scales:
            fake_scores = self._scores(scale, fake)
            real_scores = self._scores(scale, real) if self.loss.relativistic else fake_scores
            losses.append(self.loss.generator(real_scores, fake_scores, self.state.processes.mean))
        return torch.stack(losses).mean()

    @property
    def discriminator(self) -> nn.Module:
        return self.state.networks["discriminator"]

    @property
    def loss(self) -> AdversarialLoss:
        return LOSSES[self.adversary.kind]

    def _scores(self, scale: nn.Module, images: Tensor) -> Tensor:
        with self.compute.autocast():
            return scale(images).float()

    def _penalty(self, real: Tensor, fake: Tensor, update: int) -> Tensor:
        mix = self._mix(len(real), update).to(real.device)
        penalties = [gradient_penalty(scale, real, fake, mix) for scale in self.discriminator.scales]
        return torch.stack(penalties).mean()

    def _mix(self, count: int, update: int) -> Tensor:
        """Where between real and fake, drawn for the whole batch, so that it does not depend on how it is divided."""
        generator = torch.Generator().manual_seed(_seed_of(self.seed, self.state.step, update))
        processes = self.state.processes
        return processes.part(torch.rand(count * processes.count, 1, 1, 1, generator=generator))


def _seed_of(*numbers: int) -> int:
    """A 63-bit seed, far apart for neighbouring numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
