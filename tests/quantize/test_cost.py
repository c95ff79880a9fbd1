"""Quantising until int8 costs no more than a bound, and from random halves of the calibration pictures."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from students import drawn_pair, trained_student

from edgedeblur.cli.main import cli
from edgedeblur.data.images import write_image
from edgedeblur.errors import UserError
from edgedeblur.metrics import psnr
from edgedeblur.quantize.cost import bound
from edgedeblur.quantize.cost.bound import quantise_within
from edgedeblur.quantize.cost.halves import halves_sentence, try_halves
from edgedeblur.quantize.edq import load_edq
from edgedeblur.quantize.interpreter import run
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise_student
from edgedeblur.quantize.quality import float_image
from edgedeblur.student.model_file import save_student

CALIBRATION = [drawn_pair(10_100 + seed)[0] for seed in range(8)]
HELD_BACK = [drawn_pair(10_200 + seed) for seed in range(2)]
BLURRED, SHARP = [pair[0] for pair in HELD_BACK], [pair[1] for pair in HELD_BACK]


def drop(network):
    """What int8 loses, by the interpreter."""
    student = trained_student()
    lost = [psnr(float_image(student, b), s) - psnr(run(network, b), s) for b, s in HELD_BACK]
    return float(np.mean(lost))


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(bound, "FINETUNE_STEPS", (2, 5))


def test_a_bound_that_the_plainest_recipe_keeps_is_kept_by_it():
    found = quantise_within(trained_student(), CALIBRATION, (BLURRED, SHARP), 5.0, QuantiseOptions())
    assert found.kept and len(found.attempts) == 1
    recipe = found.quantised.network.recipe
    assert not recipe["equalise"] and not recipe["bias_correction"] and "finetune_steps" not in recipe
    assert found.attempts[0].lost_db == pytest.approx(drop(found.quantised.network), abs=1e-9)


def test_rungs_are_tried_in_order_and_the_first_that_keeps_the_bound_is_taken(few_steps):
    free = quantise_within(trained_student(), CALIBRATION, (BLURRED, SHARP), -1.0, QuantiseOptions())
    assert not free.kept
    added = [attempt.added for attempt in free.attempts]
    assert added == [
        "the best of both observers", "equalisation", "bias correction", "fine-tuning, 2 steps", "fine-tuning, 5 steps",
        added[-1],
    ]  # fmt: skip
    assert added[-1].startswith("int16 activations in ")
    lost = [attempt.lost_db for attempt in free.attempts]
    assert free.best == int(np.argmin(lost))
    assert drop(free.quantised.network) == pytest.approx(min(lost), abs=1e-9)
    assert lost[-1] <= min(lost[:-1]), "a layer keeps int16 activations only where they help"
    within = lost[2] + 1e-6
    first = next(index for index, value in enumerate(lost) if value <= within)
    again = quantise_within(trained_student(), CALIBRATION, (BLURRED, SHARP), within, QuantiseOptions())
    assert again.kept and again.best == first and len(again.attempts) == first + 1


def test_what_the_user_chose_is_not_changed(few_steps):
    options = QuantiseOptions("min-max", equalise=False, bias_correction=False)
    found = quantise_within(trained_student(), CALIBRATION, (BLURRED, SHARP), -1.0, options, longest=3)
    added = [attempt.added for attempt in found.attempts]
    assert added[:-1] == ["observer min-max", "fine-tuning, 2 steps", "fine-tuning, 3 steps"]
    assert all(attempt.recipe["observer"] == "min-max" for attempt in found.attempts)
    assert not any(attempt.recipe["equalise"] or attempt.recipe["bias_correction"] for attempt in found.attempts)


def test_a_bound_without_sharp_pictures_is_refused_before_any_work():
    with pytest.raises(UserError, match="needs sharp pictures"):
        quantise_within(trained_student(), [], (BLURRED, None), 0.1, QuantiseOptions())


def test_halves_are_quantisations_of_half_of_the_pictures():
    student, options = trained_student(), QuantiseOptions("mse", equalise=False)
    network = quantise_student(student, CALIBRATION, options)
    halves = try_halves(student, network, CALIBRATION, (BLURRED, SHARP), options, 3)
    rng = np.random.default_rng((0, 0x4A1F))
    expected = []
    for _ in range(3):
        chosen = sorted(rng.permutation(8)[:4])
        expected.append(drop(quantise_student(student, [CALIBRATION[index] for index in chosen], options)))
    assert halves.images == 4 and halves.lost_db == pytest.approx(expected, abs=1e-9)
    said = halves_sentence(halves)
    assert f"{np.mean(expected):.3f} +- {np.std(expected, ddof=1):.3f}" in said
    assert f"{min(expected):.3f} to {max(expected):.3f} dB" in said
    assert "int8 costs" not in halves_sentence(dataclasses.replace(halves, lost_db=None))


def test_three_pictures_have_no_halves():
    student = trained_student()
    network = quantise_student(student, CALIBRATION[:3], QuantiseOptions("mse"))
    with pytest.raises(UserError, match="3 calibration pictures have no halves"):
        try_halves(student, network, CALIBRATION[:3], (BLURRED, SHARP), QuantiseOptions(), 2)


def quantize_command(folder, *words):
    save_student(folder / "s.safetensors", trained_student(), {})
    for index in range(4):
        write_image(folder / "calibration" / f"{index}.png", drawn_pair(index)[0])
    given = ["quantize", "s.safetensors", "--calibration", "calibration", "--finetune-steps", "0", "-o", "made.edq"]
    return CliRunner().invoke(cli, [*given, "--json", "made.json", *words])


def test_the_command_shows_what_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = quantize_command(tmp_path, "--sensitivity", "--halves", "2")
    assert result.exit_code == 0, result.output
    made = json.loads(Path("made.json").read_text())
    layers = [layer.name for layer in trained_student().spec.layers]
    assert sorted(row["layer"] for row in made["sensitivity"]) == sorted(layers)
    assert all(name in result.stdout for name in layers) and "2 random halves (2 pictures each" in result.stdout
    assert len(made["halves"]["lost_db"]) == 2 and made["max_drop"] is None
    assert Path("sensitivity.png").read_bytes().startswith(b"\x89PNG")
    assert quantize_command(tmp_path).exit_code == 0
    assert not Path("sensitivity.png").exists(), "the plot of another network must not stay"


def test_a_bound_that_cannot_be_kept_exits_with_3_and_says_what_was_tried(tmp_path, monkeypatch, few_steps):
    monkeypatch.chdir(tmp_path)
    result = quantize_command(tmp_path, "--max-drop", "0", "--no-bias-correction")
    made = json.loads(Path("made.json").read_text())["max_drop"]
    if made["kept"]:  # luck of rounding: int8 may be nearer to the sharp pictures than float
        assert result.exit_code == 0
        return
    assert result.exit_code == 3 and "no recipe keeps int8 within 0 dB; tried: the best of both" in result.stdout
    assert "layers that cost the most alone: " in result.stdout and "int16 activations" in result.stdout
    network = load_edq(Path("made.edq"))
    assert made["int16_layers"] == network.recipe.get("int16_activations", [])
    assert sorted(made["int16_layers"]) == sorted(network.int16_tensors)
    assert len(made["attempts"]) == 3, "--finetune-steps 0 leaves fine-tuning out"
    assert load_edq(Path("made.edq")).recipe in [one["recipe"] for one in made["attempts"]]
