"""Student to quantised network: equalise, observe, decide, fold and correct, fine-tune, check. The stages are this
folder's files; `quantise_student` calls them in order."""

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgedeblur import __version__
from edgedeblur.data.sources import Source
from edgedeblur.errors import UserError
from edgedeblur.progress import Log, Progress, silent, unheard, watched
from edgedeblur.quantize.check import check_network
from edgedeblur.quantize.correct import fold_network, fold_network_corrected
from edgedeblur.quantize.cost.winograd_form import choose_winograd_form, log_forms, with_odd_zero_points
from edgedeblur.quantize.decide import Observer, decide_tensors
from edgedeblur.quantize.equalise import collect_channel_maxima, equalise_student
from edgedeblur.quantize.finetune import finetune_network
from edgedeblur.quantize.network import QuantisedNetwork, TensorScale
from edgedeblur.quantize.observe import TensorStatistics, collect_statistics, crop_images
from edgedeblur.quantize.quality import measure_quality
from edgedeblur.student import Student

AUTO = "auto"
_TRIED_OBSERVERS: tuple[Observer, ...] = ("mse", "min-max")
_JUDGED_IMAGES, _JUDGED_SIDE = 8, 256
_TRIED_IMAGES = 4  # with every layer in Winograd form


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
    export_room: where a residual is added, leave room in int8 for the convolution alone, so that exported networks give
        the same bytes; see decide.py. Without it int8 is nearer to float.
    seed: of what fine-tuning looks at, and of the blur of the default photographs.
    winograd_form: let layers take Winograd form where that adds little noise; see cost/winograd_form.py.
    """

    observer: Observer | Literal["auto"] = AUTO
    percentile: float = 99.99
    equalise: bool | None = None
    bias_correction: bool = True
    finetune_steps: int = 0
    export_room: bool = True
    seed: int = 0
    winograd_form: bool = False


def quantise_student(
    student: Student,
    images: Sequence[np.ndarray],
    options: QuantiseOptions = QuantiseOptions(),
    provenance: dict[str, Any] | None = None,
    progress: Progress = silent,
    log: Log = unheard,
) -> QuantisedNetwork:
    """The int8 network of a float student; arguments and errors as `quantise`."""
    return quantise(student, images, options, provenance, progress, log).network


@dataclass(frozen=True)
class Quantised:
    """An int8 network and the given float student in its units: each channel multiplied as equalisation and fine-tuning
    multiplied it, which changes no image."""

    network: QuantisedNetwork
    student: Student


def quantise(
    student: Student,
    images: Sequence[np.ndarray],
    options: QuantiseOptions = QuantiseOptions(),
    provenance: dict[str, Any] | None = None,
    progress: Progress = silent,
    log: Log = unheard,
    source: Source | None = None,
) -> Quantised:
    """The int8 network of a float student, and the student in the network's units.

    Args:
        images: blurred calibration images, uint8 [H, W, 3] RGB, of any sizes from one `spec.multiple` up.
        provenance: facts to keep in the network, as JSON values (student file, image names, seed).
        progress: told of every stage, image by image, layer by layer or step by step.
        log: told what each decision was made of: the candidates in dB, and whether fine-tuning brought anything.
        source: of pairs, which fine-tuning looks at in place of the images; ranges and all else are of the images.

    Raises:
        UserError: bad options, bad images, a student that is not finite, or accumulators that could overflow int32.
    """
    work = _Work(student, images, progress, log, source)
    rounded = _nearest_to_float(work, options) if options.observer == AUTO else _rounded(work, options)
    if options.winograd_form:
        rounded = _in_winograd_form(work, rounded, options)
    made = Quantised(rounded.network, rounded.student)
    if options.finetune_steps:
        made = _finetuned(work, made, options)
    made_by = {"calibration_images": len(images), "edgedeblur_version": __version__}
    network = dataclasses.replace(made.network, provenance={**(provenance or {}), **made_by})
    return Quantised(network, made.student)


@dataclass(frozen=True)
class _Work:
    """What every stage is made from, and whom it tells."""

    student: Student
    images: Sequence[np.ndarray]
    progress: Progress
    log: Log
    source: Source | None

    def seen(self, stage: str) -> Iterator[np.ndarray]:
        """The images, for a stage that takes one after the other."""
        return watched(self.images, f"{stage}, image", self.progress)

    def judged(self, most: int) -> Sequence[np.ndarray]:
        """At most so many of the images, from all over them."""
        return self.images[:: -(-len(self.images) // most)]

    def tuned_for(self, most: int, seed: int) -> Sequence[np.ndarray]:
        """So many pictures to tell whether fine-tuning brought anything: drawn as its data is, else of the images."""
        if self.source is None:
            return self.judged(most)
        draws = (np.random.default_rng((seed, index, 0, 0xF7)) for index in range(most))
        return [self.source.draw(rng, _JUDGED_SIDE)[0] for rng in draws]


@dataclass(frozen=True)
class _Rounded:
    """A network, the student that it was folded from, and what calibration saw of that one."""

    network: QuantisedNetwork
    student: Student
    seen: dict[str, TensorStatistics]


def _rounded(work: _Work, options: QuantiseOptions, known: _Rounded | None = None) -> _Rounded:
    """Without fine-tuning, by one observer.

    Args:
        known: made by another observer with the same `equalise`, whose calibration serves again.
    """
    options = dataclasses.replace(options, equalise=options.equalise is not False)
    if known is not None:
        student, seen = known.student, known.seen
    else:
        student = work.student
        if options.equalise:
            student = equalise_student(student, collect_channel_maxima(student, work.seen("equalise")))
        seen = collect_statistics(student, work.seen("observe"))
    tensors = decide_tensors(student.spec, seen, options.observer, options.percentile, options.export_room)
    network = dataclasses.replace(_folded(work, student, tensors, seen, options), recipe=_recipe(options))
    check_network(network)
    return _Rounded(network, student, seen)


def _folded(
    work: _Work,
    student: Student,
    tensors: dict[str, TensorScale],
    seen: dict[str, TensorStatistics],
    options: QuantiseOptions,
    winograd: Collection[str] = (),
) -> QuantisedNetwork:
    if not options.bias_correction:
        return fold_network(student, tensors, winograd)
    cropped = crop_images(work.images, student.spec.multiple)
    return fold_network_corrected(student, tensors, seen, cropped, work.progress, winograd)


def _in_winograd_form(work: _Work, rounded: _Rounded, options: QuantiseOptions) -> _Rounded:
    """The same network with the layers in Winograd form that are worth it."""
    forms = choose_winograd_form(rounded.student, rounded.network, work.judged(_TRIED_IMAGES), work.progress)
    log_forms(forms, work.log)
    if not forms.taken:
        return rounded
    tensors = with_odd_zero_points(rounded.network, forms.taken)
    network = _folded(work, rounded.student, tensors, rounded.seen, options, forms.taken)
    network = dataclasses.replace(network, recipe={**rounded.network.recipe, "winograd_form": len(forms.taken)})
    check_network(network)
    return dataclasses.replace(rounded, network=network)


def _nearest_to_float(work: _Work, options: QuantiseOptions) -> _Rounded:
    """Of the networks that the tried options give, the one whose output comes nearest to the float student's.

    Which that is cannot be told from a tensor alone: a range that cuts rare large values is right for one student and
    ruins another, and equalised channels have no room for more than calibration saw.
    """
    found, refused = [], []
    for equalise in (True, False) if options.equalise is None else (options.equalise,):
        known = None
        for observer in _TRIED_OBSERVERS:
            tried = dataclasses.replace(options, observer=observer, equalise=equalise)
            try:
                known = _rounded(work, tried, known)
            except UserError as error:  # of these options alone, where others give a network
                refused.append(error)
            else:
                found.append(known)
    if not found:
        raise refused[0]
    networks = [one.network for one in found]
    closeness = _closeness(networks, work, work.judged(_JUDGED_IMAGES))
    best = closeness.index(max(closeness))
    said = [f"{_named(network)} {db:.2f} dB" for network, db in zip(networks, closeness, strict=True)]
    work.log(f"observer chosen: {_named(networks[best])}; int8 against float: {', '.join(said)}")
    return found[best]


def _finetuned(work: _Work, made: Quantised, options: QuantiseOptions) -> Quantised:
    """The fine-tuned network; the given one where that is nearer to the student or an accumulator could overflow."""
    network, steps = made.network, options.finetune_steps
    tuned, student = finetune_network(
        made.student, network, work.images, steps, options.seed, work.progress, options.export_room, work.source
    )
    tuned = dataclasses.replace(tuned, recipe={**network.recipe, "finetune_steps": steps})
    try:
        check_network(tuned)
    except UserError as error:
        work.log(f"fine-tuning is not kept: {error.message}")
        return made
    before, after = _closeness([network, tuned], work, work.tuned_for(_JUDGED_IMAGES, options.seed))
    kept = after > before
    gained = f"int8 against float {before:.2f} dB before, {after:.2f} dB after; {'kept' if kept else 'not kept'}"
    work.log(f"fine-tuning, {steps} steps: {gained}")
    return Quantised(tuned, student) if kept else made


def _closeness(networks: Sequence[QuantisedNetwork], work: _Work, pictures: Sequence[np.ndarray]) -> list[float]:
    """By how many dB each one's output is near the float student's on the pictures."""
    return [
        measure_quality(network, work.student, pictures, progress=work.progress).int8_to_float_db
        for network in networks
    ]


def _named(network: QuantisedNetwork) -> str:
    return f"{network.recipe['observer']} {'equalised' if network.recipe['equalise'] else 'not equalised'}"


def _recipe(options: QuantiseOptions) -> dict[str, Any]:
    recipe = {
        "observer": options.observer,
        "equalise": options.equalise,
        "bias_correction": options.bias_correction,
    }
    if not options.export_room:
        recipe["export_room"] = False
    if options.observer == "percentile":
        recipe["percentile"] = options.percentile
    return recipe
