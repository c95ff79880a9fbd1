"""The JSON Schema files of edgedeblur/report/schemas/, made from the dataclasses that read the same documents.

`python tests/support/json_schemas.py` writes them again; a test compares the files with what this makes.
"""

import dataclasses
import functools
import json
import types
import typing
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Literal

import jsonschema

import edgedeblur
from edgedeblur.artefact import manifest
from edgedeblur.quantize import edq
from edgedeblur.report import schema as report
from edgedeblur.student.spec import LATER_FIELDS

FOLDER = Path(edgedeblur.__file__).parent / "report" / "schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"}


def schemas() -> dict[str, dict]:
    """Each schema by its file's name."""
    network = _schema("network", edq.VERSION, "network.json inside an .edq file", edq._NetworkJson, complete=True)
    network["properties"] |= {"format": {"const": edq.FORMAT}, "version": {"const": edq.VERSION}}
    layer = network["$defs"]["ConvSpec"]
    layer["required"] = [key for key in layer["required"] if key not in LATER_FIELDS]  # left out where it has none
    network["required"].remove("winograd")  # and where no layer is in that form
    network["$defs"]["TensorScale"]["required"].remove("bits")  # and of int8 tensors
    artefact = _schema(
        "manifest", manifest.SCHEMA_VERSION, "manifest.json of an artefact", manifest._Manifest, further_keys=True
    )
    artefact["properties"]["schema_version"] = {"const": manifest.SCHEMA_VERSION}
    bench = _schema("report", report.SCHEMA_VERSION, "report.json of edgedeblur bench", report.Report)
    bench["properties"]["schema_version"] = {"const": report.SCHEMA_VERSION}
    return {"network.schema.json": network, "manifest.schema.json": artefact, "report.schema.json": bench}


def text(schema: dict) -> str:
    return json.dumps(schema, indent=2) + "\n"


@functools.cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    """Of the file that ships: `name` is "report", "manifest" or "network"."""
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def _schema(name: str, version: int, title: str, kind: type, further_keys: bool = False, complete: bool = False):
    defs: dict[str, dict] = {}
    whole = _record(kind, defs, further_keys, complete)
    return {
        "$schema": DRAFT,
        "$id": f"urn:edgedeblur:{name}:{version}",
        "title": title,
        **whole,
        "$defs": dict(sorted(defs.items())),
    }


def _record(kind: type, defs: dict[str, dict], further_keys: bool, complete: bool) -> dict:
    """A dataclass as an object; those inside it go to `defs`. The rules are those of storage/records.py."""
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    described = (kind.__doc__ or "").split("\n\n    out = ")[0]
    made = {"type": "object"}
    if not described.startswith(f"{kind.__name__}("):  # dataclass's own signature, where there is no docstring
        made["description"] = " ".join(described.split())
    made["properties"] = {each.name: _value(hints[each.name], defs, further_keys, complete) for each in fields}
    made["required"] = [
        each.name for each in fields if complete or (each.default is MISSING and each.default_factory is MISSING)
    ]
    if not further_keys:
        made["additionalProperties"] = False
    return made


def _value(kind: Any, defs: dict[str, dict], further_keys: bool, complete: bool) -> dict:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    value = functools.partial(_value, defs=defs, further_keys=further_keys, complete=complete)
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [{"type": "null"} if each is type(None) else value(each) for each in inner]}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is list or (origin is tuple and inner[-1] is Ellipsis):
        return {"type": "array", "items": value(inner[0])}
    if origin is tuple:
        return {"type": "array", "prefixItems": [value(each) for each in inner], "items": False, "minItems": len(inner)}
    if origin is dict:
        return {"type": "object", "additionalProperties": value(inner[1])}
    if dataclasses.is_dataclass(kind):
        name = kind.__name__.removeprefix("_")
        if name not in defs:
            defs[name] = _record(kind, defs, further_keys, complete)
        return {"$ref": f"#/$defs/{name}"}
    return {"type": _TYPES[kind]}


if __name__ == "__main__":
    for name, schema in schemas().items():
        (FOLDER / name).write_text(text(schema))
