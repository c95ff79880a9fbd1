"""manifest.json of an artefact, read: what it is, what it was made from and by, the digest of each of its files."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur.artefact.names import MANIFEST
from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_json, shown
from edgedeblur.storage.records import Rules, read_record

if TYPE_CHECKING:
    from edgedeblur.student import Layer

SCHEMA_VERSION = 1
PASS = "pass"  # the method of a layer without weights
_FIX = "compile it again: edgedeblur compile"


@dataclass(frozen=True)
class _Scale:
    """bits: of int16 values only."""

    scale: float
    zero_point: int
    bits: int = 8


@dataclass(frozen=True)
class _Int8:
    convolutions: int
    int8_convolutions: int
    dot_instructions: int
    reasons: list[str]


@dataclass(frozen=True)
class _Schedule:
    method: str


@dataclass(frozen=True)
class _Layer:
    """The fields with a default came later: older artefacts lack them."""

    name: str
    op: str
    macs: int
    schedule: _Schedule
    dot_instructions: int
    input_passes: int | None = None
    schedule_source: str = "default"
    schedule_note: str | None = None


@dataclass(frozen=True)
class _File:
    bytes: int
    sha256: str


@dataclass(frozen=True)
class _Fallback:
    isa: str
    workspace_bytes: int
    int8: _Int8
    layers: list[_Layer]


@dataclass(frozen=True)
class _FurtherSize:
    isa: str
    input_shape: tuple[int, int, int]
    macs: int
    arena_bytes: int
    workspace_bytes: int
    int8: _Int8
    layers: list[_Layer]


@dataclass(frozen=True)
class _Manifest:
    """What whoever reads a manifest relies on; it may hold more. docs/artefact.md explains the keys."""

    schema_version: int
    name: str
    tier: str
    edgedeblur_version: str
    parameters: int
    macs: int
    input_shape: tuple[int, int, int]
    target: dict
    layers: list[_Layer]
    int8: _Int8
    arena_bytes: int
    workspace_bytes: int
    weights_bytes: int
    tensors: dict[str, _Scale]
    recipe: dict
    provenance: dict
    tool_versions: dict[str, str]
    network_sha256: str
    files: dict[str, _File]
    fallbacks: list[_Fallback]
    more_sizes: list[_FurtherSize] | None = None


def read_manifest(folder: Path) -> dict:
    """The manifest of the artefact in the folder, its keys and their types checked.

    Raises:
        UserError: no folder, no manifest, or a damaged or unknown one.
    """
    path = folder / MANIFEST
    if not path.exists():
        what = f"{folder} has no {MANIFEST}" if folder.is_dir() else f"there is no folder {folder}"
        raise UserError(f"{what}, so it is not an artefact", "edgedeblur compile")
    origin = Origin(f"{path} is damaged", _FIX)
    manifest = read_json(path, origin)
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise origin.error(f"schema_version is {shown(version)}; this edgedeblur reads {SCHEMA_VERSION}")
    read_record(_Manifest, manifest, Rules(origin, further_keys=True))
    return manifest


def describe_files(folder: Path) -> dict[str, dict]:
    """{name: {bytes, sha256}} of every file in the folder and below, sorted by name."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): describe_file(path) for path in paths}


def describe_file(path: Path) -> dict:
    with open(path, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def damaged(path: Path, reason: str) -> UserError:
    """The error for an artefact that cannot be trusted to run."""
    return UserError(f"{path} is damaged: {reason}", _FIX)


def count_sources(sources: Iterable[str]) -> str:
    """Where the layers' schedules are from (choose.py), as one phrase: "20 tuned, 3 default"."""
    return ", ".join(f"{count} {source}" for source, count in Counter(sources).most_common())


def gpu_facts(gpu: dict) -> tuple[dict, str]:
    """What a manifest's `gpu` says: as values and as a sentence. Older artefacts lack the schedules."""
    kept = [
        {key: one[key] for key in ("layer", "schedule_source", "schedule_note")} for one in gpu.get("schedules", ())
    ]
    sources = count_sources(one["schedule_source"] for one in kept) or "not told"
    notes = dict.fromkeys(one["schedule_note"] for one in kept if one["schedule_note"])
    precision, form = gpu.get("precision", "int8"), ""
    if precision == "fp16":
        form = (
            f"fp16 (float16 in memory, float32 sums), not the interpreter's bytes but within {gpu['tolerance_levels']} "
        )
        form += "levels of the float student's on the self-test's picture; on the CPU int8; "
    text = f"{gpu['language']}, {form}{len(gpu['kernels'])} launches; schedules: {'; '.join((sources, *notes))}"
    said = {"language": gpu["language"], "precision": precision, "launches": len(gpu["kernels"]), "schedules": kept}
    return {"gpu": said}, text


def describe_op(spec: "Layer") -> str:
    """What one layer does, in order: "space_to_depth4+conv3x3s2+depth_to_space2+residual+relu", "conv3x3+relu+gate",
    "depthwise3x3s2+relu6", "max_pool2"; "g4": four groups, "d2": a dilation of two."""
    if hasattr(spec, "op"):
        return spec.op
    depthwise = 1 < spec.groups == spec.in_channels == spec.out_channels
    numbers = {"s": spec.stride, "g": 1 if depthwise else spec.groups, "d": spec.dilation}
    kernel = f"{'depthwise' if depthwise else 'conv'}{spec.kernel}x{spec.kernel}"
    parts = [kernel + "".join(f"{letter}{number}" for letter, number in numbers.items() if number > 1)]
    if spec.space_to_depth > 1:
        parts.insert(0, f"space_to_depth{spec.space_to_depth}")
    if spec.prelu:
        parts.append("prelu")
    if spec.depth_to_space > 1:
        parts.append(f"depth_to_space{spec.depth_to_space}")
    if spec.residual is not None:
        parts.append("residual")
    if spec.relu:
        parts.append("relu" + ("" if spec.limit is None else f"{spec.limit:g}"))
    if spec.gate is not None:
        parts.append("gate")
    return "+".join(parts)
