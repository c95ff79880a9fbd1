"""Quantisation until int8 costs no more than a bound, by what is cheapest first.

Every rung adds to the one before and takes longer. Only the last one, int16 activations in single layers, costs
milliseconds when the network runs; the others give the same convolutions with other integers.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgedeblur.data.sources import Source
from edgedeblur.errors import UserError
from edgedeblur.progress import Log, Progress, silent, unheard
from edgedeblur.quantize.cost.int16 import Widened, widen_until
from edgedeblur.quantize.cost.sensitivity import PartCost
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.pipeline import AUTO, Quantised, QuantiseOptions, quantise
from edgedeblur.quantize.quality import measure_quality
from edgedeblur.quantize.simulate import run_simulated
from edgedeblur.student import Student

FINETUNE_STEPS = (200, 1000, 3000)
_NAMED = 5  # layers in the message


@dataclass(frozen=True)
class Attempt:
    """One rung: what it added, the recipe that came of it, what int8 lost on the held-back pictures, and how long it
    took (wall time)."""

    added: str
    recipe: dict[str, Any]
    lost_db: float
    to_float_db: float
    seconds: float


@dataclass(frozen=True)
class Bounded:
    """quantised: the first that keeps the bound, or the nearest. attempts: all, in order. best: the index of its.
    int8: what int16 activations were tried in, and widened: what came of that; None where they were not needed."""

    quantised: Quantised
    attempts: list[Attempt]
    best: int
    bound_db: float
    int8: QuantisedNetwork | None = None
    widened: Widened | None = None

    @property
    def int16_layers(self) -> tuple[str, ...]:
        """The layers of the chosen network that have int16 activations."""
        last = self.widened is not None and self.best == len(self.attempts) - 1
        return self.widened.layers if last else ()

    @property
    def kept(self) -> bool:
        return self.attempts[self.best].lost_db <= self.bound_db


def quantise_within(
    student: Student,
    images: Sequence[np.ndarray],
    held_back: tuple[Sequence[np.ndarray], Sequence[np.ndarray] | None],
    bound_db: float,
    options: QuantiseOptions,
    provenance: dict[str, Any] | None = None,
    progress: Progress = silent,
    log: Log = unheard,
    longest: int | None = None,
    source: Source | None = None,
) -> Bounded:
    """Tries the rungs in order until held-back pictures lose at most `bound_db` of PSNR to the sharp ones.

    Args:
        images, provenance: as for `quantise`. held_back: blurred and sharp pictures, as for `measure_quality`.
        options: observer and equalisation that are given are kept; its steps of fine-tuning are not read.
        longest: fine-tuning is tried with FINETUNE_STEPS up to this many, and with this many; 0: not at all; None: with
            FINETUNE_STEPS.
        source: as for `quantise`.

    Raises:
        UserError: no sharp pictures, or whatever quantisation raises on every rung.
    """
    if held_back[1] is None:
        raise UserError(
            "--max-drop needs sharp pictures beside the blurred ones that are held back; these have none",
            "give a folder of pairs, or at most 64 pictures: then the default photographs are held back",
        )
    attempts: list[Attempt] = []
    made: list[Quantised] = []
    known = options
    for added, rung in _rungs(options, longest):
        started = time.monotonic()
        tried = replace(rung, observer=known.observer, equalise=known.equalise) if rung.finetune_steps else rung
        quantised = quantise(student, images, tried, provenance, progress, log, source)
        quality = measure_quality(quantised.network, student, *held_back, progress, restore=run_simulated)
        lost, recipe = quality.float_db - quality.int8_db, quantised.network.recipe
        attempts.append(Attempt(added, recipe, lost, quality.int8_to_float_db, time.monotonic() - started))
        made.append(quantised)
        log(f"{added}: int8 costs {lost:.3f} dB (at most {bound_db:g}); {attempts[-1].seconds:.0f} s")
        known = replace(options, observer=recipe["observer"], equalise=recipe["equalise"])
        if lost <= bound_db:
            break
    best = _nearest(attempts)
    found = Bounded(made[best], attempts, best, bound_db)
    return found if found.kept else _widened(found, student, held_back, progress, log)


def _nearest(attempts: Sequence[Attempt]) -> int:
    return min(range(len(attempts)), key=lambda index: attempts[index].lost_db)


def _widened(
    found: Bounded,
    student: Student,
    held_back: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
    progress: Progress,
    log: Log,
) -> Bounded:
    """The last rung: the nearest network with int16 activations in its worst layers."""
    started, int8 = time.monotonic(), found.quantised.network
    widened = widen_until(student, found.quantised, held_back, found.bound_db, progress, log)
    quality, count = widened.quality, len(widened.layers)
    lost = quality.float_db - quality.int8_db
    recipe = widened.quantised.network.recipe
    added = f"int16 activations in {count} layer{'' if count == 1 else 's'}"
    seconds = time.monotonic() - started
    attempts = [*found.attempts, Attempt(added, recipe, lost, quality.int8_to_float_db, seconds)]
    best = _nearest(attempts)
    quantised = widened.quantised if best == len(attempts) - 1 else found.quantised
    return Bounded(quantised, attempts, best, found.bound_db, int8, widened)


def _rungs(options: QuantiseOptions, longest: int | None) -> list[tuple[str, QuantiseOptions]]:
    """What each adds, and its options; rungs that the given options leave no choice in are left out."""
    plain = replace(options, equalise=False, bias_correction=False, finetune_steps=0)
    rungs = [("the best of both observers" if options.observer == AUTO else f"observer {options.observer}", plain)]
    if options.equalise is not False:
        rungs.append(("equalisation", replace(plain, equalise=options.equalise)))
    if options.bias_correction:
        rungs.append(("bias correction", replace(rungs[-1][1], bias_correction=True)))
    tuned = rungs[-1][1]
    steps = FINETUNE_STEPS
    if longest is not None:
        steps = (*(count for count in FINETUNE_STEPS if count < longest), *filter(None, (longest,)))
    return [*rungs, *((f"fine-tuning, {count:,} steps", replace(tuned, finetune_steps=count)) for count in steps)]


def bound_sentences(bounded: Bounded, costs: Sequence[PartCost] | None, int16_cost: str = "") -> list[str]:
    """What it took and what it costs; where the bound is not kept, how near it came and which layers stand in the way.

    Args:
        costs: of the nearest network, the dearest first (sensitivity.py).
        int16_cost: what int16 activations cost when the network runs; of a network that has some.
    """
    best = bounded.attempts[bounded.best]
    tried = ", ".join(attempt.added for attempt in bounded.attempts)
    seconds = sum(attempt.seconds for attempt in bounded.attempts)
    if bounded.kept:
        costing = int16_cost or "it costs no milliseconds: the same convolutions with other integers"
        return [
            f"int8 costs {best.lost_db:.3f} dB, at most {bounded.bound_db:g} were allowed; it took: {tried} "
            f"({seconds:.0f} s); {costing}",
            *_int16_sentences(bounded),
        ]
    said = [
        f"no recipe keeps int8 within {bounded.bound_db:g} dB; tried: {tried} ({seconds:.0f} s); the nearest, "
        f"{best.added}, costs {best.lost_db:.3f} dB and was written"
    ]
    said += [int16_cost] if int16_cost else []
    said += _int16_sentences(bounded)
    dearest = ", ".join(f"{cost.name} {cost.lost_db:.3f} dB" for cost in (costs or [])[:_NAMED])
    if dearest:
        said.append(f"layers that cost the most alone: {dearest}")
    helps = "calibrate with pictures like those to restore (--calibration FOLDER), or allow a larger drop"
    if best.recipe.get("export_room", True):
        helps += "; --no-export-room brings int8 nearer where exported networks need not give the same bytes"
    return [*said, helps]


def _int16_sentences(bounded: Bounded) -> list[str]:
    """Which layers took int16 activations, and which cannot have them, with the reasons."""
    said = []
    if bounded.int16_layers:
        said.append(f"int16 activations: {', '.join(bounded.int16_layers)}")
    refused = bounded.widened.refused if bounded.widened is not None else {}
    if refused:
        said.append("no int16 activations: " + "; ".join(f"{layer} ({why})" for layer, why in refused.items()))
    return said
