"""Writes a database of tuned schedules: whole or not at all after every layer, so an interruption loses nothing."""

import dataclasses
import json
from pathlib import Path

from edgedeblur.compile.schedules.tuned import (
    LATER_KEYS,
    SCHEMA_VERSION,
    Database,
    LayerShape,
    TunedLayer,
    read_database,
)
from edgedeblur.storage.files import write_text

_HEAD = """\
# Schedules that `edgedeblur tune` found, one table per layer shape; docs/tuning.md explains the keys.
"""


def open_database(path: Path) -> Database:
    """The database in a file; empty where there is no file.

    Raises:
        UserError: it cannot be read.
    """
    return read_database(path) if path.exists() else Database(path, ())


def store_entry(path: Path, entry: TunedLayer) -> None:
    """Writes the entry into the file, in place of one for the same shape, instruction set and threads.

    The file is read again first: another process may have added to it. Unusable entries are removed.

    Raises:
        UserError: the file cannot be read or written.
    """
    old = [other for other in open_database(path).layers if other.unfit is None]
    others = [other for other in old if other.key != entry.key]
    write_text(path, format_database([*others, entry]))


def format_database(entries: list[TunedLayer]) -> str:
    """The text of a file with these entries."""
    return "".join([_HEAD, f"\nschema_version = {SCHEMA_VERSION}\n", *map(_format_entry, entries)])


def _format_entry(entry: TunedLayer) -> str:
    fields = {
        "isa": entry.isa,
        "threads": entry.threads,
        **{
            field.name: getattr(entry.shape, field.name)
            for field in dataclasses.fields(LayerShape)
            if getattr(entry.shape, field.name) != LATER_KEYS.get(field.name)
        },
        **({} if entry.schedule is None else {"schedule": dataclasses.asdict(entry.schedule)}),
        **{key: getattr(entry, key) for key in ("provenance", "measured_by", "default_ms", "tuned_ms")},
        **{key: getattr(entry, key) for key in ("trials", "created", "edgedeblur_version")},
        **({} if entry.dots_per_cycle == 1 else {"dots_per_cycle": entry.dots_per_cycle}),
    }
    return "\n".join(["", "[[layers]]", *(f"{key} = {_format(value)}" for key, value in fields.items())]) + "\n"


def _format(value: object) -> str:
    """A TOML value."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_format(item)}" for key, item in value.items()) + " }"
    text = json.dumps(value, ensure_ascii=False)  # TOML's numbers, strings and lists are JSON's too, but for DEL
    return text.replace("\x7f", "\\u007f")
