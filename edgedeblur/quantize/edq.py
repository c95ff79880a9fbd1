"""The `.edq` file: a quantised network in one file. docs/edq-format.md is its specification."""

import dataclasses
import hashlib
import io
import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.quantize.check import array_forms, array_of, check_network, check_spec
from edgedeblur.quantize.network import (
    QuantisedConv,
    QuantisedGate,
    QuantisedLayer,
    QuantisedNetwork,
    QuantisedOp,
    TensorScale,
)
from edgedeblur.storage.archive import Archive, open_archive
from edgedeblur.storage.arrays import NPY_HEADER, parse_npy
from edgedeblur.storage.contents import Origin, require_regular
from edgedeblur.storage.documents import parse_json, shown
from edgedeblur.storage.files import atomic_path
from edgedeblur.storage.records import Rules, read_record
from edgedeblur.student import Layer, OpSpec, StudentSpec, layer_record
from edgedeblur.student.spec import LATER_FIELDS, LAYER_READERS

FORMAT = "edgedeblur-quantised-network"
VERSION = 1
MAX_NETWORK_JSON = 4 << 20
_STATISTICS = "statistics.json"  # in older files; not read
_MAX_FILE = 1 << 30
_EPOCH = (1980, 1, 1, 0, 0, 0)
_REMAKE = "edgedeblur quantize"
_NETWORK_JSON = Origin("network.json")


@dataclass(frozen=True)
class _Provenance:
    """What is read of it; it may hold more."""

    teacher: str | None = None


@dataclass(frozen=True)
class _NetworkJson:
    """network.json; docs/edq-format.md explains the keys."""

    format: str
    version: int
    student: StudentSpec
    tensors: dict[str, TensorScale]
    residual_scales: dict[str, float]
    winograd: list[str]
    recipe: dict
    provenance: dict


def save_edq(network: QuantisedNetwork, path: str | Path) -> None:
    """Writes the network; the same network gives the same bytes.

    Raises:
        UserError: the network breaks a rule of check.py, or the file cannot be written.
    """
    check_network(network)
    with atomic_path(path) as temporary:
        temporary.write_bytes(_to_bytes(network))


def network_sha256(network: QuantisedNetwork) -> str:
    """The SHA-256 of the file that `save_edq` writes, in hexadecimal digits."""
    return hashlib.sha256(_to_bytes(network)).hexdigest()


def _to_bytes(network: QuantisedNetwork) -> bytes:
    members = {"network.json": _to_json(_description(network))}
    for layer in network.layers:
        for kind in array_forms(layer.spec):
            members[_array_member(layer.spec, kind)] = _to_npy(array_of(layer, kind))
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return written.getvalue()


def load_edq(path: str | Path) -> QuantisedNetwork:
    """Reads and checks a network.

    Args:
        path: of the `.edq` file.

    Returns:
        The network as data: `spec`, `layers` (int8 weights [out, kernel, kernel, in], int32 biases, float32 scales),
        and `tensors` with a scale and a zero point for each.

    Raises:
        UserError: no such file, not an `.edq` file, damaged, of an unknown version, or breaking a rule of check.py.

    Example:
        >>> network = ed.load_network("student.edq")
        >>> network.tensors["image"]
        TensorScale(scale=0.00392156862745098, zero_point=-128, bits=8)
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"there is no file {path}", _REMAKE)
    require_regular(path, Origin(str(path), _REMAKE))
    try:
        with open_archive(path, _MAX_FILE, Origin("not an .edq file", _REMAKE)) as archive:
            return _read(archive)
    except UserError as error:
        raise UserError(f"{path}: {error.message}", error.fix or _REMAKE) from None


def _read(archive: Archive) -> QuantisedNetwork:
    if "network.json" not in archive.names:
        raise UserError("not an .edq file: it has no network.json")
    if len(set(archive.names)) != len(archive.names):
        raise UserError("two members of the archive have the same name")
    document = _member_json(archive, "network.json", MAX_NETWORK_JSON)
    _check_version(document)
    found = read_record(
        _NetworkJson, _with_later_fields(document), Rules(_NETWORK_JSON, complete=True, readers=LAYER_READERS)
    )
    read_record(_Provenance, found.provenance, Rules(_NETWORK_JSON, further_keys=True), "provenance")
    spec = found.student
    check_spec(spec)
    _check_winograd_names(found)
    expected = {"network.json"} | {_array_member(layer, kind) for layer in spec.layers for kind in array_forms(layer)}
    different = sorted((set(archive.names) ^ expected) - {_STATISTICS})
    if different:
        raise UserError(
            f"the archive's members do not match the network: {shown(different[0])} is missing or unexpected"
        )
    network = QuantisedNetwork(
        spec=spec,
        layers=tuple(_layer(archive, layer, found, spec.gate_channels(layer)) for layer in spec.layers),
        tensors=found.tensors,
        recipe=found.recipe,
        provenance=found.provenance,
    )
    check_network(network)
    return network


def _check_version(document: dict) -> None:
    if document.get("format") != FORMAT:
        raise UserError(f"not an .edq file: its format is {shown(document.get('format'))}, not {FORMAT!r}")
    version = document.get("version")
    if version != VERSION:
        raise UserError(
            f"the file has .edq version {shown(version)}; this edgedeblur reads version {VERSION}",
            "quantise again with this edgedeblur: edgedeblur quantize",
        )


def _check_winograd_names(found: _NetworkJson) -> None:
    unknown = sorted(set(found.winograd) - {layer.name for layer in found.student.layers})
    if unknown or len(set(found.winograd)) != len(found.winograd):
        raise UserError(f"winograd names {shown(unknown[0])}, no layer" if unknown else "winograd names a layer twice")


def _description(network: QuantisedNetwork) -> dict:
    winograd = [layer.spec.name for layer in network.convolutions if layer.winograd]
    return {
        "format": FORMAT,
        "version": VERSION,
        "student": dataclasses.asdict(network.spec)
        | {"layers": [layer_record(layer) for layer in network.spec.layers]},
        "tensors": {name: tensor_record(scale) for name, scale in network.tensors.items()},
        "residual_scales": {
            layer.spec.name: float(layer.residual_scale) for layer in network.layers if layer.residual_scale is not None
        },
        **({"winograd": winograd} if winograd else {}),
        "recipe": network.recipe,
        "provenance": network.provenance,
    }


def tensor_record(scale: TensorScale) -> dict[str, float | int]:
    """A tensor's entry in JSON; `bits` only of int16 values, so that networks without any are what they were."""
    record = {"scale": float(scale.scale), "zero_point": int(scale.zero_point)}
    return record | ({"bits": int(scale.bits)} if scale.int16 else {})


def _to_json(value: dict) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _to_npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    little_endian = array.astype(array.dtype.newbyteorder("<"))
    np.lib.format.write_array(stream, np.ascontiguousarray(little_endian), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def _array_member(layer: Layer, kind: str) -> str:
    return f"arrays/{layer.name}.{kind}.npy"


def _member_json(archive: Archive, name: str, limit: int) -> dict[str, Any]:
    return parse_json(archive.read(name, limit), Origin(name))


def _layer(archive: Archive, spec: Layer, found: _NetworkJson, gate_channels: int) -> QuantisedLayer:
    arrays = {}
    for kind, (dtype, shape) in array_forms(spec, gate_channels).items():
        member, stored = _array_member(spec, kind), np.dtype(dtype).newbyteorder("<")
        data = archive.read(member, math.prod(shape) * stored.itemsize + NPY_HEADER)
        arrays[kind] = parse_npy(data, stored, shape, Origin(member))
    if isinstance(spec, OpSpec):
        return QuantisedOp(spec, **arrays)
    residual = found.residual_scales.get(spec.name)
    of_gate = {kind.partition(".")[2]: arrays.pop(kind) for kind in list(arrays) if kind.startswith("gate.")}
    gate = QuantisedGate(**of_gate) if of_gate else None
    scale = None if residual is None else np.float32(residual)
    return QuantisedConv(spec, residual_scale=scale, gate=gate, winograd=spec.name in found.winograd, **arrays)


def _with_later_fields(document: dict[str, Any]) -> dict[str, Any]:
    """The document with what it and its layers leave out since they do not have it."""
    document.setdefault("winograd", [])
    tensors = document.get("tensors")
    for tensor in tensors.values() if isinstance(tensors, dict) else ():
        if isinstance(tensor, dict):
            tensor.setdefault("bits", 8)
    student = document.get("student")
    layers = student.get("layers") if isinstance(student, dict) else None
    for layer in layers if isinstance(layers, list) else ():
        if isinstance(layer, dict) and "op" not in layer:
            layer.update({key: value for key, value in LATER_FIELDS.items() if key not in layer})
    return document
