"""A student and calibration images to an `.edq` file, and what that costs."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur.progress import Log, Progress, silent
from edgedeblur.quantize.calibration_notes import calibration_notes
from edgedeblur.quantize.calibration_set import calibration_images, held_back_images
from edgedeblur.quantize.edq import save_edq
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise_student
from edgedeblur.quantize.quality import QuantiseQuality, measure_quality
from edgedeblur.storage.digests import digest
from edgedeblur.storage.files import require_writable
from edgedeblur.student.model_file import load_student

if TYPE_CHECKING:
    pass


def quantise_step(
    student: Path,
    calibration: Path | None,
    output: Path,
    options: QuantiseOptions,
    log: Log,
    progress: Progress = silent,
) -> QuantisedNetwork:
    """student.safetensors and calibration images to an `.edq` file.

    Args:
        calibration: a folder of blurred images or of pairs; None: the default photographs, blurred with the seed.

    Raises:
        UserError: no student, no images, or a student that cannot be quantised.
    """
    network, metadata = load_student(student)
    images, described = calibration_images(calibration, options.seed)
    require_writable(output)
    log(f"quantising {student} with {len(images)} calibration images ({described})")
    provenance = {
        "student_sha256": digest(student),
        "teacher": _teacher_name(metadata),
        "calibration": described,
        "seed": options.seed,
    }
    for note in [] if calibration is None else calibration_notes(images):
        log(f"note: {note}")
    quantised = quantise_student(network, images, options, provenance, progress=progress, log=log)
    save_edq(quantised, output)
    return quantised


def int8_cost(
    student: Path, network: QuantisedNetwork, calibration: Path | None, seed: int, progress: Progress = silent
) -> tuple[QuantiseQuality, str]:
    """What int8 costs on pictures that calibration did not see, and which these are.

    Args:
        calibration, seed: as the network was quantised with.

    Raises:
        UserError: no student, or pictures that cannot be read.
    """
    held_back, (loaded, _) = held_back_images(calibration, seed), load_student(student)
    quality = measure_quality(network, loaded, held_back.blurred, held_back.sharp, progress)
    return quality, held_back.described


def _teacher_name(metadata: dict) -> str | None:
    teacher = metadata.get("teacher")
    name = teacher.get("name") if isinstance(teacher, dict) else teacher
    return name if isinstance(name, str) else None
