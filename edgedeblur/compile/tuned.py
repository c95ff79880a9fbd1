"""Databases of tuned schedules: what `edgedeblur tune` found for a layer's shape, read strictly and used if it fits.

A database is a TOML file (docs/tuning.md) named after LLVM's cpu: targets/tuned/x86-64-v4.toml ships, and a work
directory may hold one of its own. A file that cannot be read is an error; an entry that this version cannot use is a
note, and its layer gets the rule's schedule.
"""

import dataclasses
import math
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.schedule import LARGEST_SUM, Schedule
from edgedeblur.compile.strict_toml import bad_file, check_table, read_toml
from edgedeblur.compile.target import MAX_THREADS
from edgedeblur.errors import UserError

SCHEMA_VERSION = 1
PROVENANCES = ("measured", "estimated")
RESIDUALS = ("none", "tensor", "image")
_LARGEST = 1 << 16  # of a schedule's numbers and of a side: beyond every image, so that checking stays quick
_MEND = "tune again: edgedeblur tune; or remove the file"


@dataclass(frozen=True)
class LayerShape:
    """What a layer's speed depends on: `ConvLayer` without its name, its numbers and its constants.

    small_sums: whether its weights allow Winograd's method (schedule.LARGEST_SUM).
    residual: "none", "tensor" (int8) or "image" (uint8).
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


@dataclass(frozen=True)
class TunedLayer:
    """One entry of a database.

    isa, threads: what it was tuned for.
    schedule: None where none was faster than the rule's, so that a better rule is not held back by an old database, and
        where this version has no such schedule; `unfit` then says why.
    provenance: "measured" in milliseconds of a clock, or "estimated" from the machine code.
    measured_by: the processor or phone, or the model that estimated.
    default_ms, tuned_ms: the rule's schedule and this one, side by side in one run.
    trials: schedules that were tried. created: RFC 3339.
    """

    shape: LayerShape
    isa: str
    threads: int
    schedule: Schedule | None
    provenance: str
    measured_by: str
    default_ms: float
    tuned_ms: float
    trials: int
    created: str
    edgedeblur_version: str
    unfit: str | None = None

    @property
    def key(self) -> tuple[LayerShape, str, int]:
        return self.shape, self.isa, self.threads


@dataclass(frozen=True)
class Database:
    """The entries of a file, in its order, and notes on those that cannot be read at all."""

    path: Path
    layers: tuple[TunedLayer, ...]
    notes: tuple[str, ...] = ()

    def find(self, shape: LayerShape, isa: str, threads: int) -> TunedLayer | None:
        """The entry for exactly this."""
        return next((entry for entry in self.layers if entry.key == (shape, isa, threads)), None)


_SHAPE_KEYS = {
    "kernel": int,
    "stride": int,
    "source": list,
    "out": list,
    "space_to_depth": int,
    "depth_to_space": int,
    "image_source": bool,
    "image_out": bool,
    "small_sums": bool,
    "residual": str,
}
_ENTRY_KEYS = {
    "isa": str,
    "threads": int,
    **_SHAPE_KEYS,
    "provenance": str,
    "measured_by": str,
    "default_ms": float,
    "tuned_ms": float,
    "trials": int,
    "created": str,
    "edgedeblur_version": str,
}


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
    try:
        table = check_table(path, "", read_toml(path), {"schema_version": int}, {"layers": list})
    except UserError as error:
        raise UserError(error.message, _MEND) from None
    if table["schema_version"] != SCHEMA_VERSION:
        found = table["schema_version"]
        raise UserError(f"{path}: schema_version is {found}; this edgedeblur reads {SCHEMA_VERSION}", _MEND)
    layers, notes = [], []
    for index, entry in enumerate(table.get("layers", [])):
        try:
            layers.append(_read_entry(path, f"layers[{index}].", entry))
        except UserError as error:
            notes.append(f"{error.message}; the entry is not used")
    return Database(path, tuple(layers), tuple(notes))


def _read_entry(path: Path, prefix: str, entry: object) -> TunedLayer:
    table = check_table(path, prefix, entry, _ENTRY_KEYS, {"schedule": dict})
    for key in ("source", "out"):
        table[key] = _extents(path, prefix + key, table[key])
    for key, allowed in (("residual", RESIDUALS), ("provenance", PROVENANCES)):
        if table[key] not in allowed:
            raise bad_file(path, f"{prefix}{key} = {table[key]!r}; allowed are {', '.join(allowed)}")
    if not 1 <= table["threads"] <= MAX_THREADS:
        raise bad_file(path, f"{prefix}threads = {table['threads']}; allowed are 1 to {MAX_THREADS}")
    for key in ("default_ms", "tuned_ms"):
        if not 0 < table[key] < math.inf:
            raise bad_file(path, f"{prefix}{key} = {table[key]}; a time above 0 is needed")
    shape = LayerShape(**{key: table.pop(key) for key in _SHAPE_KEYS})
    schedule, unfit = _read_schedule(table.pop("schedule", None))
    return TunedLayer(shape=shape, schedule=schedule, unfit=unfit, **table)


def _extents(path: Path, key: str, values: list) -> tuple[int, int, int]:
    if len(values) != 3 or not all(type(value) is int and 0 < value <= _LARGEST for value in values):
        raise bad_file(path, f"{key} = {values!r}; [height, width, channels] is needed")
    return tuple(values)


def _read_schedule(table: dict | None) -> tuple[Schedule | None, str | None]:
    """The schedule, or why this version has none like it; neither for the rule's."""
    if table is None:
        return None, None
    fields = {field.name: field for field in dataclasses.fields(Schedule)}
    types = typing.get_type_hints(Schedule)
    for name, value in table.items():
        if name not in fields:
            return None, f"{name} is nothing that a schedule has; it has {', '.join(fields)}"
        if not _fits(value, types[name]):
            return None, f"{name} = {value!r}"
    missing = [n for n, field in fields.items() if n not in table and field.default is dataclasses.MISSING]
    return (None, f"{', '.join(missing)} missing") if missing else (Schedule(**table), None)


def _fits(value: object, kind: type) -> bool:
    if typing.get_origin(kind) is Literal:
        return value in typing.get_args(kind)
    return type(value) is kind and (kind is not int or 0 < value <= _LARGEST)
