"""What is filled in where the user said nothing, and which images calibration sees."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from model_files import photo, write_student

from edgedeblur.cli.main import cli
from edgedeblur.data.images import write_image
from edgedeblur.distill import distillation
from edgedeblur.errors import UserError
from edgedeblur.quantize import calibration_set
from edgedeblur.quantize.calibration_set import calibration_images
from edgedeblur.workflow import choose_model
from edgedeblur.workflow import distill as filling_in
from edgedeblur.workflow.distill import distill_options
from edgedeblur.workflow.evaluate import models_to_evaluate
from edgedeblur.workflow.workdir import WorkDir

SHIPPED_TEACHER, SHIPPED_STUDENT = Path("shipped/teacher"), Path("shipped/student")


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.setattr(choose_model, "shipped_teacher", lambda: SHIPPED_TEACHER)
    monkeypatch.setattr(filling_in, "shipped_student", lambda tier: SHIPPED_STUDENT / tier)
    return WorkDir(tmp_path)


def test_a_distillation_starts_from_what_ships_and_ends_after_two_minutes(work):
    options = distill_options(work, None, "nano", "shipped")
    assert (options.teacher, options.init, options.output) == (SHIPPED_TEACHER, SHIPPED_STUDENT / "nano", work.student)
    assert (options.minutes, options.steps, options.tier) == (2.0, None, "nano")


def test_where_to_start_is_the_shipped_student_a_file_or_nothing_and_the_rate_is_left_to_the_recipe(work):
    assert distill_options(work, None, "nano", "none").init is None
    assert distill_options(work, None, "nano", "my.safetensors").init == Path("my.safetensors")
    assert distill_options(work, None, "nano", "shipped").rate is None
    assert distill_options(work, None, "nano", "shipped", rate=1e-3).rate == 1e-3


def test_steps_alone_are_an_end(work):
    assert distill_options(work, None, "nano", "none", steps=5).minutes is None
    assert distill_options(work, None, "nano", "none", minutes=7.0).minutes == 7.0


def test_the_work_directorys_own_teacher_comes_before_the_shipped_one(work):
    work.teacher.write_text("")
    assert distill_options(work, None, "nano", "none").teacher == work.teacher
    assert distill_options(work, Path("given"), "nano", "none").teacher == Path("given")


def test_the_distill_command_hands_over_every_option(work, monkeypatch):
    seen = []
    monkeypatch.setattr(distillation, "distill", lambda options, console: seen.append(options) or options.output)
    words = "distill --teacher t.pth --bn running --tier large --init s.safetensors --data photos:a --data b --steps 9"
    words += f" --batch 2 --crop 64 --seed 3 --device cpu --no-tensorboard --resume --workdir {work.root}"
    assert CliRunner().invoke(cli, words.split()).exit_code == 0
    options = seen[0]
    assert (options.teacher, options.teacher_options, options.tier) == (Path("t.pth"), {"bn": "running"}, "large")
    assert (options.data, options.steps, options.minutes) == (("photos:a", "b"), 9, None)
    assert (options.batch, options.crop, options.seed, options.device) == (2, 64, 3, "cpu")
    assert (options.tensorboard, options.resume, options.init) == (False, True, Path("s.safetensors"))


def test_default_calibration_is_made_of_the_default_photographs_and_the_seed_alone(monkeypatch):
    monkeypatch.setattr(calibration_set, "MOST_IMAGES", 8)  # each is drawn by itself
    first, described = calibration_images(None, seed=4)
    again, _ = calibration_images(None, seed=4)
    other, _ = calibration_images(None, seed=5)
    assert described == "default set" and {image.shape for image in first} == {(256, 256, 3)}
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_calibration_takes_images_or_the_blurred_side_of_pairs_and_spreads_over_large_folders(tmp_path):
    for index in range(100):
        write_image(tmp_path / "many" / f"{index:03}.png", np.full((16, 16, 3), index, np.uint8))
    images, described = calibration_images(tmp_path / "many", seed=0)
    assert described == "many" and [image[0, 0, 0] for image in images] == list(range(0, 100, 2))
    write_image(tmp_path / "pairs" / "blur" / "1.png", np.full((16, 16, 3), 7, np.uint8))
    write_image(tmp_path / "pairs" / "sharp" / "1.png", photo(16, 16))
    assert [image.max() for image in calibration_images(tmp_path / "pairs", seed=0)[0]] == [7]


def test_evaluation_is_of_the_teacher_and_what_the_work_directory_has(work):
    with pytest.raises(UserError, match="no model in"):
        models_to_evaluate(work)
    write_student(work.student)
    assert models_to_evaluate(work) == [SHIPPED_TEACHER, work.student]
