"""Student to quantised network: observe, decide, fold, check, and measure what it cost. The stages are this folder's
files; `quantise_student` calls them in order."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgedeblur import __version__
from edgedeblur.errors import UserError
from edgedeblur.quantize.check import check_network
from edgedeblur.quantize.correct import fold_network, fold_network_corrected
from edgedeblur.quantize.decide import Observer, decide_tensors
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.observe import (
    TensorStatistics,
    collect_statistics,
    crop_images,
    statistics_from_json,
    statistics_to_json,
)
from edgedeblur.student import Student


@dataclass(frozen=True)
class QuantiseOptions:
    """The recipe.

    observer: how an activation's range follows from what calibration saw; see decide.py.
    percentile: for the observer of that name.
    bias_correction: take the mean shift of every channel out through its bias; see correct.py.
    """

    observer: Observer = "mse"
    percentile: float = 99.99
    bias_correction: bool = True


def quantise_student(
    student: Student,
    images: Sequence[np.ndarray],
    options: QuantiseOptions = QuantiseOptions(),
    provenance: dict[str, Any] | None = None,
    statistics: dict[str, Any] | None = None,
) -> QuantisedNetwork:
    """The int8 network of a float student.

    Args:
        images: blurred calibration images, uint8 [H, W, 3] RGB, of any sizes from one `spec.multiple` up.
        provenance: facts to keep in the network, as JSON values (student file, image names, seed).
        statistics: of an earlier calibration of the same student on the same images (`network.statistics`), to try
            other options without running the student again.

    Raises:
        UserError: bad options, bad images, a student that is not finite, or accumulators that could overflow int32.
    """
    collected = collect_statistics(student, images) if statistics is None else _known_statistics(student, statistics)
    tensors = decide_tensors(student.spec, collected, options.observer, options.percentile)
    if options.bias_correction:
        network = fold_network_corrected(student, tensors, collected, crop_images(images, student.spec.multiple))
    else:
        network = fold_network(student, tensors)
    network = dataclasses.replace(
        network,
        recipe=_recipe(options),
        statistics=statistics_to_json(collected),
        provenance={**(provenance or {}), "calibration_images": len(images), "edgedeblur_version": __version__},
    )
    check_network(network)
    return network


def _known_statistics(student: Student, statistics: dict[str, Any]) -> dict[str, TensorStatistics]:
    collected = statistics_from_json(statistics)
    for layer in student.spec.layers:
        seen = collected.get(layer.name)
        if seen is None or seen.conv_mean is None or len(seen.conv_mean) != layer.out_channels:
            raise UserError(
                f"these calibration statistics are of another student: layer {layer.name!r} does not match",
                "calibrate again: edgedeblur quantize",
            )
    return collected


def _recipe(options: QuantiseOptions) -> dict[str, Any]:
    recipe = {"observer": options.observer, "bias_correction": options.bias_correction}
    if options.observer == "percentile":
        recipe["percentile"] = options.percentile
    return recipe
