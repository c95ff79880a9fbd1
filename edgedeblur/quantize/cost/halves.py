"""How far the cost of int8 depends on the calibration pictures: the student is quantised from random halves of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.progress import Progress, silent
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise_student
from edgedeblur.quantize.quality import measure_quality
from edgedeblur.quantize.simulate import run_simulated
from edgedeblur.student import Student

FEWEST_IMAGES = 4


@dataclass(frozen=True)
class Halves:
    """What int8 costs after calibration with random halves of the pictures, without fine-tuning, on the same held-back
    pictures.

    images: of each half. lost_db: PSNR to the sharp pictures that int8 loses, one a half; None where these are not
    known. to_float_db: PSNR of the int8 output to the float one's, one a half.
    """

    images: int
    lost_db: list[float] | None
    to_float_db: list[float]


def try_halves(
    student: Student,
    network: QuantisedNetwork,
    images: Sequence[np.ndarray],
    held_back: tuple[Sequence[np.ndarray], Sequence[np.ndarray] | None],
    options: QuantiseOptions,
    count: int,
    progress: Progress = silent,
) -> Halves:
    """Quantises `count` times with half of the images, drawn with the options' seed.

    Args:
        student: before equalisation.
        network: made of it; its observer and equalisation are used for every half, so that only the pictures differ.
        images: for calibration, uint8 [H, W, 3] RGB. held_back: blurred and sharp ones, as for `measure_quality`.

    Raises:
        UserError: fewer than FEWEST_IMAGES images, or whatever quantisation raises.
    """
    if len(images) < FEWEST_IMAGES:
        raise UserError(
            f"{len(images)} calibration pictures have no halves to compare; {FEWEST_IMAGES} or more are needed",
            "give more with --calibration FOLDER, or leave --halves out",
        )
    same = replace(options, observer=network.recipe["observer"], equalise=network.recipe["equalise"], finetune_steps=0)
    rng, half, found = np.random.default_rng((options.seed, 0x4A1F)), len(images) // 2, []
    for number in range(count):
        chosen = [images[index] for index in sorted(rng.permutation(len(images))[:half])]
        made = quantise_student(student, chosen, same)
        found.append(measure_quality(made, student, *held_back, restore=run_simulated))
        progress("halves of the calibration pictures", number + 1, count)
    lost = None if found[0].int8_db is None else [one.float_db - one.int8_db for one in found]
    return Halves(half, lost, [one.int8_to_float_db for one in found])


def halves_sentence(halves: Halves) -> str:
    """Mean and spread, in words."""
    said = f"{len(halves.to_float_db)} random halves ({halves.images} pictures each, without fine-tuning): "
    if halves.lost_db is not None:
        said += f"int8 costs {_spread(halves.lost_db, 3)} dB; "
    return f"{said}int8 against float {_spread(halves.to_float_db, 2)} dB (mean, standard deviation, least to most)"


def _spread(values: Sequence[float], digits: int) -> str:
    deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
    mean, low, high = np.mean(values), min(values), max(values)
    return f"{mean:.{digits}f} +- {deviation:.{digits}f}, {low:.{digits}f} to {high:.{digits}f}"
