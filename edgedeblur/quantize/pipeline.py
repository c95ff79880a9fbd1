"""Student to quantised network: equalise, observe, decide, fold and correct, fine-tune, check. The stages are this
folder's files; `quantise_student` calls them in order."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgedeblur import __version__
from edgedeblur.errors import UserError
from edgedeblur.progress import Log, Progress, silent, unheard, watched
from edgedeblur.quantize.check import check_network
from edgedeblur.quantize.correct import fold_network, fold_network_corrected
from edgedeblur.quantize.decide import Observer, decide_tensors
from edgedeblur.quantize.equalise import collect_channel_maxima, equalise_student
from edgedeblur.quantize.finetune import finetune_network
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.observe import (
    Calibration,
    calibration_from_json,
    calibration_to_json,
    collect_statistics,
    crop_images,
)
from edgedeblur.quantize.quality import measure_quality
from edgedeblur.student import Student

AUTO = "auto"
_TRIED_OBSERVERS: tuple[Observer, ...] = ("mse", "min-max")
_JUDGED_IMAGES = 8


@dataclass(frozen=True)
class QuantiseOptions:
    """The recipe.

    observer: how an activation's range follows from what calibration saw; see decide.py. `auto` tries `mse` and
        `min-max` and keeps what comes nearest to the float student.
    percentile: for the observer of that name.
    equalise: scale channels so that each uses its tensor's range; see equalise.py. None: `auto` tries both, the others
        do.
    bias_correction: take the mean shift of every channel out through its bias; see correct.py.
    finetune_steps: updates of weights and scales with their rounding in place; see finetune.py. 0 is none.
    seed: of what fine-tuning looks at, and of the blur of the default photographs.
    """

    observer: Observer | Literal["auto"] = AUTO
    percentile: float = 99.99
    equalise: bool | None = None
    bias_correction: bool = True
    finetune_steps: int = 0
    seed: int = 0


def quantise_student(
    student: Student,
    images: Sequence[np.ndarray],
    options: QuantiseOptions = QuantiseOptions(),
    provenance: dict[str, Any] | None = None,
    statistics: dict[str, Any] | None = None,
    progress: Progress = silent,
    log: Log = unheard,
) -> QuantisedNetwork:
    """The int8 network of a float student.

    Args:
        images: blurred calibration images, uint8 [H, W, 3] RGB, of any sizes from one `spec.multiple` up.
        provenance: facts to keep in the network, as JSON values (student file, image names, seed).
        statistics: of an earlier calibration of the same student on the same images (`network.statistics`), to try
            other options without running the student again.
        progress: told of every stage, image by image, layer by layer or step by step.
        log: told what each decision was made of: the candidates in dB, and whether fine-tuning brought anything.

    Raises:
        UserError: bad options, bad images, a student that is not finite, or accumulators that could overflow int32.
    """
    work = _Work(student, images, progress, log)
    rounded = _nearest_to_float if options.observer == AUTO else _rounded
    network = rounded(work, options, statistics)
    if options.finetune_steps:
        network = _finetuned(work, network, options)
    made_by = {"calibration_images": len(images), "edgedeblur_version": __version__}
    return dataclasses.replace(network, provenance={**(provenance or {}), **made_by})


@dataclass(frozen=True)
class _Work:
    """What every stage is made from, and whom it tells."""

    student: Student
    images: Sequence[np.ndarray]
    progress: Progress
    log: Log

    def seen(self, stage: str) -> Iterator[np.ndarray]:
        """The images, for a stage that takes one after the other."""
        return watched(self.images, f"{stage}, image", self.progress)


def _rounded(work: _Work, options: QuantiseOptions, statistics: dict[str, Any] | None) -> QuantisedNetwork:
    """Without fine-tuning, by one observer."""
    student = work.student
    options = dataclasses.replace(options, equalise=options.equalise is not False)
    calibration = None if statistics is None else _known_calibration(student, options, statistics)
    maxima = calibration.channel_maxima if calibration else None
    if options.equalise:
        maxima = collect_channel_maxima(student, work.seen("equalise")) if maxima is None else maxima
        student = equalise_student(student, maxima)
    if calibration is None:
        calibration = Calibration(maxima, collect_statistics(student, work.seen("observe")))
    tensors = decide_tensors(student.spec, calibration.tensors, options.observer, options.percentile)
    if options.bias_correction:
        cropped = crop_images(work.images, student.spec.multiple)
        network = fold_network_corrected(student, tensors, calibration.tensors, cropped, work.progress)
    else:
        network = fold_network(student, tensors)
    network = dataclasses.replace(
        network,
        recipe=_recipe(options),
        statistics=calibration_to_json(calibration),
    )
    check_network(network)
    return network


def _nearest_to_float(work: _Work, options: QuantiseOptions, statistics: dict[str, Any] | None) -> QuantisedNetwork:
    """Of the networks that the tried options give, the one whose output comes nearest to the float student's.

    Which that is cannot be told from a tensor alone: a range that cuts rare large values is right for one student and
    ruins another, and equalised channels have no room for more than calibration saw.
    """
    if options.equalise is not None:
        equalised = (options.equalise,)
    elif statistics is not None:
        equalised = (calibration_from_json(statistics).channel_maxima is not None,)
    else:
        equalised = (True, False)
    networks, refused = [], []
    for equalise in equalised:
        known = statistics
        for observer in _TRIED_OBSERVERS:
            tried = dataclasses.replace(options, observer=observer, equalise=equalise)
            try:
                networks.append(_rounded(work, tried, known))
            except UserError as error:  # of these options alone, where others give a network
                refused.append(error)
            else:
                known = networks[-1].statistics
    if not networks:
        raise refused[0]
    closeness = _closeness(networks, work)
    best = closeness.index(max(closeness))
    said = [f"{_named(network)} {db:.2f} dB" for network, db in zip(networks, closeness, strict=True)]
    work.log(f"observer chosen: {_named(networks[best])}; int8 against float: {', '.join(said)}")
    return networks[best]


def _finetuned(work: _Work, network: QuantisedNetwork, options: QuantiseOptions) -> QuantisedNetwork:
    """The fine-tuned network; the given one where that is nearer to the student or an accumulator could overflow."""
    maxima = calibration_from_json(network.statistics).channel_maxima
    folded = work.student if maxima is None else equalise_student(work.student, maxima)
    tuned = finetune_network(folded, network, work.images, options.finetune_steps, options.seed, work.progress)
    tuned = dataclasses.replace(tuned, recipe={**network.recipe, "finetune_steps": options.finetune_steps})
    try:
        check_network(tuned)
    except UserError as error:
        work.log(f"fine-tuning is not kept: {error.message}")
        return network
    before, after = _closeness([network, tuned], work)
    kept = after > before
    gained = f"int8 against float {before:.2f} dB before, {after:.2f} dB after; {'kept' if kept else 'not kept'}"
    work.log(f"fine-tuning, {options.finetune_steps} steps: {gained}")
    return tuned if kept else network


def _closeness(networks: Sequence[QuantisedNetwork], work: _Work) -> list[float]:
    """By how many dB each one's output is near the float student's, on a few of the images."""
    judged = work.images[:: -(-len(work.images) // _JUDGED_IMAGES)]
    return [
        measure_quality(network, work.student, judged, progress=work.progress).int8_to_float_db for network in networks
    ]


def _named(network: QuantisedNetwork) -> str:
    return f"{network.recipe['observer']} {'equalised' if network.recipe['equalise'] else 'not equalised'}"


def _known_calibration(student: Student, options: QuantiseOptions, statistics: dict[str, Any]) -> Calibration:
    """An earlier calibration, if it is of this student and was made with equalisation as the options say."""
    again = "calibrate again: edgedeblur quantize"
    calibration = calibration_from_json(statistics)
    if (calibration.channel_maxima is not None) != options.equalise:
        made = "with" if calibration.channel_maxima is not None else "without"
        raise UserError(f"these calibration statistics were collected {made} equalisation", again)
    for layer in student.spec.layers:
        seen = calibration.tensors.get(layer.name)
        maxima = calibration.channel_maxima
        channels = layer.out_channels // layer.depth_to_space**2
        fits = seen is not None and np.shape(seen.conv_mean) == (layer.out_channels,) and seen.conv_maximum is not None
        if not fits or (maxima is not None and np.shape(maxima.get(layer.name)) != (channels,)):
            raise UserError(f"these statistics are of another student: layer {layer.name!r} does not match", again)
    return calibration


def _recipe(options: QuantiseOptions) -> dict[str, Any]:
    recipe = {
        "observer": options.observer,
        "equalise": options.equalise,
        "bias_correction": options.bias_correction,
    }
    if options.observer == "percentile":
        recipe["percentile"] = options.percentile
    return recipe
