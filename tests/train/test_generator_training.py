"""Training of a generator, end to end on tiny pictures: it learns, resumes bit by bit, and its file loads."""

import dataclasses
import io
import signal
import threading

import pytest
import torch
from rich.console import Console

from edgedeblur.errors import UserError
from edgedeblur.generators.load import load_generator
from edgedeblur.student.model_file import read_model
from edgedeblur.train import generator as training
from edgedeblur.train import step as stepping
from edgedeblur.train.generator import TrainOptions, train_generator
from edgedeblur.train.recipe import ADVERSARIES
from edgedeblur.training.state import read_training_state

RECIPE = """
[network]
widths = [8, 8, 16]
encoder_blocks = [1, 1, 1]
decoder_blocks = [1, 1]
[fitting]
batch = 2
crop = 32
rate = 2e-3
[adversary]
kind = "{kind}"
weight = {weight}
from_fraction = 0.5
width = 4
[blur]
max_length = 8.0
"""


def options(tmp_path, photos, pairs, name, kind="lsgan", weight=0.01, **changes) -> TrainOptions:
    recipe = tmp_path / f"{kind}.toml"
    recipe.write_text(RECIPE.format(kind=kind, weight=weight))
    values = {"steps": 4, "device": "cpu", "precision": "float32", "tensorboard": False} | changes
    return TrainOptions(output=tmp_path / name, data=(photos,), validation=(pairs,), recipe=recipe, **values)


@pytest.mark.parametrize("kind", ADVERSARIES)
def test_a_run_writes_a_generator_that_loads(tmp_path, photos, pairs, kind):
    path = train_generator(options(tmp_path, photos, pairs, "t.safetensors", kind))
    generator = load_generator(path)
    assert generator.info.family == "unet"
    assert generator(torch.rand(1, 3, 50, 33)).shape == (1, 3, 50, 33)
    facts = read_model(path).metadata
    assert facts["steps"] == 4 and facts["data"] == ["4 photos of photos"]
    assert facts["psnr_db"]["blurred"].keys() == facts["psnr_db"]["restored"].keys() == {"pairs", "mean"}
    state = read_training_state(tmp_path / "t.finished.pt")
    assert ("discriminator" in state["networks"]) == (kind != "none")


def test_the_adversary_takes_part_only_after_its_fraction(tmp_path, photos, pairs, monkeypatch):
    seen = []
    original = stepping._Rivalry.train_discriminator

    def noted(rivalry, *images):
        seen.append(rivalry.state.step)
        return original(rivalry, *images)

    monkeypatch.setattr(stepping._Rivalry, "train_discriminator", noted)
    train_generator(options(tmp_path, photos, pairs, "t.safetensors", steps=6))
    assert seen == [3, 4, 5]


def test_training_restores_more_than_the_blurred_input(tmp_path, photos, pairs):
    """On the one pair it is measured on: whether it learns at all, not whether it generalises."""
    run = options(tmp_path, photos, pairs, "t.safetensors", "none", 0.0, steps=120, rate=1e-2)
    run = dataclasses.replace(run, data=(pairs,), crop=64)
    facts = read_model(train_generator(run)).metadata["psnr_db"]
    assert facts["restored"]["mean"] > facts["blurred"]["mean"] + 0.3


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, photos, pairs, monkeypatch):
    whole = train_generator(options(tmp_path, photos, pairs, "whole.safetensors", steps=6))
    original = training.adversarial_step
    stops = {}

    def stopping(state, *rest):
        step = original(state, *rest)

        def counted(batch, fraction):
            if state.step == 3 and not stops:
                stops["once"] = True
                signal.raise_signal(signal.SIGINT)
            return step(batch, fraction)

        return counted

    monkeypatch.setattr(training, "adversarial_step", stopping)
    part = options(tmp_path, photos, pairs, "part.safetensors", steps=6)
    with pytest.raises(UserError, match="stopped at step 4"):
        train_generator(part)
    assert not part.output.exists()
    resumed = train_generator(options(tmp_path, photos, pairs, "part.safetensors", steps=6, resume=True))
    expected, got = read_model(whole).state, read_model(resumed).state
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    first, second = (read_training_state(path.with_suffix(".finished.pt")) for path in (whole, resumed))
    for name, tensor in first["networks"]["discriminator"].items():
        assert torch.equal(tensor, second["networks"]["discriminator"][name])


def test_signals_are_given_back_after_a_run(tmp_path, photos, pairs):
    before = signal.getsignal(signal.SIGINT)
    train_generator(options(tmp_path, photos, pairs, "t.safetensors", steps=1))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_works_in_a_thread_that_may_not_take_signals(tmp_path, photos, pairs):
    run = options(tmp_path, photos, pairs, "t.safetensors", steps=1)
    worker = threading.Thread(target=train_generator, args=(run,))
    worker.start()
    worker.join()
    assert run.output.is_file()


def test_resuming_with_another_seed_is_refused(tmp_path, photos, pairs):
    train_generator(options(tmp_path, photos, pairs, "t.safetensors", steps=1))
    with pytest.raises(UserError, match="another seed"):
        train_generator(options(tmp_path, photos, pairs, "t.safetensors", steps=2, resume=True, seed=4))


def test_a_run_can_start_from_a_model_file(tmp_path, photos, pairs):
    first = train_generator(options(tmp_path, photos, pairs, "first.safetensors", steps=3))
    second = train_generator(options(tmp_path, photos, pairs, "second.safetensors", steps=1, rate=1e-9, init=first))
    before, after = read_model(first).state, read_model(second).state
    assert all(torch.allclose(before[name], after[name], atol=1e-3) for name in before)


def test_progress_and_validation_are_told_on_the_console(tmp_path, photos, pairs):
    told = io.StringIO()
    train_generator(options(tmp_path, photos, pairs, "t.safetensors", steps=50), Console(file=told, width=200))
    assert "step 50  content_charbonnier" in told.getvalue() and "validation: pairs" in told.getvalue()


def test_tensorboard_gets_scalars_and_an_image(tmp_path, photos, pairs):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train_generator(options(tmp_path, photos, pairs, "t.safetensors", steps=11, tensorboard=True))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "t"))
    events.Reload()
    tags = events.Tags()
    assert {"loss/content_charbonnier", "rate/generator", "psnr/mean"} <= set(tags["scalars"])
    assert tags["images"] == ["blurred, restored, sharp"]


def test_an_impossible_crop_is_refused(tmp_path, photos, pairs):
    with pytest.raises(UserError, match="crop is 33"):
        train_generator(options(tmp_path, photos, pairs, "t.safetensors", crop=33))
