"""manifest.json: what an artefact is, what it was made from and by, and the digest of each of its files."""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur import __version__
from edgedeblur.compile.int8_proof import why_not_int8
from edgedeblur.compile.target import Target, target_table
from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_json, shown
from edgedeblur.storage.records import Rules, read_record

if TYPE_CHECKING:
    from edgedeblur.compile.build import CompiledKernel, CompiledKernels
    from edgedeblur.compile.choose import Chosen
    from edgedeblur.quantize.network import QuantisedNetwork
    from edgedeblur.student import ConvSpec

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
_TOOLS = ("apache-tvm", "apache-tvm-ffi", "ziglang")
_FIX = "compile it again: edgedeblur compile"


@dataclass(frozen=True)
class _Scale:
    scale: float
    zero_point: int


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
    """The fields with a default came later: artefacts of before lack them."""

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


def make_manifest(
    network: "QuantisedNetwork",
    sets: "list[tuple[str, CompiledKernels]]",
    schedules: "dict[str, dict[str, Chosen]]",
    target: Target,
    files: dict,
) -> dict:
    """The manifest of an artefact; `sets` by isa, the target's own first; `schedules` by isa and layer; `files` as
    `describe_files` gives them.

    name: of the network, its size and target. network_sha256: of the artefact's .edq file, which `save_edq` writes the
    same for the same network, so that an artefact can be held against the file that it was made from.
    """
    compiled, spec = sets[0][1], network.spec
    plan, layers = compiled.plan, _layer_entries(network, compiled, schedules[target.isa])
    return {
        "schema_version": SCHEMA_VERSION,
        "name": artefact_name(network, plan.height, plan.width),
        "tier": spec.name,
        "edgedeblur_version": __version__,
        "parameters": spec.parameters,
        "macs": sum(layer["macs"] for layer in layers),
        "input_shape": [plan.height, plan.width, 3],
        "target": {"name": target.name, **target_table(target)},
        "layers": layers,
        "int8": _int8_proof(layers),
        "arena_bytes": plan.arena_bytes,
        "workspace_bytes": plan.workspace_bytes,
        "weights_bytes": len(plan.constants),
        "tensors": {name: dataclasses.asdict(scale) for name, scale in network.tensors.items()},
        "recipe": network.recipe,
        "provenance": network.provenance,
        "tool_versions": _tool_versions(),
        "network_sha256": files["network.edq"]["sha256"],
        "files": files,
        "fallbacks": [_fallback_entry(network, isa, compiled, schedules[isa]) for isa, compiled in sets[1:]],
    }


def _tool_versions() -> dict[str, str]:
    from importlib import metadata  # loads much that running an artefact does without

    return {tool: metadata.version(tool) for tool in _TOOLS}


def _fallback_entry(
    network: "QuantisedNetwork", isa: str, compiled: "CompiledKernels", schedules: "dict[str, Chosen]"
) -> dict:
    """What differs from the target's own kernels, under the same names."""
    layers = _layer_entries(network, compiled, schedules)
    return {
        "isa": isa,
        "workspace_bytes": compiled.plan.workspace_bytes,
        "int8": _int8_proof(layers),
        "layers": layers,
    }


def _layer_entries(
    network: "QuantisedNetwork", compiled: "CompiledKernels", schedules: "dict[str, Chosen]"
) -> list[dict]:
    symbols = {call.layer: call.symbol for call in compiled.plan.calls}
    return [
        _layer_entry(conv.spec, kernel, symbols[kernel.layer], schedules[kernel.layer])
        for conv, kernel in zip(network.layers, compiled.kernels, strict=True)
    ]


def artefact_name(network: "QuantisedNetwork", height: int, width: int) -> str:
    """The model's name in the library and in reports: "small-512x512", height first."""
    return f"{network.spec.name}-{height}x{width}"


def write_manifest(folder: Path, manifest: dict) -> None:
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


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


def _layer_entry(spec: "ConvSpec", kernel: "CompiledKernel", symbol: str, chosen: "Chosen") -> dict:
    return {
        "name": spec.name,
        "op": describe_op(spec),
        "kernel": symbol,
        "macs": kernel.macs,
        "schedule": dataclasses.asdict(kernel.schedule),
        "fused": list(kernel.fused),
        "input_passes": kernel.input_passes,
        "schedule_source": chosen.source,
        "schedule_note": chosen.note,
        "workspace_bytes": kernel.workspace_bytes,
        "dot_instructions": kernel.dot_instructions,
        "int8": dataclasses.asdict(kernel.int8),
    }


def count_sources(sources: Iterable[str]) -> str:
    """Where the layers' schedules are from (choose.py), as one phrase: "20 tuned, 3 default"."""
    return ", ".join(f"{count} {source}" for source, count in Counter(sources).most_common())


def describe_op(spec: "ConvSpec") -> str:
    """What one layer does, in order: "space_to_depth4+conv3x3s2+depth_to_space2+residual+relu", "conv3x3+relu+gate"."""
    parts = [f"conv{spec.kernel}x{spec.kernel}" + (f"s{spec.stride}" if spec.stride > 1 else "")]
    if spec.space_to_depth > 1:
        parts.insert(0, f"space_to_depth{spec.space_to_depth}")
    if spec.depth_to_space > 1:
        parts.append(f"depth_to_space{spec.depth_to_space}")
    if spec.residual is not None:
        parts.append("residual")
    if spec.relu:
        parts.append("relu")
    if spec.gate is not None:
        parts.append("gate")
    return "+".join(parts)


def _int8_proof(layers: list[dict]) -> dict:
    """How many convolutions are int8 by what their machine code executes, and why others are not."""
    reasons = {layer["name"]: why_not_int8(layer["name"], layer["int8"]) for layer in layers}
    return {
        "convolutions": len(layers),
        "int8_convolutions": sum(not found for found in reasons.values()),
        "dot_instructions": sum(layer["dot_instructions"] for layer in layers),
        "reasons": [reason for found in reasons.values() for reason in found],
    }
