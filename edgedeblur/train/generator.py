"""Adversarial training of the U-Net generator: the teacher that students learn from."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

from edgedeblur.checkpoints import UNET, load_state, read_model, save_model
from edgedeblur.data.training_data import TrainingData, open_training_data
from edgedeblur.errors import UserError
from edgedeblur.generators import patchgan
from edgedeblur.generators.unet import UNet, UNetConfig, build_unet
from edgedeblur.train.device import Compute, choose_compute
from edgedeblur.train.loop import Batch, StepFunction
from edgedeblur.train.losses import charbonnier, frequency_loss
from edgedeblur.train.recipe import RECIPES, GeneratorRecipe, read_recipe, to_table
from edgedeblur.train.session import fitting_of, run_session
from edgedeblur.train.state import TrainingState
from edgedeblur.train.validation import RestoreImage, mean_psnr, restore_image

DEFAULT_RECIPE = RECIPES / "unet.toml"


@dataclass(frozen=True)
class TrainOptions:
    """Options of `train`.

    output: the model file to write; the state for --resume is kept beside it as `<name>.state.pt`.
    data: folders to train on, each `FOLDER` or `KIND:FOLDER` with KIND photos, pairs or frames; none: default photos.
    validation: folders of pairs to measure on; none: a part of the data is held back.
    recipe: a TOML file; None is the shipped `unet.toml`.
    steps, minutes: the run ends at whichever comes first, and the learning rate falls accordingly.
    batch, crop, rate: override the recipe where not None.
    seed: of initial weights and data. device: auto, cpu, cuda, cuda:N. precision: auto, float32, bfloat16, float16.
    init: a U-Net model file to start from instead of fresh weights. resume: go on from the saved state.
    tensorboard: True, False, or None for "where it is installed". threads: that prepare batches.
    checkpoint_minutes, validate_minutes: how often the state is saved and PSNR is measured.
    """

    output: Path
    data: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    recipe: Path | None = None
    steps: int | None = None
    minutes: float | None = None
    batch: int | None = None
    crop: int | None = None
    rate: float | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    init: Path | None = None
    resume: bool = False
    tensorboard: bool | None = None
    threads: int = 1
    checkpoint_minutes: float = 5.0
    validate_minutes: float = 10.0


def train_generator(options: TrainOptions, console: Console | None = None) -> Path:
    """Train a U-Net against sharp images and a PatchGAN, and write its model file (float16 weights).

    1. read the recipe and open the data; 2. build generator, discriminator and optimisers, or resume them;
    3. run the loop; 4. write the averaged weights with the facts of the run.

    Raises:
        UserError: bad options, recipe or data; nothing to resume from; interrupted (resumable).
    """
    compute = choose_compute(options.device, options.precision)
    recipe = read_recipe(options.recipe or DEFAULT_RECIPE, GeneratorRecipe)
    recipe = replace(recipe, fitting=fitting_of(options, recipe.fitting))
    data = open_training_data(options.data, options.validation, recipe.blur, vars(recipe.shares), options.seed)
    state = _new_state(options, recipe, compute)
    restore = _restore(state, compute)
    step_function = _step_function(state, recipe, compute)
    result = run_session(options, "training", state, recipe.fitting, data, step_function, restore, console)
    return _write(options, recipe, state, data, result)


def _new_state(options: TrainOptions, recipe: GeneratorRecipe, compute: Compute) -> TrainingState:
    generator = build_unet(recipe.network, options.seed)
    if options.init is not None:
        generator = _initial(options.init)
    networks: dict[str, nn.Module] = {"generator": generator.to(compute.device).train()}
    fitting, adversary = recipe.fitting, recipe.adversary
    optimisers = {
        "generator": torch.optim.AdamW(generator.parameters(), fitting.rate, weight_decay=fitting.weight_decay)
    }
    if adversary.kind != "none" and adversary.weight > 0:
        networks["discriminator"] = patchgan.build_patchgan(adversary.width, options.seed).to(compute.device)
        parameters = networks["discriminator"].parameters()
        optimisers["discriminator"] = torch.optim.Adam(parameters, adversary.rate, betas=(0.5, 0.999))
    identity = {"kind": "generator", "seed": options.seed, "data": list(options.data), "recipe": to_table(recipe)}
    return TrainingState(networks, optimisers, compute.scaler(), fitting.average, json.loads(json.dumps(identity)))


def _initial(path: Path) -> UNet:
    model = read_model(path)
    if model.kind != UNET:
        raise UserError(f"{path} holds a {model.kind}; training starts from a {UNET}")
    generator = build_unet(UNetConfig.from_json(model.config))
    load_state(path, generator, model.state)
    return generator


def _step_function(state: TrainingState, recipe: GeneratorRecipe, compute: Compute) -> StepFunction:
    adversary = recipe.adversary

    def step(batch: Batch, fraction: float) -> dict[str, float]:
        blur, sharp = (tensor.to(compute.device).mul(2).sub(1) for tensor in batch)
        adversarial = "discriminator" in state.networks and fraction >= adversary.from_fraction
        with compute.autocast():
            restored = state.main(blur)
        losses = {
            "charbonnier": recipe.content.charbonnier * charbonnier(restored, sharp),
            "frequency": recipe.content.frequency * frequency_loss(restored, sharp),
        }
        values = {}
        if adversarial:
            values["discriminator"] = _discriminator_step(state, recipe, compute, sharp, restored.detach())
            losses["adversarial"] = adversary.weight * _adversarial_loss(state, recipe, compute, restored)
        state.optimise("generator", sum(losses.values()), recipe.fitting.clip)
        return values | {name: value.item() for name, value in losses.items()}

    return step


def _discriminator_step(
    state: TrainingState, recipe: GeneratorRecipe, compute: Compute, real: Tensor, fake: Tensor
) -> float:
    discriminator = state.networks["discriminator"].requires_grad_(True)
    with compute.autocast():
        if recipe.adversary.kind == "lsgan":
            loss = patchgan.lsgan_discriminator_loss(discriminator, real, fake)
        else:
            loss = patchgan.wgan_discriminator_loss(discriminator, real, fake, recipe.adversary.penalty)
    state.optimise("discriminator", loss, clip=10.0)
    return loss.item()


def _adversarial_loss(state: TrainingState, recipe: GeneratorRecipe, compute: Compute, restored: Tensor) -> Tensor:
    discriminator = state.networks["discriminator"].requires_grad_(False)  # only the generator learns from this
    with compute.autocast():
        scores = discriminator(restored).float()
    lsgan = recipe.adversary.kind == "lsgan"
    return patchgan.lsgan_generator_loss(scores) if lsgan else patchgan.wgan_generator_loss(scores)


def _restore(state: TrainingState, compute: Compute) -> RestoreImage:
    def network(tensor: Tensor) -> Tensor:
        with compute.autocast():
            return (state.averaged(tensor * 2 - 1) + 1) / 2

    return lambda image: restore_image(network, image, state.main.multiple, compute.device)


def _write(
    options: TrainOptions, recipe: GeneratorRecipe, state: TrainingState, data: TrainingData, result: dict[str, float]
) -> Path:
    blurred = mean_psnr(data.validation, lambda image: image)
    metadata = {
        "recipe": to_table(recipe),
        "data": data.described,
        "seed": options.seed,
        "steps": state.step,
        "minutes": round(state.seconds / 60, 1),
        "psnr_db": {"blurred": blurred, "restored": result},
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "torch": torch.__version__,
    }
    config = state.main.config.to_json()
    return save_model(options.output, UNET, state.averaged.state_dict(), config, metadata, half=True)
