"""The `.edq` file: a quantised network in one file. docs/edq-format.md is its specification."""

import dataclasses
import io
import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.files import atomic_path
from edgedeblur.quantize.check import array_forms, array_of, check_network, check_spec
from edgedeblur.quantize.network import QuantisedConv, QuantisedGate, QuantisedNetwork, TensorScale
from edgedeblur.student import ConvSpec, StudentSpec, layer_record

FORMAT = "edgedeblur-quantised-network"
VERSION = 1
MAX_NETWORK_JSON = 4 << 20
MAX_STATISTICS_JSON = 64 << 20
_NPY_HEADER = 128  # bytes of a version 1.0 header of our short shapes
_EPOCH = (1980, 1, 1, 0, 0, 0)
_REMAKE = "edgedeblur quantize"


def save_edq(network: QuantisedNetwork, path: str | Path) -> None:
    """Writes the network; the same network gives the same bytes.

    Raises:
        UserError: the network breaks a rule of check.py, or the file cannot be written.
    """
    check_network(network)
    members = {"network.json": _to_json(_description(network)), "statistics.json": _to_json(network.statistics, None)}
    for layer in network.layers:
        for kind in array_forms(layer.spec):
            members[_array_member(layer.spec, kind)] = _to_npy(array_of(layer, kind))
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)


def load_edq(path: str | Path) -> QuantisedNetwork:
    """Reads and checks a network.

    Raises:
        UserError: no such file, not an `.edq` file, damaged, of an unknown version, or breaking a rule of check.py.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}", _REMAKE) from None
    except UserError as error:
        raise UserError(f"{path}: {error.message}", error.mend or _REMAKE) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path} is not an .edq file, or it is damaged: {error}", _REMAKE) from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None


def _read(archive: zipfile.ZipFile) -> QuantisedNetwork:
    names = archive.namelist()
    if "network.json" not in names:
        raise UserError("not an .edq file: it has no network.json")
    if len(set(names)) != len(names):
        raise UserError("two members of the archive have the same name")
    document = _member_json(archive, "network.json", MAX_NETWORK_JSON)
    _check_version(document)
    spec = _spec(_entry(document, "student", dict))
    check_spec(spec)
    residual_scales = _entry(document, "residual_scales", dict)
    expected = {"network.json", "statistics.json"}
    expected |= {_array_member(layer, kind) for layer in spec.layers for kind in array_forms(layer)}
    if set(names) != expected:
        different = sorted(set(names) ^ expected)
        raise UserError(f"the archive's members do not match the network: {different[0]!r} is missing or unexpected")
    network = QuantisedNetwork(
        spec=spec,
        layers=tuple(_layer(archive, layer, residual_scales, spec.gate_channels(layer)) for layer in spec.layers),
        tensors={name: _tensor(name, value) for name, value in _entry(document, "tensors", dict).items()},
        recipe=_entry(document, "recipe", dict),
        statistics=_member_json(archive, "statistics.json", MAX_STATISTICS_JSON),
        provenance=_entry(document, "provenance", dict),
    )
    check_network(network)
    return network


def _check_version(document: dict) -> None:
    if document.get("format") != FORMAT:
        raise UserError(f"not an .edq file: its format is {document.get('format')!r}, not {FORMAT!r}")
    version = document.get("version")
    if version != VERSION:
        raise UserError(
            f"the file has .edq version {version!r}; this edgedeblur reads version {VERSION}",
            "quantise again with this edgedeblur: edgedeblur quantize",
        )


def _description(network: QuantisedNetwork) -> dict:
    return {
        "format": FORMAT,
        "version": VERSION,
        "student": dataclasses.asdict(network.spec)
        | {"layers": [layer_record(layer) for layer in network.spec.layers]},
        "tensors": {
            name: {"scale": float(scale.scale), "zero_point": int(scale.zero_point)}
            for name, scale in network.tensors.items()
        },
        "residual_scales": {
            layer.spec.name: float(layer.residual_scale) for layer in network.layers if layer.residual_scale is not None
        },
        "recipe": network.recipe,
        "provenance": network.provenance,
    }


def _to_json(value: dict, indent: int | None = 1) -> bytes:
    return (json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _to_npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    little_endian = array.astype(array.dtype.newbyteorder("<"))
    np.lib.format.write_array(stream, np.ascontiguousarray(little_endian), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def _array_member(layer: ConvSpec, kind: str) -> str:
    return f"arrays/{layer.name}.{kind}.npy"


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A member's bytes; never more than `limit` are decompressed, whatever the archive claims."""
    with archive.open(name) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise UserError(f"{name} is larger than the {limit:,} bytes it may have")
    return data


def _member_json(archive: zipfile.ZipFile, name: str, limit: int) -> dict:
    if name not in archive.namelist():
        raise UserError(f"{name} is missing")
    try:
        value = json.loads(_member(archive, name, limit), parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{name} must hold a JSON object")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _layer(archive: zipfile.ZipFile, spec: ConvSpec, residual_scales: dict, gate_channels: int) -> QuantisedConv:
    arrays = {}
    for kind, (dtype, shape) in array_forms(spec, gate_channels).items():
        arrays[kind] = _array(archive, _array_member(spec, kind), np.dtype(dtype).newbyteorder("<"), shape)
    residual = residual_scales.get(spec.name)
    if residual is not None:
        residual = np.float32(_number(residual, f"residual scale of {spec.name!r}"))
    of_gate = {kind.partition(".")[2]: arrays.pop(kind) for kind in list(arrays) if kind.startswith("gate.")}
    gate = QuantisedGate(**of_gate) if of_gate else None
    return QuantisedConv(spec, residual_scale=residual, gate=gate, **arrays)


def _array(archive: zipfile.ZipFile, member: str, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """An array whose header must say exactly what is expected: nothing is allocated on the file's word."""
    size = int(np.prod(shape)) * dtype.itemsize
    stream = io.BytesIO(_member(archive, member, size + _NPY_HEADER))
    try:
        version = np.lib.format.read_magic(stream)
        found = np.lib.format.read_array_header_1_0(stream) if version == (1, 0) else None
    except ValueError as error:
        raise UserError(f"{member} is not an .npy array: {error}") from None
    data = stream.read()
    if found != (shape, False, dtype) or len(data) != size:
        raise UserError(f"{member} must be an {dtype.name} array {list(shape)} in C order")
    return np.frombuffer(data, dtype).astype(dtype.newbyteorder("=")).reshape(shape)


def _spec(value: dict) -> StudentSpec:
    layers = tuple(_record(ConvSpec, _with_gate(layer), "layer") for layer in _entry(value, "layers", list))
    return _record(StudentSpec, {**value, "layers": layers}, "student")


def _with_gate(layer: Any) -> Any:
    """A layer's JSON value with what a layer without a gate leaves out."""
    return {**layer, "gate": layer.get("gate")} if isinstance(layer, dict) else layer


def _record(kind: type, value: Any, what: str) -> Any:
    """A dataclass from a JSON object with exactly its fields, each of the declared type."""
    fields = {entry.name: entry.type for entry in dataclasses.fields(kind)}
    if not isinstance(value, dict) or set(value) != set(fields):
        raise UserError(f"a {what} must have the fields {', '.join(fields)}")
    for name, declared in fields.items():
        allowed = (str, type(None)) if declared == str | None else (getattr(declared, "__origin__", declared),)
        if type(value[name]) not in allowed:
            raise UserError(f"{what} {value.get('name')!r}: {name} is {value[name]!r}")
    return kind(**value)


def _tensor(name: str, value: Any) -> TensorScale:
    if not isinstance(value, dict) or set(value) != {"scale", "zero_point"} or type(value["zero_point"]) is not int:
        raise UserError(f"tensor {name!r} must have a scale and an integer zero point; it has {value!r}")
    return TensorScale(_number(value["scale"], f"scale of tensor {name!r}"), value["zero_point"])


def _number(value: Any, what: str) -> float:
    if type(value) not in (int, float) or abs(value) > 1e30:
        raise UserError(f"{what} is {value!r}, not a usable number")
    return float(value)


def _entry(document: dict, name: str, kind: type) -> Any:
    if type(document.get(name)) is not kind:
        found = type(document.get(name)).__name__
        raise UserError(f"{name!r} must be a JSON {'object' if kind is dict else 'list'}; it is {found}")
    return document[name]
