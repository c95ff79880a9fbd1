"""Databases of tuned schedules: what `edgedeblur tune` found for a layer's shape, read strictly and used if it fits.

A database is a TOML file (docs/tuning.md) named after LLVM's cpu: targets/tuned/x86-64-v4.toml ships, and a work
directory may hold one of its own. Schedules for a GPU stand in it too, under the GPU's language in place of an isa. A
file that cannot be read is an error; an entry that this version cannot use is a note, and its layer gets the default
schedule.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from edgedeblur.artefact.target import GPU_LANGUAGES, MAX_THREADS
from edgedeblur.compile.gpu.schedule import GpuSchedule
from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.schedules.schedule import LARGEST_SUM, Schedule
from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_toml
from edgedeblur.storage.records import read_record

SCHEMA_VERSION = 1
_LARGEST = 1 << 16  # of a schedule's numbers and of a side: beyond every image, so that checking stays quick
_FIX = "tune again: edgedeblur tune; or remove the file"


@dataclass(frozen=True)
class LayerShape:
    """What a layer's speed depends on: `ConvLayer` without its name, its numbers and its constants.

    small_sums: whether its weights allow Winograd's method (schedule.LARGEST_SUM).
    residual: "none", "tensor" (int8) or "image" (uint8).
    halved: in Winograd form.
    """

    kernel: int
    stride: int
    source: tuple[int, int, int]
    out: tuple[int, int, int]
    space_to_depth: int
    depth_to_space: int
    image_source: bool
    image_out: bool
    small_sums: bool
    residual: Literal["none", "tensor", "image"]
    groups: int = field(default=1, kw_only=True)
    dilation: int = field(default=1, kw_only=True)
    prelu: bool = field(default=False, kw_only=True)
    halved: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class TunedLayer:
    """One entry of a database.

    isa, threads: what it was tuned for; for a GPU its language and 1.
    schedule: None where none was faster than the default, so that an old database does not hold back a better rule, and
        where this version has no such schedule; `unfit` then says why.
    provenance: "measured" in milliseconds of a clock, "estimated" from the machine code, or "simulated": measured of
        software in place of a GPU.
    measured_by: the processor or phone, the GPU and its driver, or the model that estimated.
    default_ms, tuned_ms: the default schedule and this one, side by side in one run.
    trials: schedules that were tried. created: RFC 3339.
    dots_per_cycle: of the core that it was tuned on (InstructionSet): one that starts more prefers other methods.
    """

    shape: LayerShape
    isa: str
    threads: int
    schedule: Schedule | GpuSchedule | None
    provenance: str
    measured_by: str
    default_ms: float
    tuned_ms: float
    trials: int
    created: str
    edgedeblur_version: str
    unfit: str | None = None
    dots_per_cycle: float = 1.0

    @property
    def key(self) -> tuple[LayerShape, str, int, float]:
        return self.shape, self.isa, self.threads, self.dots_per_cycle


@dataclass(frozen=True)
class Database:
    """The entries of a file, in its order, and notes on those that cannot be read at all."""

    path: Path
    layers: tuple[TunedLayer, ...]
    notes: tuple[str, ...] = ()

    def find(self, shape: LayerShape, isa: str, threads: int, dots_per_cycle: float = 1.0) -> TunedLayer | None:
        """The entry for exactly this."""
        return next((entry for entry in self.layers if entry.key == (shape, isa, threads, dots_per_cycle)), None)


@dataclass(frozen=True)
class _DatabaseFile:
    schema_version: int
    layers: tuple[dict, ...] = ()


@dataclass(frozen=True)
class _Entry(LayerShape):
    """One [[layers]] table, in which the shape's keys stand beside the others."""

    isa: str
    threads: int
    provenance: Literal["measured", "estimated", "simulated"]
    measured_by: str
    default_ms: float
    tuned_ms: float
    trials: int
    created: str
    edgedeblur_version: str
    schedule: dict | None = None
    dots_per_cycle: float = 1.0


_SHAPE_KEYS = tuple(each.name for each in fields(LayerShape))
LATER_KEYS = {each.name: each.default for each in fields(LayerShape) if each.kw_only}
"""Keys that came later, left out of an entry where they have this value."""


def layer_shape(layer: ConvLayer) -> LayerShape:
    """The shape that a layer is tuned for."""
    own = {key: getattr(layer, key) for key in _SHAPE_KEYS if key not in ("small_sums", "residual")}
    residual = "none" if layer.residual is None else "image" if layer.residual.image else "tensor"
    return LayerShape(**own, small_sums=layer.largest_sum <= LARGEST_SUM, residual=residual)


def read_database(path: Path) -> Database:
    """The database in a file.

    Raises:
        UserError: it cannot be read, is not TOML, or of another schema version.
    """
    origin = Origin(str(path), _FIX)
    found = read_record(_DatabaseFile, read_toml(path, origin), origin)
    if found.schema_version != SCHEMA_VERSION:
        raise origin.error(f"schema_version is {found.schema_version}; this edgedeblur reads {SCHEMA_VERSION}")
    layers, notes = [], []
    for index, entry in enumerate(found.layers):
        try:
            layers.append(_read_entry(origin, f"layers[{index}]", entry))
        except UserError as error:
            notes.append(f"{error.message}; the entry is not used")
    return Database(path, tuple(layers), tuple(notes))


def _read_entry(origin: Origin, key: str, table: dict) -> TunedLayer:
    entry = read_record(_Entry, table, origin, key)
    if not 1 <= entry.threads <= MAX_THREADS:
        raise origin.error(f"{key}.threads = {entry.threads}; allowed are 1 to {MAX_THREADS}")
    for name in ("default_ms", "tuned_ms", "dots_per_cycle"):
        if not getattr(entry, name) > 0:
            raise origin.error(f"{key}.{name} = {getattr(entry, name)}; a number above 0 is needed")
    for name in ("source", "out"):
        if not all(0 < side <= _LARGEST for side in getattr(entry, name)):
            raise origin.error(f"{key}.{name} = {list(getattr(entry, name))}; allowed are 1 to {_LARGEST:,}")
    shape = LayerShape(**{name: getattr(entry, name) for name in _SHAPE_KEYS})
    schedule, unfit = _read_schedule(entry.schedule, GpuSchedule if entry.isa in GPU_LANGUAGES else Schedule)
    own = {name: value for name, value in vars(entry).items() if name not in (*_SHAPE_KEYS, "schedule")}
    return TunedLayer(shape=shape, schedule=schedule, unfit=unfit, **own)


def _read_schedule(table: dict | None, kind: type) -> tuple[Schedule | GpuSchedule | None, str | None]:
    """The schedule, or why this version has none like it; neither for the default one."""
    if table is None:
        return None, None
    origin = Origin("its schedule")
    try:
        schedule = read_record(kind, table, origin)
        for name, value in vars(schedule).items():
            if not all(0 < n <= _LARGEST for n in (value if type(value) is tuple else (value,)) if type(n) is int):
                raise origin.error(f"{name} = {value}; allowed are 1 to {_LARGEST:,}")
    except UserError as error:
        return None, error.message
    return schedule, None
