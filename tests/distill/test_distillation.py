"""Distillation end to end on tiny pictures, with teachers of several families."""

import dataclasses
import io
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from edgedeblur.data.default_set import default_set
from edgedeblur.data.images import write_image
from edgedeblur.distill import distillation
from edgedeblur.distill.distillation import DistillOptions, distill
from edgedeblur.distill.features import FeatureProjection, feature_loss, watched
from edgedeblur.distill.recipe import DistillRecipe
from edgedeblur.distill.step import teacher_loss, trust
from edgedeblur.errors import UserError
from edgedeblur.generators.networks.unet import UNetConfig, build_unet
from edgedeblur.student import build_student, student_spec
from edgedeblur.student.model_file import UNET, load_student, save_model, save_student
from edgedeblur.training.recipe import RECIPES, read_recipe

TINY = UNetConfig(widths=(8, 8, 16), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1))


@pytest.fixture
def run(tmp_path) -> DistillOptions:
    teacher = build_unet(TINY)
    nn.init.normal_(teacher.head.bias, std=0.2)
    save_model(tmp_path / "teacher.safetensors", UNET, teacher.state_dict(), TINY.to_json(), {})
    for number in range(3):
        picture = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        write_image(tmp_path / "photos" / f"{number}.png", picture)
        for side in ("blur", "sharp"):
            write_image(tmp_path / "pairs" / side / f"{number}.png", picture)
    return DistillOptions(
        output=tmp_path / "student.safetensors",
        teacher=tmp_path / "teacher.safetensors",
        tier="nano",
        data=(str(tmp_path / "photos"),),
        validation=(str(tmp_path / "pairs"),),
        steps=2,
        batch=1,
        crop=32,
        device="cpu",
        precision="float32",
        tensorboard=False,
    )


@pytest.fixture
def dark(tmp_path) -> tuple[str]:
    """Validation pairs that are 26 steps of 255 darker than their sharp pictures."""
    for number in range(3):
        picture = np.full((64, 64, 3), 100 + 20 * number, np.uint8)
        write_image(tmp_path / "dark" / "blur" / f"{number}.png", picture)
        write_image(tmp_path / "dark" / "sharp" / f"{number}.png", picture + np.uint8(26))
    return (str(tmp_path / "dark"),)


def recipe_of_losses(folder: Path, **weights: float) -> Path:
    """The default recipe with these losses and no others."""
    table = tomllib.loads((RECIPES / "student.toml").read_text())["losses"]
    lines = (f"{name} = {weights.get(name, 0.0)}" for name in table)
    head, _, rest = (RECIPES / "student.toml").read_text().partition("[losses]")
    path = folder / "losses.toml"
    path.write_text("\n".join([head, "[losses]", *lines, rest[rest.index("[shares]") :]]))
    return path


def test_a_run_writes_a_student_with_the_facts_of_its_making(run):
    student, facts = load_student(distill(run))
    assert student.spec == student_spec("nano")
    assert facts["teacher"]["family"] == "unet" and len(facts["teacher"]["sha256"]) == 64
    assert facts["psnr_db"].keys() == {"blurred", "teacher", "student"}
    assert (facts["tier"], facts["steps"], facts["seed"], facts["parameters"]) == ("nano", 2, 0, 398_844)
    assert "/" not in str(facts["data"])


def test_the_student_learns_what_only_the_teacher_knows(run, tmp_path):
    """Sharp pictures differ from the blurred ones by a colour cast here, which the teacher alone tells of."""
    cast = build_unet(TINY)
    with torch.no_grad():
        cast.head.bias.view(3, -1)[:, :] = torch.atanh(torch.tensor([0.2, 0.0, -0.2])).view(3, 1)
    save_model(run.teacher, UNET, cast.state_dict(), TINY.to_json(), {})
    for number in range(3):
        picture = np.full((64, 64, 3), 100 + 20 * number, np.uint8)
        write_image(tmp_path / "cast" / "blur" / f"{number}.png", picture)
        write_image(tmp_path / "cast" / "sharp" / f"{number}.png", picture + np.array([26, 0, -26]).astype(np.uint8))
    alone = dataclasses.replace(
        run,
        data=(f"pairs:{tmp_path / 'cast'}",),
        validation=(str(tmp_path / "cast"),),
        steps=200,
        rate=5e-3,
        recipe=recipe_of_losses(tmp_path, teacher=1.0),
    )
    student, _ = load_student(distill(alone))
    image = torch.full((1, 3, 64, 64), 0.5)
    with torch.no_grad():
        shift = (student(image) - image).mean(dim=(0, 2, 3))
    assert shift.tolist() == pytest.approx([0.1, 0.0, -0.1], abs=0.04)


def test_a_teacher_is_trusted_as_far_as_it_is_ahead_of_the_student():
    sharp = torch.zeros(3, 3, 8, 8)
    restored, taught = torch.full_like(sharp, 0.2), torch.full_like(sharp, 0.1)
    taught[1], taught[2] = 0.3, 0.0
    assert trust(restored, taught, sharp).tolist() == pytest.approx([0.75, 0, 1])
    assert teacher_loss(restored, taught, sharp).item() == pytest.approx((0.75 * 0.1 + 0.2) / 3, rel=1e-3)
    assert trust(sharp, sharp, sharp).isfinite().all()


def test_without_teacher_terms_the_teacher_is_not_run(run, tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("the teacher ran")

    monkeypatch.setattr("edgedeblur.distill.step.teach", never)
    distill(dataclasses.replace(run, recipe=recipe_of_losses(tmp_path, psnr=1.0)))


def test_a_resumed_run_is_the_uninterrupted_one(run, monkeypatch):
    whole, _ = load_student(
        distill(dataclasses.replace(run, output=run.output.with_name("whole.safetensors"), steps=4))
    )
    original = distillation.distill_step

    def stopping(state, *rest):
        step = original(state, *rest)

        def counted(batch, fraction):
            if state.step == 2:
                raise KeyboardInterrupt
            return step(batch, fraction)

        return counted

    stopped = dataclasses.replace(run, steps=4, checkpoint_minutes=1e-9)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(distillation, "distill_step", stopping)
        distill(stopped)
    resumed, _ = load_student(distill(dataclasses.replace(stopped, resume=True)))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_run_starts_from_a_given_student_of_its_tier(run, tmp_path):
    start = build_student("nano", seed=5)
    nn.init.normal_(start.conv("head").weight, std=0.01)
    save_student(tmp_path / "start.safetensors", start, {})
    again = dataclasses.replace(run, init=tmp_path / "start.safetensors", rate=1e-9)
    student, facts = load_student(distill(again))
    assert torch.allclose(student.conv("head").weight, start.conv("head").weight, atol=1e-6)
    assert facts["init"] == "start.safetensors"
    with pytest.raises(UserError, match="tier nano; asked for is small"):
        distill(dataclasses.replace(again, tier="small"))


def test_a_trained_student_goes_on_at_the_recipe_s_lower_rate_unless_one_is_given(run, tmp_path):
    save_student(tmp_path / "start.safetensors", build_student("nano", 5), {})
    rates = {
        (init, rate): load_student(distill(dataclasses.replace(run, init=init, rate=rate)))[1]["recipe"]
        for init in (None, tmp_path / "start.safetensors")
        for rate in (None, 1e-4)
    }
    fresh, given, tuned, tuned_given = (recipe["fitting"]["rate"] for recipe in rates.values())
    share = read_recipe(RECIPES / "student.toml", DistillRecipe).tuning_rate
    assert tuned == pytest.approx(share * fresh) and tuned < fresh and given == tuned_given == 1e-4


def test_a_run_says_the_rate_and_the_data_that_it_uses(run):
    heard = io.StringIO()
    distill(dataclasses.replace(run, rate=3e-4), Console(file=heard, width=200))
    assert "learning rate 0.0003 (--rate), the head's 9e-06; muon, batches of 1 crops of 32x32" in heard.getvalue()
    assert "data: 3 photos of photos" in heard.getvalue()


def test_unknown_tiers_and_empty_losses_are_refused(run, tmp_path):
    with pytest.raises(UserError, match="no student tier 'huge'; there are nano, small, large"):
        distill(dataclasses.replace(run, tier="huge"))
    with pytest.raises(UserError, match="one must be above 0"):
        distill(dataclasses.replace(run, recipe=recipe_of_losses(tmp_path)))


def test_a_student_can_teach(run, dark, tmp_path):
    brightening = build_student("small")
    nn.init.constant_(brightening.conv("head").bias, 13 / 255)
    teacher = save_student(tmp_path / "s.safetensors", brightening, {})
    losses = recipe_of_losses(tmp_path, psnr=1.0, teacher=0.5, feature=0.1)
    _, facts = load_student(distill(dataclasses.replace(run, teacher=teacher, recipe=losses, validation=dark)))
    assert (facts["teacher"]["family"], facts["teacher"]["variant"]) == ("student", "small")
    assert (facts["recipe"]["losses"]["teacher"], facts["recipe"]["losses"]["feature"]) == (0.5, 0.1)


def test_feature_loss_is_relative_to_the_teachers_spread_and_pools_to_the_coarser():
    wanted = torch.randn(2, 4, 8, 8)
    pooled = nn.functional.avg_pool2d(wanted, 2)
    variance, mean = torch.var_mean(pooled, dim=(0, 2, 3), keepdim=True, correction=0)
    standard = (pooled - mean) / variance.sqrt()
    for scale in (1.0, 100.0):
        assert feature_loss(standard, scale * wanted).item() == pytest.approx(0, abs=1e-4)
        assert feature_loss(torch.zeros_like(pooled), scale * wanted + 7).item() == pytest.approx(1, rel=0.02)


def test_a_channel_of_the_teacher_that_hardly_spreads_does_not_outweigh_the_others():
    wanted = torch.randn(2, 4, 8, 8) * torch.tensor([1, 1, 1, 1e-6])[:, None, None]
    assert feature_loss(0.5 * torch.ones_like(wanted), wanted).item() < 1.3


def test_a_projection_starts_at_zero_and_takes_features_of_any_size_alike():
    projection = FeatureProjection(5, 9)
    features = torch.randn(1, 5, 2, 2)
    assert torch.equal(projection(features), torch.zeros(1, 9, 2, 2))
    nn.init.normal_(projection.conv.weight)
    assert torch.allclose(projection(features), projection(1000 * features), rtol=1e-4)


def test_watching_ends_with_the_block():
    layer = nn.Identity()
    with watched(layer) as seen:
        layer(torch.ones(1))
    layer(torch.ones(1))
    assert len(seen) == 1


def test_stages_of_one_student_differ_in_their_crops_alone_and_calibration_has_the_default_recipes_blur():
    names = ("student", "student-gated", "student-gated-wide", "student-real")
    tuning, gated, wide, real = (read_recipe(RECIPES / f"{name}.toml", DistillRecipe) for name in names)
    assert tuning.blur == default_set().blur
    assert gated.blur == wide.blur == real.blur and gated.losses == wide.losses == real.losses
    assert gated.shares == wide.shares == real.shares and gated.gates and wide.gates


def test_blurred_teacher_and_student_are_measured_before_the_first_step(run, dark):
    """The teacher brightens by half of what is missing."""
    half = build_unet(TINY)
    with torch.no_grad():
        half.head.bias.fill_(torch.atanh(torch.tensor(13 / 127.5)))
    save_model(run.teacher, UNET, half.state_dict(), TINY.to_json(), {})
    heard = io.StringIO()
    distill(dataclasses.replace(run, validation=dark), Console(file=heard, width=300))
    blurred, teacher = (20 * np.log10(255 / error) for error in (26, 13))
    wanted = f"mean of 3 validation pairs: blurred {blurred:.2f} dB, teacher {teacher:.2f} dB, student {blurred:.2f} dB"
    assert wanted in heard.getvalue()
    assert "not ahead" not in heard.getvalue() and "warning" not in heard.getvalue()


def test_a_teacher_that_is_not_ahead_of_the_student_does_not_teach(run, monkeypatch):
    """The validation pairs are sharp already, and the teacher of the fixture changes every colour."""

    def never(*_):
        raise AssertionError("the teacher taught")

    monkeypatch.setattr("edgedeblur.distill.step.teach", never)
    heard = io.StringIO()
    _, facts = load_student(distill(run, Console(file=heard, width=300)))
    assert "the teacher makes these pictures worse" in heard.getvalue() and "--bn" in heard.getvalue()
    assert "the student learns from the sharp images alone" in heard.getvalue()
    assert facts["recipe"]["losses"]["teacher"] == 0


def test_a_recipe_of_the_teachers_losses_alone_needs_a_teacher_that_is_ahead(run, tmp_path):
    with pytest.raises(UserError, match="the teacher is not ahead of the student.*no loss but the teacher's"):
        distill(dataclasses.replace(run, recipe=recipe_of_losses(tmp_path, teacher=1.0)))
