"""A student and calibration images to an `.edq` file, what that costs, and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgedeblur.distill.named_student import TrainedStudent, trained_student
from edgedeblur.progress import Log, Progress, silent
from edgedeblur.quantize.calibration_notes import calibration_notes
from edgedeblur.quantize.calibration_set import calibration_images, held_back_images
from edgedeblur.quantize.cost.bound import Bounded, quantise_within
from edgedeblur.quantize.cost.halves import Halves, try_halves
from edgedeblur.quantize.cost.sensitivity import PartCost, rank_layers
from edgedeblur.quantize.edq import save_edq
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.pipeline import Quantised, QuantiseOptions, quantise
from edgedeblur.quantize.quality import QuantiseQuality, measure_quality
from edgedeblur.storage.files import require_writable
from edgedeblur.student import Student
from edgedeblur.student.table import cost_sentence


@dataclass(frozen=True)
class Asked:
    """What is wanted beside the network.

    sensitivity: rank the layers. halves: how many random halves of the calibration pictures to quantise from.
    max_drop_db: quantise until int8 costs no more than that.
    """

    sensitivity: bool = False
    halves: int = 0
    max_drop_db: float | None = None


@dataclass(frozen=True)
class Outcome:
    """quality: of the network on held-back pictures, which `held_back` describes. The others where asked for; costs
    also where the bound of max_drop_db was not kept."""

    network: QuantisedNetwork
    quality: QuantiseQuality
    held_back: str
    costs: list[PartCost] | None
    halves: Halves | None
    bounded: Bounded | None


@dataclass(frozen=True)
class _Inputs:
    """What a network is made from, and where from."""

    student: Student
    images: list[np.ndarray]
    provenance: dict[str, Any]


def quantise_step(
    student: Path | TrainedStudent,
    calibration: Path | None,
    output: Path,
    options: QuantiseOptions,
    log: Log,
    progress: Progress = silent,
) -> QuantisedNetwork:
    """A student and calibration images to an `.edq` file.

    Args:
        student: its file, or one that `trained_student` made of what the user named.
        calibration: a folder of blurred images or of pairs; None: the default photographs, blurred with the seed.

    Raises:
        UserError: no student, no images, or a student that cannot be quantised.
    """
    inputs = _inputs(student, calibration, output, options, log)
    made = _quantise(inputs, options, progress, log)
    save_edq(made.network, output)
    return made.network


def quantise_and_judge(
    student: Path | TrainedStudent,
    calibration: Path | None,
    output: Path,
    options: QuantiseOptions,
    asked: Asked,
    log: Log,
    progress: Progress = silent,
) -> Outcome:
    """The same, with what int8 costs on pictures that calibration did not see, and what else is asked for.

    The file is written before layers are ranked and halves tried, so that it is there if these are interrupted.

    Raises:
        UserError: as `quantise_step`; held-back pictures that cannot be read, or without sharp ones for a bound.
    """
    inputs = _inputs(student, calibration, output, options, log)
    held_back = held_back_images(calibration, options.seed)
    pictures = held_back.blurred, held_back.sharp
    bounded = None
    if asked.max_drop_db is not None:
        bounded = quantise_within(
            inputs.student, inputs.images, pictures, asked.max_drop_db, options, inputs.provenance, progress, log
        )
    made = bounded.quantised if bounded else _quantise(inputs, options, progress, log)
    save_edq(made.network, output)
    quality = measure_quality(made.network, inputs.student, *pictures, progress)
    ranked = asked.sensitivity or (bounded is not None and not bounded.kept)
    costs = rank_layers(made.student, made.network, *pictures, progress) if ranked else None
    halves = None
    if asked.halves:
        halves = try_halves(inputs.student, made.network, inputs.images, pictures, options, asked.halves, progress)
    return Outcome(made.network, quality, held_back.described, costs, halves, bounded)


def _inputs(
    student: Path | TrainedStudent, calibration: Path | None, output: Path, options: QuantiseOptions, log: Log
) -> _Inputs:
    given = student if isinstance(student, TrainedStudent) else trained_student(student)
    images, described = calibration_images(calibration, options.seed)
    require_writable(output)
    log(f"quantising {given.name} with {len(images)} calibration images ({described})")
    log(f"student {given.student.spec.name}: {cost_sentence(given.student.spec, given.budget_gmac)}")
    for note in [] if calibration is None else calibration_notes(images):
        log(f"note: {note}")
    provenance = {
        "student_sha256": given.sha256,
        "teacher": _teacher_name(given.metadata),
        "calibration": described,
        "seed": options.seed,
    }
    return _Inputs(given.student, images, provenance)


def _quantise(inputs: _Inputs, options: QuantiseOptions, progress: Progress, log: Log) -> Quantised:
    return quantise(inputs.student, inputs.images, options, inputs.provenance, progress, log)


def _teacher_name(metadata: dict) -> str | None:
    teacher = metadata.get("teacher")
    name = teacher.get("name") if isinstance(teacher, dict) else teacher
    return name if isinstance(name, str) else None
