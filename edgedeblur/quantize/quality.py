"""What quantisation cost: PSNR of the int8 network against the float student, and of both against sharp images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.metrics import psnr
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
) -> QuantiseQuality:
    """Runs both networks on held-back images, uint8 [H, W, 3] RGB, cropped at the centre as for calibration.

    PSNR: RGB, the whole frame, uint8. Identical images count as 100 dB.

    Raises:
        UserError: no images, bad images, or sharp images that do not match the blurred ones.
    """
    if not blurred:
        raise UserError("there are no held-back images to measure quantisation on")
    _check_pairs(blurred, sharp)
    inputs = list(crop_images(blurred, network.spec.multiple))
    floats = [float_image(student, image) for image in inputs]
    int8s = [run(network, image) for image in inputs]
    to_float = _mean_psnr(int8s, floats)
    if sharp is None:
        return QuantiseQuality(len(inputs), to_float)
    targets = list(crop_images(sharp, network.spec.multiple))
    return QuantiseQuality(
        len(inputs), to_float, _mean_psnr(inputs, targets), _mean_psnr(floats, targets), _mean_psnr(int8s, targets)
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
    return float(np.mean([_psnr(*pair) for pair in zip(images, references, strict=True)]))


def _psnr(image: np.ndarray, reference: np.ndarray) -> float:
    return min(psnr(image, reference), IDENTICAL_DB)  # a mean over images must stay finite
