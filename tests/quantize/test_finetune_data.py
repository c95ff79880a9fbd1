"""Fine-tuning on training data: its crops are what is learned from, by seed, and its threads end with it."""

import threading
from dataclasses import dataclass

import numpy as np
import pytest
from students import drawn_pair, trained_student

from edgedeblur.data.images import write_image
from edgedeblur.errors import UserError
from edgedeblur.quantize.edq import load_edq
from edgedeblur.quantize.finetune import finetune_network
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise, quantise_student
from edgedeblur.quantize.quality import measure_quality
from edgedeblur.student.model_file import save_student
from edgedeblur.workflow.quantize import FinetuneData, quantise_step

BLURRED = [drawn_pair(10_200 + seed)[0] for seed in range(4)]
FAINT = [(drawn_pair(10_100 + seed)[0] // 8 + 112) for seed in range(4)]  # of little contrast: ranges come out narrow


@dataclass(frozen=True)
class Drawn:
    """Pictures like `BLURRED`, as training data that is drawn from."""

    def draw(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        return drawn_pair(int(rng.integers(10_000)), size, size)


@pytest.fixture(scope="module")
def narrow() -> QuantisedNetwork:
    return quantise_student(trained_student(), FAINT, QuantiseOptions("mse", equalise=False))


def weights(network: QuantisedNetwork) -> list[bytes]:
    return [layer.weight.tobytes() for layer in network.convolutions]


def test_what_is_learned_is_right_for_the_data_though_calibration_was_unlike_it(narrow):
    """And the pipeline keeps it, as it judges by the data too."""
    options = QuantiseOptions("mse", equalise=False, finetune_steps=30)
    made = [quantise(trained_student(), FAINT, options, source=source).network for source in (Drawn(), None)]
    on_data, on_images = (measure_quality(one, trained_student(), BLURRED).int8_to_float_db for one in made)
    assert on_data > on_images + 0.3
    assert made[0].recipe == {**narrow.recipe, "finetune_steps": 30}


def test_the_same_seed_gives_the_same_network_again_and_another_gives_another(narrow):
    made = [
        weights(finetune_network(trained_student(), narrow, FAINT, 2, seed, source=Drawn())[0]) for seed in (0, 0, 1)
    ]
    assert made[0] == made[1] != made[2]


def test_an_interruption_leaves_no_thread_that_draws(narrow):
    def interrupt(stage: str, done: int, total: int | None) -> None:
        assert any(thread.name.startswith("batches") for thread in threading.enumerate())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune_network(trained_student(), narrow, FAINT, 9, progress=interrupt, source=Drawn())
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())


@pytest.fixture
def files(tmp_path):
    """A student, calibration pictures and pairs in files."""
    save_student(tmp_path / "student.safetensors", trained_student(), {})
    for number in range(3):
        blurred, sharp = drawn_pair(number)
        write_image(tmp_path / "faint" / f"{number}.png", FAINT[number])
        write_image(tmp_path / "pairs" / "blur" / f"{number}.png", blurred)
        write_image(tmp_path / "pairs" / "sharp" / f"{number}.png", sharp)
    return tmp_path


def made_of_files(files, steps: int, *data: str) -> list[str]:
    """What was said while `files/made.edq` was made."""
    said = []
    options = QuantiseOptions("mse", equalise=False, finetune_steps=steps)
    wanted = FinetuneData(tuple(text.format(files) for text in data))
    quantise_step(
        files / "student.safetensors", files / "faint", files / "made.edq", options, said.append, finetune_data=wanted
    )
    return said


def test_the_network_and_the_log_name_the_data(files):
    said = made_of_files(files, 1, "pairs:{0}/pairs@0.75", "photos:{0}/faint")
    named = ["75 % from 3 pairs of pairs", "25 % from 3 photos of faint"]
    assert load_edq(files / "made.edq").provenance["finetune_data"] == named
    assert f"fine-tuning looks at {', '.join(named)}" in said


@pytest.mark.parametrize(
    ("steps", "data", "message"),
    [
        (1, "pairs:{0}/none", "none"),
        (1, "pairs:{0}/pairs@0.75", "add up to 0.75"),
        (1, "pairs:{0}/pairs@2", "above 0 and below 1"),
        (0, "pairs:{0}/pairs", "0 steps"),
    ],
)
def test_data_that_cannot_be_used_is_refused_before_anything_is_made(files, steps, data, message):
    with pytest.raises(UserError, match=message):
        made_of_files(files, steps, data)
    assert not (files / "made.edq").exists()
