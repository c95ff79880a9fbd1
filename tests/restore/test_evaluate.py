"""Scores against scikit-image's, gains and group means by hand, and JSON without NaN."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from model_files import photo
from rich.console import Console
from skimage.metrics import peak_signal_noise_ratio

from edgedeblur.restore.evaluate import PairInMemory, evaluate, evaluation_json, group_means
from edgedeblur.restore.open import Restorer
from edgedeblur.restore.tables import evaluation_table


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
