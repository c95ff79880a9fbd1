"""`tune`: schedules for every distinct layer shape of a network, from a device into a database.

1. the distinct shapes, largest share of the work first        shapes.py
2. candidates of each, measured on the device                  space.py, trial.py, build.py, measure.py, devices.py
3. a search among them, and a last comparison with the default schedule  search.py
4. the winner into the database, at once                       database.py
5. the whole network by both; what does not win there goes     network.py
"""

import dataclasses
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgedeblur import __version__
from edgedeblur.artefact.target import Target
from edgedeblur.compile.build import check_size
from edgedeblur.compile.gpu.schedule import GpuSchedule
from edgedeblur.compile.gpu.schedule import default_schedule as default_gpu_schedule
from edgedeblur.compile.kernels import target_instruction_set
from edgedeblur.compile.kernels.instruction_set import InstructionSet
from edgedeblur.compile.ranges import check_ranges
from edgedeblur.compile.schedules.choose import check_fit
from edgedeblur.compile.schedules.choose_gpu import GPU_THREADS, check_gpu_fit
from edgedeblur.compile.schedules.default import default_schedule
from edgedeblur.compile.schedules.schedule import Schedule
from edgedeblur.compile.schedules.tuned import TunedLayer
from edgedeblur.errors import UserError
from edgedeblur.progress import Progress
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.storage.files import require_writable
from edgedeblur.storage.temporary import scratch_folder
from edgedeblur.tune.database import open_database, store_entry
from edgedeblur.tune.devices import Device
from edgedeblur.tune.gpu_space import gpu_moves
from edgedeblur.tune.measure import tunes_gpu
from edgedeblur.tune.network import Comparison, compare_networks
from edgedeblur.tune.search import Found, SearchOptions, search_among
from edgedeblur.tune.shapes import ShapeOfLayers, distinct_shapes
from edgedeblur.tune.space import Moves, cpu_moves
from edgedeblur.tune.trial import LayerOnTrial, layer_on_trial

Log = Callable[[str], None]


@dataclass(frozen=True)
class TuneOptions:
    """layers: names or patterns of layers whose shapes are tuned; empty for all. minutes: None for no limit.

    trials: schedules of each shape at most. again: tune shapes again that are in the database.
    """

    layers: tuple[str, ...] = ()
    trials: int = 48
    minutes: float | None = None
    seed: int = 0
    again: bool = False


@dataclass(frozen=True)
class TunedShape:
    """The outcome for one shape. status: "tuned", "default" (nothing is faster), "before" (it was in the database),
    "reverted" (slower in the network), or "left" (the time was over). entry: None for "left"."""

    names: tuple[str, ...]
    status: str
    entry: TunedLayer | None


@dataclass(frozen=True)
class Tuning:
    """The whole outcome. comparison: of the network by both schedules, None where it cannot run here."""

    shapes: tuple[TunedShape, ...]
    comparison: Comparison | None


def tune(
    network: QuantisedNetwork,
    target: Target,
    size: tuple[int, int],
    device: Device,
    database: Path,
    options: TuneOptions,
    log: Log,
    progress: Progress,
) -> Tuning:
    """Tunes the network's layers for images of `size` (height, width) by the steps above.

    Raises:
        UserError: a size that the network cannot take, no such layer, a database that cannot be read or written, a
            tool that is missing or fails.
    """
    check_size(network, *size)
    check_ranges(network)
    require_writable(database)
    shapes = distinct_shapes(network, *size, options.layers)
    deadline = float("inf") if options.minutes is None else time.monotonic() + 60 * options.minutes
    known = open_database(database)
    for note in known.notes:
        log(f"note: {note}")
    results = []
    with scratch_folder() as folder:
        tuner = _Tuner(network, target, device, database, options, deadline, folder, log, progress)
        for done, shape in enumerate(shapes):
            before = None if options.again else known.find(shape.shape, *tuner.tuned_for)
            if before is not None and tuner.fits(shape, before):
                results.append(TunedShape(shape.names, "before", before))
            else:
                results.append(tuner.tune(shape, done, len(shapes)))
        return _checked(size, tuner, results)


@dataclass(frozen=True)
class _Tuner:
    """What tuning every shape needs."""

    network: QuantisedNetwork
    target: Target
    device: Device
    database: Path
    options: TuneOptions
    deadline: float
    folder: Path
    log: Log
    progress: Progress

    @property
    def isa(self) -> InstructionSet:
        return target_instruction_set(self.target)

    @property
    def tuned_for(self) -> tuple[str, int, float]:
        """isa, threads and dots_per_cycle of an entry."""
        if self.gpu:
            return self.target.gpu, GPU_THREADS, 1.0
        return self.target.isa, self.target.threads, self.isa.dots_per_cycle

    @property
    def gpu(self) -> bool:
        return tunes_gpu(self.target)

    def moves(self, shape: ShapeOfLayers) -> Moves:
        return gpu_moves(shape.layer) if self.gpu else cpu_moves(shape.layer, self.isa, self.target.threads)

    def default(self, shape: ShapeOfLayers) -> Schedule | GpuSchedule:
        if self.gpu:
            return default_gpu_schedule(shape.layer)
        return default_schedule(shape.layer, self.isa, self.target.threads)

    def fits(self, shape: ShapeOfLayers, entry: TunedLayer) -> bool:
        """Whether this version can compile an entry's schedule."""
        if entry.schedule is None:
            return entry.unfit is None
        try:
            if self.gpu:
                check_gpu_fit(shape.layer, entry.schedule)
            else:
                check_fit(shape.layer, self.isa, entry.schedule)
        except UserError:
            return False
        return True

    def tune(self, shape: ShapeOfLayers, done: int, of: int) -> TunedShape:
        """One shape: searched, and its entry written. `done` shapes of `of` are finished."""
        layers, trials = shape.names, self.options.trials
        if time.monotonic() >= self.deadline:
            return TunedShape(layers, "left", None)
        trial = layer_on_trial(self.network, shape.conv, shape.layer, self.isa, self.options.seed)
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            measure = self.device.measure(trial, self.target, Path(place))
            search_options = SearchOptions(trials, seed=self.options.seed, deadline=self.deadline)
            found = search_among(
                shape.layer.name,
                self.moves(shape),
                measure,
                search_options,
                lambda tried: self.progress(f"{layers[0]} {tried} tried", done, of),
            )
            found = self._confirmed(shape, trial, found, Path(place))
        self.progress(layers[0], done + 1, of)
        for schedule in found.wrong:
            self.log(f"note: {layers[0]}: the output of {schedule} is not the integer interpreter's; please report it")
        entry = self._entry(shape, found)
        store_entry(self.database, entry)
        return TunedShape(layers, "default" if entry.schedule is None else "tuned", entry)

    def _confirmed(self, shape: ShapeOfLayers, trial: LayerOnTrial, found: Found, place: Path) -> Found:
        """The default schedule in place of one whose output turns out to be wrong."""
        default, confirm = self.default(shape), self.device.confirm
        if confirm is None or found.schedule == default or confirm(trial, found.schedule, self.target, place):
            return found
        wrong = (*found.wrong, found.schedule)
        return dataclasses.replace(found, schedule=default, tuned_ms=found.default_ms, wrong=wrong)

    def _entry(self, shape: ShapeOfLayers, found: Found) -> TunedLayer:
        isa, threads, dots_per_cycle = self.tuned_for
        return TunedLayer(
            shape=shape.shape,
            isa=isa,
            threads=threads,
            schedule=None if found.schedule == self.default(shape) else found.schedule,
            provenance=self.device.provenance,
            measured_by=self.device.name,
            default_ms=_rounded(found.default_ms),
            tuned_ms=_rounded(found.tuned_ms),
            trials=found.trials,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            edgedeblur_version=__version__,
            dots_per_cycle=dots_per_cycle,
        )

    def compare(self, size: tuple[int, int]) -> Comparison:
        """The whole network with the default schedules and with the database's."""
        databases = [open_database(self.database)]
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            return compare_networks(
                self.network, self.target, size, databases, self.device.run_network, Path(place), self.log
            )

    def revert(self, result: TunedShape) -> TunedShape:
        """Store the default schedule for the shape."""
        entry = dataclasses.replace(result.entry, schedule=None, tuned_ms=result.entry.default_ms)
        store_entry(self.database, entry)
        return dataclasses.replace(result, status="reverted", entry=entry)


def _checked(size: tuple[int, int], tuner: _Tuner, results: list[TunedShape]) -> Tuning:
    """The network by both schedules. Shapes that do not win in it are reverted and it runs once more; where it does not
    win as a whole then, all are."""

    def tuned() -> list[int]:
        return [i for i, own in enumerate(results) if own.entry is not None and own.entry.schedule is not None]

    def revert(indices: list[int]) -> None:
        for index in indices:
            results[index] = tuner.revert(results[index])

    if tuner.device.run_network is None or not tuned():
        return Tuning(tuple(results), None)
    comparison = tuner.compare(size)
    losers = [index for index in tuned() if not _wins(results[index], comparison)]
    revert(losers)
    if losers and tuned():
        comparison = tuner.compare(size)
        if comparison.tuned_ms >= comparison.default_ms:
            revert(tuned())
    return Tuning(tuple(results), comparison)


def _wins(result: TunedShape, comparison: Comparison) -> bool:
    default, tuned = (sum(comparison.layers[name][side] for name in result.names) for side in (0, 1))
    return tuned < default


def _rounded(ms: float) -> float:
    """Six significant digits: enough for a time, and short in a file."""
    return float(f"{ms:.6g}")
