"""Scores against scikit-image's, gains and group means by hand, and JSON without NaN."""

import csv
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from model_files import photo, write_quantised, write_student
from rich.console import Console
from skimage.metrics import peak_signal_noise_ratio

from edgedeblur.cli.main import cli
from edgedeblur.data.images import read_image, write_image
from edgedeblur.data.pairs import PairInMemory, find_pairs
from edgedeblur.generators.networks.deblurgan_v2 import PyramidGenerator, V2Config
from edgedeblur.metrics import ssim
from edgedeblur.restore.evaluation.evaluate import evaluate, evaluation_json, group_means
from edgedeblur.restore.evaluation.protocol import DEBLURGANV2
from edgedeblur.restore.evaluation.tables import evaluation_table
from edgedeblur.restore.open import Restorer, open_models
from edgedeblur.runtime.engine import EXACT_IN_TORCH

SHARED = Path(os.environ.get("EDGEDEBLUR_SHARED", Path(__file__).parents[2].parent / "shared"))
PAIRS = SHARED / "material" / "pairs"


def model(name, run, folder="models"):
    return Restorer(name, "student", Path(folder) / name, name * 4, 2_000_000, 1.5, 1, None, run)


def brighter(image):
    return np.clip(image.astype(int) + 10, 0, 255).astype(np.uint8)


def pairs():
    sizes = {"a": [(40, 50), (50, 40)], "b": [(48, 48)]}
    return [
        PairInMemory(group, f"{index}.png", photo(*size, seed=index), photo(*size, seed=index + 5))
        for group, group_sizes in sizes.items()
        for index, size in enumerate(group_sizes)
    ]


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(pairs(), [model("same", lambda image: image), model("brighter", brighter)], lambda *call: None)


def test_psnr_is_of_the_whole_uint8_frame(evaluation):
    for scores, pair in zip(evaluation.pairs, pairs(), strict=True):
        assert scores.blurred.psnr_db == pytest.approx(peak_signal_noise_ratio(pair.sharp, pair.blur))
        assert scores.models[0].psnr_db == scores.blurred.psnr_db
        assert scores.models[1].psnr_db == pytest.approx(peak_signal_noise_ratio(pair.sharp, brighter(pair.blur)))


def test_each_group_has_its_mean_and_several_groups_have_one_over_all_pairs(evaluation):
    means = group_means(evaluation)
    assert [(mean.group, mean.pairs) for mean in means] == [("a", 2), ("b", 1), ("all", 3)]
    scores = [pair.models[1] for pair in evaluation.pairs]
    assert means[2].models[1].psnr_db == pytest.approx(sum(score.psnr_db for score in scores) / 3)
    assert means[0].models[1].ssim == pytest.approx((scores[0].ssim + scores[1].ssim) / 2)


def test_the_table_shows_the_gain_over_the_blurred_image(evaluation):
    console = Console(width=140, no_color=True)
    with console.capture() as capture:
        console.print(evaluation_table(evaluation))
    blurred, same = group_means(evaluation)[2].blurred, "+0.00"
    assert f"{blurred.psnr_db:.2f}" in capture.get() and same in capture.get() and "all (3)" in capture.get()


def test_equal_images_are_null_in_json():
    image = photo()
    result = evaluate([PairInMemory("g", "n", image, image)], [model("same", lambda x: x)], lambda *call: None)
    assert math.isinf(result.pairs[0].models[0].psnr_db)
    document = json.loads(json.dumps(evaluation_json(result), allow_nan=False))
    assert document["means"][0]["blurred"]["psnr_db"] is None


def test_models_of_the_same_name_are_told_apart_by_their_folder():
    models = [model("m", lambda x: x, folder) for folder in ("first", "second")]
    assert [m.name for m in evaluate(pairs()[:1], models, lambda *call: None).models] == ["first/m", "second/m"]


def test_two_files_of_one_folder_are_told_apart_by_their_suffix():
    models = [replace(model("m", lambda x: x), path=Path(f"models/m.{suffix}")) for suffix in ("edq", "safetensors")]
    assert [m.name for m in evaluate(pairs()[:1], models, quiet).models] == ["m.edq", "m.safetensors"]


def test_every_time_says_what_it_is_the_time_of_and_a_simulation_has_none(tmp_path):
    paths = write_student(tmp_path / "s.safetensors"), write_quantised(tmp_path / "q.edq")
    simulated = replace(model("a", lambda x: x), runs_in="simulator qemu-aarch64", simulated=True)
    result = evaluate(pairs()[:1], [*open_models(paths), simulated], quiet)
    student, quantised, artefact = result.models
    assert student.runs_in.startswith("PyTorch float32, ") and quantised.runs_in.startswith(EXACT_IN_TORCH)
    assert [score.ms is None for score in result.pairs[0].models] == [False, False, True]
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(evaluation_table(result))
    assert "simulator qemu-aarch64" in capture.get() and "not the compiled network's" in capture.get()
    assert evaluation_json(result)["models"][1]["runs_in"] == quantised.runs_in
    assert evaluation_table(evaluate(pairs()[:1], [simulated], quiet)).caption is None


def quiet(*call) -> None:
    pass


@pytest.mark.skipif(not PAIRS.is_dir(), reason=f"needs the reference pairs in {PAIRS}")
def test_the_blurred_input_measures_as_in_the_reference_table():
    """Its SSIM is scikit-image's default; DESIGN's Gaussian one is another number."""
    with (PAIRS / "REFERENCE.csv").open() as file:
        rows = {(row["group"], row["name"]): row for row in csv.DictReader(file)}
    scores = evaluate(find_pairs(PAIRS), [], quiet, ssim_kind="uniform7").pairs
    assert {(pair.group, pair.name) for pair in scores} == rows.keys()
    for pair in scores:
        row = rows[pair.group, pair.name]
        assert pair.blurred.psnr_db == pytest.approx(float(row["psnr_blur"]), abs=0.01)
        assert pair.blurred.ssim == pytest.approx(float(row["ssim_blur"]), abs=0.002)


@pytest.fixture
def v2(tmp_path):
    torch.manual_seed(0)
    network = PyramidGenerator(V2Config("features", filters=6)).eval()
    torch.save(
        {"model": {f"module.{name}": tensor for name, tensor in network.state_dict().items()}}, tmp_path / "v2.h5"
    )
    return network, tmp_path / "v2.h5"


def test_deblurganv2_pads_by_reflection_on_both_sides_and_truncates(v2):
    """Upstream's test script once more, step by step, on an image of 90x61."""
    network, path = v2
    image = photo(90, 61)
    padded = cv2.copyMakeBorder(image, 3, 3, 1, 2, cv2.BORDER_REFLECT_101)
    assert padded.shape == (96, 64, 3)
    with torch.no_grad():
        output = network((torch.tensor(padded / 255.0, dtype=torch.float32).permute(2, 0, 1)[None] - 0.5) / 0.5)
    wanted = ((output[0].permute(1, 2, 0).numpy() + 1) / 2 * 255).astype(np.uint8)[3:93, 1:62]
    pair = PairInMemory("g", "n", image, wanted)
    restorer = DEBLURGANV2.restorer(open_models([path], own_padding=False)[0])
    difference = np.abs(restorer.restore(image).astype(int) - wanted)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.02
    scores = evaluate([pair], open_models([path], own_padding=False), quiet, DEBLURGANV2)
    assert scores.pairs[0].models[0].psnr_db > 55 and scores.ssim == "complex-wavelet"
    predict = open_models([path])[0].restore(image)  # grey padding of another size: another picture
    assert np.abs(predict.astype(int) - wanted).max() > 1


@given(st.integers(1, 100), st.integers(1, 100))
@example(720, 1280)
def test_deblurganv2_pads_to_the_next_multiples_of_32_around_the_image(height, width):
    seen = []
    restorer = model("m", lambda image: seen.append(image) or image)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert np.array_equal(DEBLURGANV2.restorer(restorer).restore(image), image)
    assert seen[0].shape == (-(-height // 32) * 32, -(-width // 32) * 32, 3)
    top, left = (seen[0].shape[0] - height) // 2, (seen[0].shape[1] - width) // 2
    assert np.array_equal(seen[0][top : top + height, left : left + width], image)


def test_deblurganv2_pads_gopros_frames_to_736x1280_as_numpys_reflection():
    seen = []
    image = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    DEBLURGANV2.restorer(model("m", lambda image: seen.append(image) or image)).restore(image)
    assert np.array_equal(seen[0], np.pad(image, ((8, 8), (0, 0), (0, 0)), mode="reflect"))


def test_deblurganv2_counts_equal_images_as_100_db():
    image = photo()
    same = [model("same", lambda x: x)]
    assert evaluate([PairInMemory("g", "n", image, image)], same, quiet, DEBLURGANV2).pairs[0].models[0].psnr_db == 100


def test_the_command_says_which_protocol_and_ssim_it_used(v2, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for side, seed in (("blur", 0), ("sharp", 1)):
        write_image(f"pairs/{side}/1.png", photo(seed=seed))
    write_student(tmp_path / "edgedeblur-work/student.safetensors")
    blur, sharp = (read_image(f"pairs/{side}/1.png") for side in ("blur", "sharp"))
    used = {(): "gaussian", ("--ssim", "uniform7"): "uniform7", ("--protocol", "deblurganv2"): "complex-wavelet"}
    for words, kind in used.items():
        result = CliRunner().invoke(cli, ["evaluate", "pairs", "-m", "v2.h5", *words, "--json", "a.json"])
        assert result.exit_code == 0 and f"SSIM {kind}" in result.stdout and "bn=batch: " in result.stderr
        document = json.loads(Path("a.json").read_text())
        assert document["ssim"] == kind
        assert document["pairs"][0]["blurred"]["ssim"] == ssim(blur, sharp, kind)
    words = ["evaluate", "pairs", "--protocol", "deblurganv2"]
    assert CliRunner().invoke(cli, words).exit_code == 0
    assert not Path("edgedeblur-work/evaluation.json").exists()  # `bench` reports the standard protocol only
    refused = CliRunner().invoke(cli, [*words, "-m", "v2.h5", "--bn", "running"])
    assert refused.exit_code == 2 and "measures with bn=batch" in refused.stderr
