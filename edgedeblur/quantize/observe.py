"""Calibration: one pass of the float student over the images collects everything that any observer needs.

The histogram's range is [-half_range, half_range) with half_range a power of two. When a larger value comes, the range
doubles and neighbouring bins merge, which is exact; so one pass is enough and the order of the images does not matter.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from edgedeblur.errors import UserError
from edgedeblur.student import Student

BINS = 8192
MAX_SIDE = 512  # larger calibration images are cropped at the centre, which bounds time and memory


@dataclass(frozen=True)
class TensorStatistics:
    """What calibration saw of one tensor.

    counts[i] is the number of values in [edge(first_bin + i), edge(first_bin + i + 1)), where edge(b) is
    half_range * (b / (BINS / 2) - 1). Bins outside are empty.
    conv_mean, conv_maximum: mean per output channel, and largest magnitude, of the convolution itself, before anything
        fused to it; None for the image.
    """

    minimum: float
    maximum: float
    half_range: float
    first_bin: int
    counts: np.ndarray
    conv_mean: np.ndarray | None = None
    conv_maximum: float | None = None

    def centres(self) -> np.ndarray:
        """Centres of the bins of `counts`, float64."""
        bins = np.arange(self.first_bin, self.first_bin + len(self.counts)) + 0.5
        return self.half_range * (bins / (BINS // 2) - 1)

    @property
    def bin_width(self) -> float:
        return self.half_range / (BINS // 2)


class _Histogram:
    """Running minimum, maximum and histogram of one tensor."""

    def __init__(self) -> None:
        self.minimum, self.maximum = float("inf"), float("-inf")
        self.half_range = 2.0**-16
        self.counts = np.zeros(BINS, np.int64)

    def add(self, values: np.ndarray) -> None:
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))
        while max(-self.minimum, self.maximum) >= self.half_range:
            self._double()
        index = np.floor(values.astype(np.float64) * (BINS // 2 / self.half_range)).astype(np.int64) + BINS // 2
        self.counts += np.bincount(index.ravel(), minlength=BINS)

    def _double(self) -> None:
        merged = self.counts.reshape(-1, 2).sum(axis=1)
        self.counts = np.zeros(BINS, np.int64)
        self.counts[BINS // 4 : BINS // 4 + BINS // 2] = merged
        self.half_range *= 2

    def result(self) -> TensorStatistics:
        used = np.flatnonzero(self.counts)
        first, last = int(used[0]), int(used[-1])
        counts = self.counts[first : last + 1]
        return TensorStatistics(self.minimum, self.maximum, self.half_range, first, counts)


class _ConvTotals:
    """Running mean per channel and largest magnitude of one convolution."""

    def __init__(self) -> None:
        self.total, self.pixels, self.maximum = 0.0, 0, 0.0

    def add(self, output: torch.Tensor) -> None:
        self.total = self.total + output.double().sum(dim=(0, 2, 3)).numpy()
        self.pixels += output.shape[2] * output.shape[3]
        self.maximum = max(self.maximum, float(output.abs().max()))


def collect_statistics(student: Student, images: Iterable[np.ndarray]) -> dict[str, TensorStatistics]:
    """Runs the student on every image and returns statistics of every tensor by name, the image among them.

    Args:
        images: blurred images, uint8 [H, W, 3] RGB, each at least one `spec.multiple` in size.

    Raises:
        UserError: no images, one of another type or too small, or a student whose activations are not finite.
    """
    histograms: dict[str, _Histogram] = {}
    totals = {layer.name: _ConvTotals() for layer in student.spec.convolutions}
    with convolution_outputs(student) as convolved:
        for image in crop_images(images, student.spec.multiple):
            for name, tensor in float_activations(student, image).items():
                histograms.setdefault(name, _Histogram()).add(_finite(name, tensor))
            for name, output in convolved.items():
                totals[name].add(output)
    if not histograms:
        raise UserError("there are no calibration images", "give some: edgedeblur quantize --calibration FOLDER")
    found = {name: histogram.result() for name, histogram in histograms.items()}
    for name, total in totals.items():
        found[name] = replace(found[name], conv_mean=total.total / total.pixels, conv_maximum=total.maximum)
    return found


@contextlib.contextmanager
def convolution_outputs(student: Student) -> Iterator[dict[str, torch.Tensor]]:
    """A dict that every run of the student fills with each convolution's own output, float32 [1, C, H, W] by layer."""
    outputs: dict[str, torch.Tensor] = {}

    def keep(name: str):
        return lambda _module, _inputs, output: outputs.__setitem__(name, output)

    hooks = [student.conv(layer.name).register_forward_hook(keep(layer.name)) for layer in student.spec.convolutions]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def float_activations(student: Student, image: np.ndarray) -> dict[str, torch.Tensor]:
    """Every tensor of the float student for a uint8 [H, W, 3] image: float32 [1, C, H, W] by name."""
    x = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        return student.activations(x)


def _finite(name: str, tensor: torch.Tensor) -> np.ndarray:
    values = tensor.numpy()
    if not np.isfinite(values).all():
        raise UserError(
            f"the student's tensor {name!r} holds NaN or infinity; a student must be trained before it is quantised",
            "make a student: edgedeblur distill",
        )
    return values


def crop_images(images: Iterable[np.ndarray], multiple: int) -> Iterator[np.ndarray]:
    """The images' centres: sides in multiples of `multiple`, at most MAX_SIDE.

    Raises:
        UserError: an image that is not uint8 [H, W, 3] or has no room for one multiple.
    """
    for number, image in enumerate(images, 1):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UserError(
                f"calibration image {number} is {image.dtype} {list(image.shape)}; it must be uint8 [H, W, 3]"
            )
        height, width = (min(side, MAX_SIDE) // multiple * multiple for side in image.shape[:2])
        if not height or not width:
            raise UserError(
                f"calibration image {number} is {image.shape[0]}x{image.shape[1]}; at least {multiple}x{multiple} "
                "is needed"
            )
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        yield image[top : top + height, left : left + width]
