"""What calibration pictures are good for, measured; what int8 costs on pictures that calibration did not see."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from model_files import photo
from skimage.measure import blur_effect
from students import drawn_pair, trained_student

from edgedeblur.cli.main import cli
from edgedeblur.data.default_set import default_photos
from edgedeblur.data.images import write_image
from edgedeblur.metrics import psnr
from edgedeblur.quantize.calibration_notes import calibration_notes
from edgedeblur.quantize.calibration_set import calibration_images, held_back_images
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise_student
from edgedeblur.quantize.quality import measure_quality
from edgedeblur.restore.open import open_model
from edgedeblur.student.model_file import save_student


def crops(count, side=128):
    """Of real photographs, sharp, all of other places."""
    photographs = default_photos()
    rng, found = np.random.default_rng(0), []
    for index in range(count):
        image = photographs[index % len(photographs)]
        top, left = (int(rng.integers(size - side)) for size in image.shape[:2])
        found.append(np.ascontiguousarray(image[top : top + side, left : left + side]))
    return found


@pytest.fixture(scope="module")
def sharp():
    return crops(24)


@pytest.fixture(scope="module")
def blurred(sharp):
    return [cv2.blur(image, (9, 3)) for image in sharp]


def test_blurred_pictures_of_many_places_are_fine(blurred):
    assert calibration_notes(blurred) == []


def test_sharp_pictures_are_noted_with_their_measure(sharp):
    (note,) = calibration_notes(sharp)
    measured = np.median([blur_effect(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in sharp])
    assert "look sharp" in note and f"median blur effect {measured:.2f} " in note


def test_few_pictures_and_many_of_the_same_are_noted(blurred):
    assert any("only 3 different calibration pictures of 3" in note for note in calibration_notes(blurred[:3]))
    noise = np.random.default_rng(0)
    frames = [image for image in blurred[:9] for _ in range(4)]
    frames = [np.clip(image + noise.normal(0, 2, image.shape), 0, 255).astype(np.uint8) for image in frames]
    (note,) = calibration_notes(frames)
    thumbnails = [
        cv2.resize(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY), (16, 16), interpolation=cv2.INTER_AREA) for one in frames
    ]
    alike = np.corrcoef([one.ravel() for one in thumbnails]) > 0.9
    assert "nearly the same: 9 of 36 differ" in note and alike.sum() >= 36 * 4


def test_pictures_of_few_brightnesses_are_noted_with_their_range(blurred):
    dull = [(image // 4 + 80).astype(np.uint8) for image in blurred]
    (note,) = calibration_notes(dull)
    greys = np.concatenate([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).ravel() for image in dull])
    low, high = np.percentile(greys, [1, 99])  # all of one size, so each picture counts the same
    assert "narrow histogram" in note and f"within {high - low:.0f} grey levels" in note


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (5, 40), (64, 64)])
def test_pictures_without_structure_get_no_more_than_a_note(size, recwarn):
    flat, steps = np.full((*size, 3), 7, np.uint8), np.zeros((*size, 3), np.uint8)
    steps[size[0] // 2 :] = 200
    (note,) = calibration_notes([flat, steps])
    assert "different calibration pictures of 2" in note and not recwarn.list


def test_held_back_pictures_are_none_of_the_calibration_ones(tmp_path):
    for index in range(100):
        write_image(tmp_path / "many" / f"{index:03}.png", np.full((16, 16, 3), index, np.uint8))
    seen = {int(image[0, 0, 0]) for image in calibration_images(tmp_path / "many", seed=0)[0]}
    held_back = held_back_images(tmp_path / "many", seed=0)
    assert len(held_back.blurred) == 8 and held_back.sharp is None
    assert not seen & {int(image[0, 0, 0]) for image in held_back.blurred}
    for index in range(70):
        write_image(tmp_path / "pairs" / "blur" / f"{index}.png", np.full((16, 16, 3), index, np.uint8))
        write_image(tmp_path / "pairs" / "sharp" / f"{index}.png", np.full((16, 16, 3), index + 100, np.uint8))
    pairs = held_back_images(tmp_path / "pairs", seed=0)
    assert [int(image[0, 0, 0]) + 100 for image in pairs.blurred] == [int(image[0, 0, 0]) for image in pairs.sharp]
    write_image(tmp_path / "few" / "1.png", photo())
    assert "default photographs" in held_back_images(tmp_path / "few", seed=0).described


def test_the_log_says_which_observer_was_chosen_of_which_and_what_fine_tuning_brought():
    images, lines, stages = [drawn_pair(10_100 + seed)[0] for seed in range(4)], [], []
    options = QuantiseOptions(finetune_steps=3)
    student = trained_student()
    network = quantise_student(
        student, images, options, log=lines.append, progress=lambda what, *_: stages.append(what)
    )
    chosen, tuned = lines
    plain = quantise_student(student, images)
    db = measure_quality(plain, student, images).int8_to_float_db
    name = f"{plain.recipe['observer']} {'equalised' if plain.recipe['equalise'] else 'not equalised'}"
    assert (
        chosen.startswith(f"observer chosen: {name}; ") and f"{name} {db:.2f} dB" in chosen and chosen.count(" dB") == 4
    )
    assert tuned.startswith(f"fine-tuning, 3 steps: int8 against float {db:.2f} dB before, ")
    assert tuned.endswith("; kept" if "finetune_steps" in network.recipe else "; not kept")
    assert list(dict.fromkeys(stages)) == [
        "equalise, image",
        "observe, image",
        "correct biases, layer",
        "int8 against float, image",
        "fine-tuning",
    ]


def test_the_command_ends_with_what_int8_costs_on_held_back_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_student(Path("s.safetensors"), trained_student(), {})
    for index in range(2):
        write_image(tmp_path / "calibration" / f"{index}.png", drawn_pair(index)[0])
    words = ["quantize", "s.safetensors", "--calibration", "calibration", "--finetune-steps", "0", "-o", "made.edq"]
    result = CliRunner().invoke(cli, [*words, "--json", "made.json"])
    assert result.exit_code == 0, result.output
    assert "only 2 different calibration pictures of 2" in result.stderr and "observer chosen: " in result.stderr
    held_back = held_back_images(None, 0)
    restorers = open_model("made.edq"), open_model("s.safetensors")
    images = [[restorer.restore(image) for image in held_back.blurred] for restorer in restorers]
    to_float = np.mean([min(psnr(*pair), 100) for pair in zip(*images, strict=True)])
    cost = np.diff([np.mean([psnr(*pair) for pair in zip(some, held_back.sharp, strict=True)]) for some in images])[0]
    made = json.loads(Path("made.json").read_text())
    assert made["int8_to_float_db"] == pytest.approx(to_float, abs=0.02)
    assert made["float_db"] - made["int8_db"] == pytest.approx(cost, abs=0.01)
    assert (
        f"int8 against float: {made['int8_to_float_db']:.2f} dB on 8 crops of the default photographs" in result.stdout
    )
    assert f"int8 costs {made['float_db'] - made['int8_db']:.2f} dB" in result.stdout
