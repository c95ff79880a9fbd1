"""How models are measured: the standard protocol, the same with a second measurement after alignment (align.py), and
that of DeblurGAN-v2's own test script.

`deblurganv2` is what upstream's test_metrics.py does: the blurred image is padded to 736x1280 with its own reflection,
half on each side, and the result is cropped from the middle; the network stays in training mode, so that every
normalisation uses the image's own statistics; its output is truncated to uint8 (as that of every DeblurGAN is here);
equal images count 100 dB; and the number printed as SSIM is the complex-wavelet SSIM of grey images. Upstream's script
takes 1280x720 images only. Here any size is padded to multiples of 32, which for 1280x720 is 736x1280.

It is not what upstream's predict.py does, which pads with mid-grey at the right and bottom, by one block more than
whole blocks; that is how teachers restore everywhere else in edgedeblur.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.restore.open import Restorer

BLOCK = 32


@dataclass(frozen=True)
class EvaluationProtocol:
    """name; ssim: the kind of `edgedeblur.metrics.ssim` that it reports; described: in words, for tables; equal_db: the
    PSNR of equal images; padded: whether images are padded by reflection, and a teacher's own padding left out;
    aligned: whether every image is also measured after alignment."""

    name: str
    ssim: str
    described: str
    equal_db: float = float("inf")
    padded: bool = False
    aligned: bool = False

    def restorer(self, restorer: Restorer) -> Restorer:
        """A model as this protocol runs it."""
        if not self.padded:
            return restorer
        return replace(restorer, multiple=1, fixed_size=None, run=in_reflection(restorer.restore))

    def check_options(self, teacher_options: dict) -> None:
        """Raises UserError for options that contradict the protocol."""
        bn = teacher_options.get("bn", "batch")
        if self.padded and bn != "batch":
            raise UserError(f"protocol {self.name} measures with bn=batch; bn is {bn}", "leave --bn out", exit_code=2)


STANDARD = EvaluationProtocol("standard", "gaussian", "RGB, full frame, uint8")
DEBLURGANV2 = EvaluationProtocol(
    "deblurganv2",
    "complex-wavelet",
    "as DeblurGAN-v2's test_metrics.py: padded by reflection to multiples of 32, bn=batch, truncated",
    equal_db=100.0,
    padded=True,
)
ALIGNED = EvaluationProtocol(
    "aligned",
    "gaussian",
    "RGB, full frame, uint8; beside it after alignment by a homography, as RealBlur's (Rim et al., ECCV 2020)",
    aligned=True,
)
PROTOCOLS = {protocol.name: protocol for protocol in (STANDARD, ALIGNED, DEBLURGANV2)}


def in_reflection(run: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """`run` (uint8 HxWx3 to the same shape) on the image padded to multiples of 32, cropped from the middle."""

    def padded_run(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        below, right = -height % BLOCK, -width % BLOCK
        top, left = below // 2, right // 2
        sides = (top, below - top, left, right - left)
        restored = run(cv2.copyMakeBorder(image, *sides, cv2.BORDER_REFLECT_101))
        return restored[top : top + height, left : left + width]

    return padded_run
