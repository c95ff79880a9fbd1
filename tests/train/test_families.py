"""Every family of generators is trained, resumed and written so that whatever takes a teacher recognises it."""

import dataclasses
import math
import signal

import pytest
import torch
from safetensors import safe_open
from torch import nn

from edgedeblur.errors import UserError
from edgedeblur.generators.load import load_generator
from edgedeblur.generators.networks.deblurgan_v1 import V1Config
from edgedeblur.generators.networks.deblurgan_v2 import V2Config
from edgedeblur.generators.networks.normalisation import Normalisation
from edgedeblur.generators.trainable import build_network, initial_network, save_network
from edgedeblur.restore.kinds import model_kind
from edgedeblur.train.generator import TrainOptions, train_generator
from edgedeblur.train.recipe import GeneratorRecipe
from edgedeblur.training.progress import Reporter
from edgedeblur.training.recipe import find_recipe, read_recipe
from edgedeblur.training.state import read_training_state

# a narrow network's width, the recipe's network, and a crop that it takes
SMALL = {"deblurgan": ("ngf = 4", "resnet_9blocks", 32), "deblurgan-v2": ("filters = 8", "fpn_mobilenet", 64)}


@pytest.fixture
def run(tmp_path, photos, pairs):
    """Options of a run with a shipped recipe, its networks made narrow."""

    def options(name: str, output: str = "t.safetensors", **changes) -> TrainOptions:
        text = find_recipe(name).read_text().replace("width = 64", "width = 4")
        width, network, crop = SMALL[name]
        path = tmp_path / f"small-{name}.toml"
        path.write_text(text.replace(f'name = "{network}"', f'name = "{network}"\n{width}'))
        values = {"steps": 6, "batch": 1, "crop": crop, "device": "cpu", "precision": "float32", "tensorboard": False}
        values |= {"data": (photos,), "validation": (pairs,), "recipe": str(path)} | changes
        return TrainOptions(output=tmp_path / output, **values)

    return options


@pytest.mark.parametrize("name", SMALL)
def test_losses_are_finite_and_move_and_a_resumed_run_has_the_same(run, recorded, monkeypatch, name):
    train_generator(run(name, "whole.safetensors"))
    whole = list(recorded)
    assert {"adversarial", "content_l1", "discriminator"} == set(whole[0])
    for loss in whole[0]:
        values = [step[loss] for step in whole]
        assert all(map(math.isfinite, values)) and len(set(values)) == len(values)
    recorded.clear()
    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "step", _interrupting_at(2, Reporter.step))
        with pytest.raises(UserError, match="stopped at step 3"):
            train_generator(run(name))
    train_generator(run(name, resume=True))
    assert recorded == whole
    first, second = (load_generator(run(name, f"{output}.safetensors").output).network for output in ("whole", "t"))
    for expected, got in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(expected, got)


@pytest.mark.parametrize("name", SMALL)
def test_a_trained_file_is_a_teacher_like_upstreams(run, name):
    path = train_generator(run(name, steps=1))
    generator = load_generator(path)
    assert (generator.info.family, generator.info.variant) == (
        {"deblurgan": "deblurgan-v1", "deblurgan-v2": "deblurgan-v2"}[name],
        SMALL[name][1],
    )
    assert model_kind(path) == "teacher"
    assert generator(torch.rand(1, 3, 70, 65)).shape == (1, 3, 70, 65)
    with safe_open(str(path), "pt") as file:
        assert '"steps": 1' in file.metadata()["training"]


def test_an_inception_generator_is_written_as_a_teacher(tmp_path):
    config = V2Config("inception", filters=8)
    network = build_network(config, seed=0).eval()
    generator = load_generator(save_network(tmp_path / "t.safetensors", network, config, {}))
    assert generator.info.variant == "fpn_inception"
    image = torch.rand(1, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        assert torch.equal(generator.network(image), network(image))


def test_training_keeps_the_statistics_that_a_file_can_be_read_with(run):
    path = train_generator(run("deblurgan-v2", steps=2))
    generator = load_generator(path, bn="running")
    norm = generator.network.get_submodule("fpn.features.0.1")
    assert norm.running_mean.abs().max() > 0 and (norm.running_var != 1).all()
    assert torch.isfinite(generator(torch.rand(1, 3, 64, 64))).all()


def test_the_statistics_of_an_image_are_those_of_batch_norm_with_one_image():
    """DeblurGAN-v2 was trained with a batch of one, where torch's BatchNorm2d sees what Normalisation sees."""
    ours, torchs = Normalisation(3, affine=True, stored=True).train(), nn.BatchNorm2d(3).train()
    for _ in range(3):
        image = torch.randn(1, 3, 5, 7) * 3 + 1
        assert torch.allclose(ours(image), torchs(image), atol=1e-6)
    assert torch.allclose(ours.running_mean, torchs.running_mean, atol=1e-6)
    assert torch.allclose(ours.running_var, torchs.running_var, atol=1e-5)
    before = ours.running_mean.clone()
    ours.eval()(image)
    assert torch.equal(ours.running_mean, before)


def test_dropout_works_while_training_and_not_in_the_written_file(tmp_path):
    network = build_network(V1Config(blocks=1, ngf=4), seed=0)
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert not torch.equal(network.train()(image), network(image))
        generator = load_generator(save_network(tmp_path / "t.safetensors", network, network.config, {}))
        assert torch.equal(generator.network.train()(image), network.eval()(image))


def test_a_run_starts_from_a_file_of_its_family_only(run, tmp_path):
    start = V1Config(blocks=2, block_layout="no dropout", ngf=6)
    path = save_network(tmp_path / "start.safetensors", build_network(start, seed=4), start, {})
    options = run("deblurgan", steps=1, rate=1e-9, init=path)
    before, after = load_generator(path).network, load_generator(train_generator(options)).network
    assert after.config == start
    for expected, got in zip(before.state_dict().values(), after.state_dict().values(), strict=True):
        assert torch.allclose(expected, got, atol=1e-6)
    with pytest.raises(UserError, match="holds deblurgan-v1 resnet_2blocks; the recipe trains fpn_mobilenet"):
        train_generator(run("deblurgan-v2", init=path))


def test_what_a_file_does_not_tell_is_as_the_recipe_says(tmp_path):
    config = V1Config(blocks=1, ngf=4, learn_residual=False)
    path = save_network(tmp_path / "t.safetensors", build_network(config, seed=0), config, {})
    assert initial_network(path, config).config == config


def test_a_run_may_start_from_weights_in_half_precision(tmp_path):
    config = V2Config(filters=8)
    state = build_network(config, seed=1).state_dict()
    torch.save({name: tensor.half() for name, tensor in state.items()}, tmp_path / "half.pth")
    started = initial_network(tmp_path / "half.pth", config).state_dict()
    assert all(torch.equal(started[name], state[name].half().float()) for name in state)


def test_the_recipes_network_can_be_exchanged(run):
    options = run("deblurgan-v2", network="unet", steps=1)
    assert load_generator(train_generator(options)).info.family == "unet"
    with pytest.raises(UserError, match="fpn_inception takes multiples of 32 from 128 on"):
        train_generator(run("deblurgan-v2", network="fpn_inception"))


def test_bfloat16_trains_with_finite_losses(run, recorded):
    train_generator(run("deblurgan-v2", steps=2, precision="bfloat16"))
    assert all(math.isfinite(value) for step in recorded for value in step.values())


def test_without_a_batch_a_cpu_takes_the_recipes_smaller_one(run, recorded):
    options = run("deblurgan-v2", steps=1, batch=None)
    train_generator(options)
    recipe = read_recipe(options.recipe, GeneratorRecipe).fitting
    used = read_training_state(options.output.with_suffix(".finished.pt"))["identity"]["recipe"]["fitting"]["batch"]
    assert used == recipe.cpu_batch < recipe.batch
    with pytest.raises(UserError, match="another recipe"):
        train_generator(dataclasses.replace(options, batch=recipe.batch, resume=True))


def _interrupting_at(number, original):
    def step(reporter, state, budget, values):
        if state.step == number:
            signal.raise_signal(signal.SIGINT)
        original(reporter, state, budget, values)

    return step
