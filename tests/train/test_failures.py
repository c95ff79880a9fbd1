"""What goes wrong in training: one message, the last good state kept, nothing half-written."""

import contextlib
import dataclasses
import math
import os
import resource
import signal
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

from edgedeblur.cli.main import cli
from edgedeblur.errors import UserError
from edgedeblur.generators.trainable import NETWORKS
from edgedeblur.student.model_file import read_model
from edgedeblur.train import step as stepping
from edgedeblur.train.generator import TrainOptions, train_generator
from edgedeblur.training.state import TrainingState, read_training_state

RECIPE = """
[network]
widths = [8, 8, 16]
encoder_blocks = [1, 1, 1]
decoder_blocks = [1, 1]
[fitting]
batch = 1
crop = 32
[content]
{content} = 1.0
[content_without_vgg]
l1 = 2.0
[adversary]
from_fraction = 0.0
width = 4
"""


@pytest.fixture
def run(tmp_path, photos, pairs):
    def options(content: str = "l1", **changes) -> TrainOptions:
        recipe = tmp_path / f"{content}.toml"
        recipe.write_text(RECIPE.format(content=content))
        values = {"steps": 6, "device": "cpu", "precision": "float32", "tensorboard": False, "checkpoint_minutes": 0.0}
        values |= {"data": (photos,), "validation": (pairs,), "recipe": str(recipe)} | changes
        return TrainOptions(output=tmp_path / "t.safetensors", **values)

    return options


@pytest.fixture
def full_disk():
    """A block in which no file may grow beyond so many bytes: the system refuses what is written after them."""

    @contextlib.contextmanager
    def block(size: int):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return block


@pytest.fixture
def diverging(monkeypatch):
    """A block in which the content loss is another value from the fourth step on."""

    @contextlib.contextmanager
    def block(value: float):
        calls, original = [], stepping.PIXEL_LOSSES["l1"]

        def loss(restored, sharp):
            calls.append(None)
            return original(restored, sharp) * (value if len(calls) >= 4 else 1.0)

        with monkeypatch.context() as patch:
            patch.setitem(stepping.PIXEL_LOSSES, "l1", loss)
            yield

    return block


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_state(run, diverging, value):
    options, told = run(), f"content_l1 loss is {value} at step 4; the state of step 3 is kept"
    with diverging(value), pytest.raises(UserError, match=told) as caught:
        train_generator(options)
    assert "--resume and a lower --rate" in caught.value.fix
    assert read_training_state(options.output.with_suffix(".state.pt"))["step"] == 3
    assert not options.output.exists()


def test_after_diverging_the_run_goes_on_with_a_lower_rate(run, diverging):
    with diverging(math.nan), pytest.raises(UserError, match="training diverged"):
        train_generator(run())
    facts = read_model(train_generator(run(resume=True, rate=1e-5))).metadata
    assert facts["steps"] == 6 and facts["recipe"]["fitting"]["rate"] == 1e-5


def test_diverging_before_the_first_checkpoint_says_so(run, diverging):
    with diverging(math.nan), pytest.raises(UserError, match="no state had been saved yet"):
        train_generator(run(checkpoint_minutes=60.0))


def test_weights_that_are_not_finite_are_not_saved_over_good_ones(run, monkeypatch):
    """As where losses are read late: the loss that was told is finite, the weights are no longer."""
    options, told = run(), "weights are NaN or infinite at step 3; the state of step 2 is kept"

    def spoil(state, name, loss, clip):
        original(state, name, loss, clip)
        if state.step == 2:
            next(state.main.parameters()).data.fill_(math.nan)

    original = TrainingState.optimise
    monkeypatch.setattr(TrainingState, "optimise", spoil)
    with pytest.raises(UserError, match=told):
        train_generator(options)
    assert read_training_state(options.output.with_suffix(".state.pt"))["step"] == 2


def test_a_full_disk_ends_the_run_and_keeps_the_state_before(run, tmp_path, full_disk):
    train_generator(run(steps=2))
    os.rename(tmp_path / "t.finished.pt", tmp_path / "t.state.pt")
    before = (tmp_path / "t.state.pt").read_bytes()
    with full_disk(len(before) // 2), pytest.raises(UserError, match=r"cannot write .*t.state.pt") as caught:
        train_generator(run(resume=True))
    assert "ulimit -f" in caught.value.fix
    assert (tmp_path / "t.state.pt").read_bytes() == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("network", ["unet", "fpn_mobilenet"])
def test_a_disk_that_is_full_at_the_end_leaves_no_half_written_generator(tmp_path, full_disk, network):
    from edgedeblur.generators.trainable import build_network, save_network

    config = NETWORKS[network]
    with full_disk(100_000), pytest.raises(UserError, match=r"cannot write .*g.safetensors"):
        save_network(tmp_path / "g.safetensors", build_network(config, 0), config, {})
    assert not list(tmp_path.iterdir())


def test_without_vgg_the_run_says_so_and_names_its_alternative(run, recorded, capsys):
    from rich.console import Console

    train_generator(run("perceptual", steps=1), Console(stderr=True, width=200))
    told = capsys.readouterr().err
    assert "no VGG19 weights are named (--vgg FILE); content loss instead: l1 2" in told
    assert "content_l1" in recorded[0] and "content_perceptual" not in recorded[0]


def test_vgg_for_a_recipe_without_a_perceptual_loss_is_refused(run, tmp_path):
    with pytest.raises(UserError, match="has no perceptual loss for --vgg"):
        train_generator(run(vgg=tmp_path / "vgg19.pth"))


def test_a_missing_vgg_file_is_told_before_anything_is_trained(run, tmp_path, recorded):
    with pytest.raises(UserError, match="no VGG19 weights .*vgg19.pth: no such file"):
        train_generator(run("perceptual", vgg=tmp_path / "vgg19.pth"))
    assert not recorded


def test_the_perceptual_loss_takes_part_and_its_file_is_part_of_the_run(run, tmp_path, vgg_weights, recorded):
    torch.save(vgg_weights, tmp_path / "vgg19.pth")
    options = run("perceptual", vgg=tmp_path / "vgg19.pth", steps=2)
    facts = read_model(train_generator(options)).metadata
    assert all(0 < step["content_perceptual"] < math.inf and "content_l1" not in step for step in recorded)
    assert facts["recipe"]["vgg"] == "vgg19.pth" and len(facts["sha256"]["vgg"]) == 64
    torch.save(vgg_weights | {"features.0.bias": torch.zeros(64)}, tmp_path / "vgg19.pth")
    with pytest.raises(UserError, match="from a run with another sha256"):
        train_generator(dataclasses.replace(options, resume=True))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_the_command_saves_the_state_and_exits_as_shells_have_it(run, tmp_path, number):
    options = run()
    words = ["train", "--recipe", options.recipe, "--data", options.data[0], "--steps", "100000", "--device", "cpu"]
    command = [sys.executable, "-m", "edgedeblur.cli.main", *words, "-o", str(options.output), "--no-tensorboard"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    first = process.stderr.readline()
    process.send_signal(number)
    told = process.communicate(timeout=120)[1]
    assert first.startswith("step 1 ")
    assert process.returncode == 128 + number and "stopped at step" in told and "Traceback" not in told
    assert read_training_state(tmp_path / "t.state.pt")["step"] > 0
    assert not options.output.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recipe", "deblurgan-v3"], "deblurgan, deblurgan-v2, unet"),
        (["--recipe", "student"], "deblurgan, deblurgan-v2, unet"),
        (["--recipe", "deblurgan-v2", "--crop", "48"], "fpn_mobilenet takes multiples of 32 from 64 on"),
        (["--network", "fpn_dense"], "'fpn_dense' is not one of"),
        (["--crop", "40"], "multiple of 16"),
        (["--rate", "7"], "rate 7.0"),
        (["--seed", "-1"], "-1 is not in the range"),
        (["--init", "a.pth", "--encoder", "b.pth"], "--init has an encoder already"),
    ],
)
def test_mistakes_in_the_command_line_are_bad_use(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["train", "--steps", "1", *words])
    assert result.exit_code == 2 and message in result.stderr and "Traceback" not in result.output


def test_the_command_offers_every_network_that_can_be_trained():
    options = next(option for option in cli.get_command(None, "train").params if option.name == "network")
    assert list(options.type.choices) == list(NETWORKS)
