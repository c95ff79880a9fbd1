"""What quantisation cost: PSNR of the int8 network against the float student, and of both against sharp images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.metrics import psnr
from edgedeblur.progress import Progress, silent
from edgedeblur.quantize.interpreter import run
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.observe import crop_images, float_activations
from edgedeblur.student import Student

IDENTICAL_DB = 100.0


@dataclass(frozen=True)
class QuantiseQuality:
    """Means over the held-back images, dB. The last three are None where no sharp images are known.

    int8_to_float_db: the int8 output against the float student's, both as uint8 images.
    """

    images: int
    int8_to_float_db: float
    blurred_db: float | None = None
    float_db: float | None = None
    int8_db: float | None = None


def measure_quality(
    network: QuantisedNetwork,
    student: Student,
    blurred: Sequence[np.ndarray],
    sharp: Sequence[np.ndarray] | None = None,
    progress: Progress = silent,
    restore: Callable[[QuantisedNetwork, np.ndarray], np.ndarray] = run,
) -> QuantiseQuality:
    """Runs both networks on held-back images, uint8 [H, W, 3] RGB, cropped at the centre as for calibration.

    PSNR: RGB, the whole frame, uint8. Identical images count as 100 dB.

    Args:
        restore: what runs the quantised one: the interpreter, or the faster `run_simulated`.

    Raises:
        UserError: no images, bad images, or sharp images that do not match the blurred ones.
    """
    if not blurred:
        raise UserError("there are no held-back images to measure quantisation on")
    _check_pairs(blurred, sharp)
    inputs = list(crop_images(blurred, network.spec.multiple))
    floats, int8s = [], []
    for index, image in enumerate(inputs, start=1):
        floats.append(float_image(student, image))
        int8s.append(restore(network, image))
        progress("int8 against float, image", index, len(inputs))
    to_float = _mean_psnr(int8s, floats)
    if sharp is None:
        return QuantiseQuality(len(inputs), to_float)
    targets = list(crop_images(sharp, network.spec.multiple))
    return QuantiseQuality(
        len(inputs), to_float, _mean_psnr(inputs, targets), _mean_psnr(floats, targets), _mean_psnr(int8s, targets)
    )


def quality_sentence(quality: QuantiseQuality, described: str) -> str:
    """What int8 costs, in words; `described` says which pictures it was measured on."""
    said = f"int8 against float: {quality.int8_to_float_db:.2f} dB on {quality.images} {described}"
    if quality.int8_db is None:
        return said
    return (
        f"{said}; to the sharp pictures blurred {quality.blurred_db:.2f}, float {quality.float_db:.2f}, int8 "
        f"{quality.int8_db:.2f} dB: int8 costs {quality.float_db - quality.int8_db:.2f} dB"
    )


def float_image(student: Student, image: np.ndarray) -> np.ndarray:
    """The float student's output as uint8 [H, W, 3], clamped and rounded, for a uint8 [H, W, 3] image."""
    output = float_activations(student, image)[student.spec.layers[-1].name]
    pixels = output[0].permute(1, 2, 0).clamp(0, 1).numpy() * np.float32(255)
    return np.rint(pixels).astype(np.uint8)


def _check_pairs(blurred: Sequence[np.ndarray], sharp: Sequence[np.ndarray] | None) -> None:
    if sharp is not None and [image.shape for image in blurred] != [image.shape for image in sharp]:
        raise UserError("the sharp images do not match the blurred ones in number and size")


def _mean_psnr(images: Sequence[np.ndarray], references: Sequence[np.ndarray]) -> float:
    return float(np.mean([capped_psnr(*pair) for pair in zip(images, references, strict=True)]))


def capped_psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """PSNR in dB, at most IDENTICAL_DB, so that a mean over images stays finite."""
    return min(psnr(image, reference), IDENTICAL_DB)
