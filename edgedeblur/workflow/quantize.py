"""A student and calibration images to an `.edq` file, and what that costs."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur.distill.named_student import TrainedStudent, trained_student
from edgedeblur.progress import Log, Progress, silent
from edgedeblur.quantize.calibration_notes import calibration_notes
from edgedeblur.quantize.calibration_set import calibration_images, held_back_images
from edgedeblur.quantize.edq import save_edq
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise_student
from edgedeblur.quantize.quality import QuantiseQuality, measure_quality
from edgedeblur.storage.files import require_writable
from edgedeblur.student import Student
from edgedeblur.student.table import cost_sentence

if TYPE_CHECKING:
    pass


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
    given = student if isinstance(student, TrainedStudent) else trained_student(student)
    images, described = calibration_images(calibration, options.seed)
    require_writable(output)
    log(f"quantising {given.name} with {len(images)} calibration images ({described})")
    log(f"student {given.student.spec.name}: {cost_sentence(given.student.spec, given.budget_gmac)}")
    provenance = {
        "student_sha256": given.sha256,
        "teacher": _teacher_name(given.metadata),
        "calibration": described,
        "seed": options.seed,
    }
    for note in [] if calibration is None else calibration_notes(images):
        log(f"note: {note}")
    quantised = quantise_student(given.student, images, options, provenance, progress=progress, log=log)
    save_edq(quantised, output)
    return quantised


def int8_cost(
    student: Student, network: QuantisedNetwork, calibration: Path | None, seed: int, progress: Progress = silent
) -> tuple[QuantiseQuality, str]:
    """What int8 costs on pictures that calibration did not see, and which these are.

    Args:
        calibration, seed: as the network was quantised with.

    Raises:
        UserError: pictures that cannot be read.
    """
    held_back = held_back_images(calibration, seed)
    quality = measure_quality(network, student, held_back.blurred, held_back.sharp, progress)
    return quality, held_back.described


def _teacher_name(metadata: dict) -> str | None:
    teacher = metadata.get("teacher")
    name = teacher.get("name") if isinstance(teacher, dict) else teacher
    return name if isinstance(name, str) else None
