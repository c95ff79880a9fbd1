"""Which schedule each layer gets: a tuned one from the first database that has it, else the default schedule."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgedeblur.artefact.target import Target, shipped_database
from edgedeblur.compile.gpu.schedule import GpuSchedule
from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.kernels.layer import ConvLayer, layer_isa
from edgedeblur.compile.kernels.signature import weight_dtype, weight_shape
from edgedeblur.compile.schedules.default import default_reason, default_schedule
from edgedeblur.compile.schedules.schedule import (
    CACHE_SHARE,
    PATCH,
    WINOGRAD_CACHE_SHARE,
    Schedule,
    check_schedule,
    scratch_bytes,
    tile_columns,
)
from edgedeblur.compile.schedules.tuned import Database, TunedLayer, layer_shape, read_database
from edgedeblur.errors import UserError

Source = Literal["tuned", "adapted", "default", "fallback"]


@dataclass(frozen=True)
class Chosen:
    """A layer's schedule and where it is from.

    source: "tuned": a database's, for this shape, instruction set and number of threads. "adapted": tuned for another
        number of threads or chosen for another size; its inner loops, and other strips. "default": no database has the
        shape, or the layer has int16 activations, which are not tuned. "fallback": the default, as the one in the
        database does not fit. A tuned schedule is the default one where none was faster.
    note: what measured it, or why it does not fit; of "default" why it has its method, where the core decides that.
    """

    schedule: Schedule | GpuSchedule
    source: Source
    note: str = ""


def databases_for(target: Target, own: Path | None = None) -> list[Database]:
    """The databases that a target's schedules come from, first the one to ask first: `own` where there is such a file,
    and the one that ships for the target's cpu.

    Raises:
        UserError: a database that cannot be read.
    """
    return [read_database(path) for path in (own, shipped_database(target)) if path is not None and path.is_file()]


def choose_schedules(
    layers: Sequence[ConvLayer], isa: InstructionSet, threads: int, databases: Sequence[Database]
) -> dict[str, Chosen]:
    """A schedule for each layer, by name."""
    return {layer.name: _choose(layer, isa, threads, databases) for layer in layers}


def choose_sharing(
    layers: Sequence[ConvLayer],
    isa: InstructionSet,
    threads: int,
    databases: Sequence[Database],
    first: Mapping[str, Chosen],
) -> dict[str, Chosen]:
    """A schedule for each layer at another size, whose kernels read the weights in the order of the first size's.

    It is the size's own where that reads them in this order; else the first size's inner loops, in strips that are low
    enough for the scratch to stay in its share of the cache.
    """
    return {layer.name: _follow(layer, isa, threads, databases, first[layer.name].schedule) for layer in layers}


def _follow(
    layer: ConvLayer, isa: InstructionSet, threads: int, databases: Sequence[Database], first: Schedule
) -> Chosen:
    own, isa = _choose(layer, isa, threads, databases), layer_isa(layer, isa)
    if _weight_order(layer, own.schedule, isa) == _weight_order(layer, first, isa):
        return own
    step, share = (PATCH, WINOGRAD_CACHE_SHARE) if first.method == "winograd" else (1, CACHE_SHARE)
    strip_rows = min(first.strip_rows, -(-layer.out_size[0] // step) * step)
    while strip_rows > step:
        if scratch_bytes(layer, isa, dataclasses.replace(first, strip_rows=strip_rows)) <= share * isa.cache_bytes:
            break
        strip_rows -= step
    width = min(first.tile_width, tile_columns(layer, isa, first.method, strip_rows))
    followed = dataclasses.replace(first, strip_rows=strip_rows, tile_width=width)
    check_fit(layer, isa, followed)
    return Chosen(followed, "adapted", "reads the weights as the first size's kernel does")


def _weight_order(layer: ConvLayer, schedule: Schedule, isa: InstructionSet) -> tuple:
    return schedule.method, weight_shape(layer, schedule, isa), weight_dtype(schedule, isa)


def check_fit(layer: ConvLayer, isa: InstructionSet, schedule: Schedule) -> None:
    """Raises UserError unless a schedule from a file may be compiled: `check_schedule`, and no strip beyond the image.

    The latter would be right too, but take scratch memory for rows that do not exist.
    """
    highest = layer.out_size[0] + PATCH - 1  # by Winograd's method rows come by the patch
    if schedule.strip_rows > highest:
        raise UserError(f"{schedule} does not fit layer {layer.name}: strip_rows must be at most {highest}")
    check_schedule(layer, isa, schedule)


def _choose(layer: ConvLayer, isa: InstructionSet, threads: int, databases: Sequence[Database]) -> Chosen:
    default = default_schedule(layer, layer_isa(layer, isa), threads)
    found = None if layer.int16 else _find(layer, isa, threads, databases)
    reason = default_reason(layer, layer_isa(layer, isa), threads)
    if found is None:
        return Chosen(default, "default", reason)
    database, entry = found
    if entry.threads != threads:
        adapted = _adapt(layer, isa, default, entry)
        return dataclasses.replace(adapted, note=adapted.note or reason)
    if entry.schedule is None and entry.unfit is None:
        return Chosen(default, "tuned", f"default: none of {entry.trials} others was faster; {_describe(entry)}")
    try:
        if entry.schedule is None:
            raise UserError(f"its schedule is not one of this version: {entry.unfit}")
        check_fit(layer, isa, entry.schedule)
    except UserError as error:
        return Chosen(default, "fallback", f"{database.path} has a schedule that does not fit: {error.message}")
    return Chosen(entry.schedule, "tuned", _describe(entry))


def _adapt(layer: ConvLayer, isa: InstructionSet, default: Schedule, entry: TunedLayer) -> Chosen:
    """Share the work out as the default schedule does, with the inner loops that were tuned for another thread count.

    Only where tuning left the method and what is shared out as the default has them; by Winograd's method also the
    strips, on which the register tile depends.
    """
    tuned = entry.schedule
    if tuned is None or (tuned.method, tuned.parallel) != (default.method, default.parallel):
        return Chosen(default, "default")
    if tuned.method == "winograd" and tuned.strip_rows != default.strip_rows:
        return Chosen(default, "default")
    adapted = dataclasses.replace(tuned, strip_rows=default.strip_rows)
    try:
        check_fit(layer, isa, adapted)
    except UserError:
        return Chosen(default, "default")
    return Chosen(adapted, "adapted", _describe(entry))


def _find(
    layer: ConvLayer, isa: InstructionSet, threads: int, databases: Sequence[Database]
) -> tuple[Database, TunedLayer] | None:
    """The entry for the layer: the first one for this number of threads, else that for the nearest."""
    shape = layer_shape(layer)
    same = [
        (database, entry)
        for database in databases
        for entry in database.layers
        if (entry.shape, entry.isa, entry.dots_per_cycle) == (shape, isa.name, isa.dots_per_cycle)
    ]
    return min(same, key=lambda found: abs(math.log(found[1].threads / threads)), default=None)


def _describe(entry: TunedLayer) -> str:
    return (
        f"{entry.provenance} on {entry.measured_by} at {entry.threads} threads: "
        f"{entry.default_ms:.4g} ms by default, {entry.tuned_ms:.4g} ms tuned"
    )
