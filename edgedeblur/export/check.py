"""An exported file run in other runtimes, held against the interpreter: bytes that differ, by how much, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedeblur.export.runtimes import Loaded, open_litert, open_onnx
from edgedeblur.metrics import psnr
from edgedeblur.progress import Progress, silent
from edgedeblur.quantize.interpreter import (
    convolve,
    iterate_tensors,
    requantise,
    source_integers,
    to_image,
)
from edgedeblur.quantize.network import QuantisedNetwork


@dataclass(frozen=True)
class Agreement:
    """One runtime against the interpreter, over all pictures.

    differing: share of the bytes. largest: difference in levels of 255. psnr_db: over all pictures together, None where
    every byte is equal.
    """

    runtime: str
    version: str
    differing: float
    largest: int
    psnr_db: float | None


@dataclass(frozen=True)
class Checked:
    """saturating: by layer, how many sums of the convolution alone leave 8 bits, of how many; of layers that add a
    residual, where a quantised convolution of another runtime saturates first."""

    pictures: int
    agreements: list[Agreement]
    saturating: dict[str, tuple[int, int]]


def check_export(
    network: QuantisedNetwork,
    path: Path,
    file_format: str,
    pictures: Sequence[np.ndarray],
    progress: Progress = silent,
) -> Checked:
    """Run a file that was exported from the network.

    Args:
        file_format: onnx or tflite.
        pictures: uint8 [H, W, 3] RGB of the file's size.

    Raises:
        UserError: the runtime is not installed.
    """
    loaded = [open_litert(path), open_litert(path, xnnpack=False)] if file_format == "tflite" else [open_onnx(path)]
    expected, saturating = [], {}
    for number, picture in enumerate(pictures, start=1):
        restored, counts = _interpret(network, picture)
        expected.append(restored)
        saturating = {name: _plus(count, saturating.get(name)) for name, count in counts.items()}
        progress("interpreter, picture", number, len(pictures))
    return Checked(len(pictures), [_agreement(one, pictures, expected) for one in loaded], saturating)


def to_size(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of a picture, mirrored at its edges where it is smaller; uint8 [height, width, 3]."""
    for axis, side in enumerate((height, width)):
        missing = max(0, side - picture.shape[axis])
        margins = [(0, 0)] * 3
        margins[axis] = (missing // 2, missing - missing // 2)
        picture = np.pad(picture, margins, mode="symmetric")
        start = (picture.shape[axis] - side) // 2
        picture = picture.take(range(start, start + side), axis)
    return picture


def _interpret(network: QuantisedNetwork, picture: np.ndarray) -> tuple[np.ndarray, dict[str, tuple[int, int]]]:
    """The restored picture, and for each layer with a residual the sums outside 8 bits, of all."""
    tensors = dict(iterate_tensors(network, picture))
    counts = {}
    for layer in network.layers:
        if layer.spec.residual is not None:
            sums = requantise(convolve(source_integers(network, layer, tensors), layer), layer.scale)
            counts[layer.spec.name] = (int(np.count_nonzero((sums < -128) | (sums > 127))), sums.size)
    return to_image(tensors[network.layers[-1].spec.name]), counts


def _agreement(loaded: Loaded, pictures: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> Agreement:
    found = np.stack([loaded.run(picture) for picture in pictures])
    wanted = np.stack(expected)
    differences = np.abs(found.astype(np.int16) - wanted)
    largest = int(differences.max())
    db = psnr(found.reshape(-1, *found.shape[2:]), wanted.reshape(-1, *wanted.shape[2:])) if largest else None
    return Agreement(loaded.runtime, loaded.version, float(np.count_nonzero(differences)) / wanted.size, largest, db)


def _plus(one: tuple[int, int], other: tuple[int, int] | None) -> tuple[int, int]:
    return one if other is None else (one[0] + other[0], one[1] + other[1])
