"""A training run of a generator, from options to the file of a teacher that students learn from."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

from edgedeblur.data.training_data import TrainingData, open_training_data
from edgedeblur.errors import UserError
from edgedeblur.generators.load import padding_rule
from edgedeblur.generators.networks.deblurgan_v1 import V1Config
from edgedeblur.generators.trainable import NETWORKS, build_network, initial_network, save_network
from edgedeblur.storage.digests import digest
from edgedeblur.train.encoder import load_encoder
from edgedeblur.train.perceptual import VggFeatures, load_vgg
from edgedeblur.train.recipe import GeneratorRecipe
from edgedeblur.train.step import adversarial_step, build_discriminator
from edgedeblur.training.device import Compute, choose_compute
from edgedeblur.training.processes import Processes, joined_processes
from edgedeblur.training.recipe import find_recipe, read_recipe
from edgedeblur.training.recipe_table import to_table
from edgedeblur.training.saved_state import mark_finished
from edgedeblur.training.session import SessionOptions, check_output, fitting_of, new_optimiser, run_session
from edgedeblur.training.state import TrainingState
from edgedeblur.training.validation import RestoreImage, mean_psnr, restore_image

DEFAULT_RECIPE = "unet"


@dataclass(frozen=True, kw_only=True)
class TrainOptions(SessionOptions):
    """Options of `train`.

    recipe: a shipped one's name or a TOML file. network: a key of `NETWORKS`, in place of the recipe's network.
    vgg, encoder: ImageNet weights of VGG19 for the perceptual loss, and of DeblurGAN-v2's encoder to start from, in
        place of the recipe's files.
    """

    recipe: str = DEFAULT_RECIPE
    network: str | None = None
    vgg: Path | None = None
    encoder: Path | None = None


def train_generator(options: TrainOptions, console: Console | None = None) -> Path | None:
    """Train a generator against sharp images and a discriminator, and write its file.

    Started by torchrun, each process trains on its own part of every batch, and only the first tells and writes.

    1. read the recipe, load what it names, open the data; 2. build generator, discriminator and optimisers, or resume
    them; 3. run the loop; 4. write the averaged weights with the facts of the run.

    Returns:
        The file; None in a process that is not the first.

    Raises:
        UserError: bad options, recipe, weights or data; nothing to resume from; interrupted (resumable); diverged.
    """
    compute = choose_compute(options.device, options.precision)
    with joined_processes(compute.device) as processes:
        with processes.failing_together():
            if processes.first:
                check_output(options)
            run = _prepare(options, compute, processes)
        if console is not None and processes.first:
            for line in run.remarks():
                console.print(line, highlight=False, markup=False, soft_wrap=True)
        step_function = adversarial_step(run.state, run.recipe, run.vgg, compute, options.seed)
        restore = _restore(run.state, compute)
        result = run_session(
            options, "training", run.state, run.recipe.fitting, run.data, step_function, restore, console
        )
        if not processes.first:
            return None
        written = _write(options, run, result)
        mark_finished(options.output)
        return written


@dataclass(frozen=True)
class _Run:
    """What a run consists of. published_batch: the recipe's, where that of this run is smaller because of a CPU."""

    recipe: GeneratorRecipe
    vgg: VggFeatures | None
    data: TrainingData
    state: TrainingState
    published_batch: int | None

    def remarks(self) -> list[str]:
        """What a user should know of this run before it begins."""
        recipe, lines = self.recipe, []
        if recipe.content.perceptual and self.vgg is None:
            used = ", ".join(f"{name} {weight:g}" for name, weight in recipe.content_without_vgg.used.items())
            lines.append(
                f"no perceptual loss: no VGG19 weights are named (--vgg FILE); content loss instead: {used} "
                "(the recipe's content_without_vgg)"
            )
        if self.published_batch is not None:
            batch, of_recipe = recipe.fitting.batch, self.published_batch
            lines.append(f"batch {batch} on a CPU (the recipe's cpu_batch); --batch {of_recipe} is that of a GPU")
        if isinstance(recipe.network, V1Config) and not recipe.network.learn_residual:
            lines.append("the file will not tell that learn_residual is off: read it with --no-learn-residual")
        return lines


def _prepare(options: TrainOptions, compute: Compute, processes: Processes) -> _Run:
    of_file = read_recipe(find_recipe(options.recipe), GeneratorRecipe)
    recipe = _overridden(of_file, options, compute)
    vgg = load_vgg(Path(recipe.vgg)).to(compute.device) if recipe.vgg and recipe.content.perceptual else None
    data = open_training_data(
        options.data, options.validation, recipe.blur, vars(recipe.shares), options.seed, options.shake
    )
    generator = build_network(recipe.network, options.seed)
    if options.init is not None:
        generator = initial_network(options.init, recipe.network)
        recipe = _changed(recipe, network=generator.config, encoder="")
    elif recipe.encoder:
        load_encoder(generator, Path(recipe.encoder))
    state = _new_state(options, recipe, generator, compute, processes)
    smaller = options.batch is None and recipe.fitting.batch != of_file.fitting.batch
    return _Run(recipe, vgg, data, state, of_file.fitting.batch if smaller else None)


def _overridden(recipe: GeneratorRecipe, options: TrainOptions, compute: Compute) -> GeneratorRecipe:
    """The recipe with what the options say in its place."""
    fitting = fitting_of(options, recipe.fitting, compute.device)
    network = recipe.network if options.network is None else NETWORKS[options.network]
    files = {name: str(path) for name in ("vgg", "encoder") if (path := getattr(options, name)) is not None}
    if options.vgg is not None and not recipe.content.perceptual:
        raise UserError(
            f"recipe {options.recipe} has no perceptual loss for --vgg {options.vgg}",
            "set content.perceptual in the recipe, or leave --vgg out",
            exit_code=2,
        )
    if options.init is not None and options.encoder is not None:
        raise UserError("--init has an encoder already", "leave --encoder or --init out", exit_code=2)
    return _changed(recipe, fitting=fitting, network=network, **files)


def _changed(recipe: GeneratorRecipe, **values: object) -> GeneratorRecipe:
    try:
        return replace(recipe, **values)
    except ValueError as error:
        raise UserError(str(error), exit_code=2) from error


def _new_state(
    options: TrainOptions, recipe: GeneratorRecipe, generator: nn.Module, compute: Compute, processes: Processes
) -> TrainingState:
    networks = {"generator": generator.to(compute.device).train()}
    optimisers = {"generator": new_optimiser(generator.parameters(), recipe.fitting)}
    adversary = recipe.adversary
    if adversary.takes_part:
        networks["discriminator"] = build_discriminator(adversary, options.seed).to(compute.device)
        parameters = networks["discriminator"].parameters()
        optimisers["discriminator"] = torch.optim.Adam(parameters, adversary.rate, betas=adversary.betas)
    whole_batch = replace(recipe.fitting, batch=recipe.fitting.batch * processes.count)
    identity = {
        "kind": "generator",
        "seed": options.seed,
        "data": list(options.data),
        "shake": str(options.shake) if options.shake else None,
        "recipe": _table(replace(recipe, fitting=whole_batch)),
        "sha256": {name: digest(Path(path)) for name in ("vgg", "encoder") if (path := getattr(recipe, name))},
    }
    return TrainingState(networks, optimisers, compute.scaler(), recipe.fitting.average, identity, processes)


def _table(recipe: GeneratorRecipe) -> dict:
    """The recipe with the names of its files alone: where they lie says nothing of a run."""
    return to_table(replace(recipe, vgg=Path(recipe.vgg).name, encoder=Path(recipe.encoder).name))


def _restore(state: TrainingState, compute: Compute) -> RestoreImage:
    padding = padding_rule(state.main.config)

    def network(image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        with compute.autocast():
            restored = state.averaged(padding.apply(image * 2 - 1))
        return (restored[..., :height, :width].float() + 1) / 2

    return lambda image: restore_image(network, image, 1, compute.device)


def _write(options: TrainOptions, run: _Run, result: dict[str, float]) -> Path:
    state, data = run.state, run.data
    facts = {
        "recipe": _table(run.recipe),
        "sha256": state.identity["sha256"],
        "init": options.init.name if options.init is not None else None,
        "processes": state.processes.count,
        "data": data.described,
        "seed": options.seed,
        "steps": state.step,
        "minutes": round(state.seconds / 60, 1),
        "psnr_db": {"blurred": mean_psnr(data.validation, lambda image: image), "restored": result},
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "torch": torch.__version__,
    }
    return save_network(options.output, state.averaged, state.main.config, facts)
