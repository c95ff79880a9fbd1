"""manifest.json of an artefact that is being made; artefact/manifest.py reads it."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur import __version__
from edgedeblur.artefact.int8_proof import why_not_int8
from edgedeblur.artefact.manifest import PASS, SCHEMA_VERSION, describe_op
from edgedeblur.artefact.names import MANIFEST
from edgedeblur.artefact.target import Target, target_table

if TYPE_CHECKING:
    from edgedeblur.compile.build import CompiledKernel, CompiledKernels, CompiledPass
    from edgedeblur.compile.gpu.build import GpuPlan
    from edgedeblur.compile.schedules.choose import Chosen
    from edgedeblur.quantize.network import QuantisedNetwork
    from edgedeblur.student import ConvSpec, OpSpec

_TOOLS = ("apache-tvm", "apache-tvm-ffi", "ziglang")


def make_manifest(
    network: "QuantisedNetwork",
    sets: "list[tuple[str, CompiledKernels]]",
    schedules: "dict[str, dict[str, Chosen]]",
    target: Target,
    files: dict,
    gpu: "GpuPlan | None" = None,
) -> dict:
    """The manifest of an artefact; `sets` by isa, the target's own first; `schedules` by isa and layer; `files` as
    `describe_files` gives them; `gpu`: the kernels for a GPU, where the artefact has some.

    name: of the network, its size and target. network_sha256: of the artefact's .edq file, which `save_edq` writes the
    same for the same network, so that an artefact can be held against the file that it was made from.
    """
    compiled, spec = sets[0][1], network.spec
    plan, layers = compiled.plan, _layer_entries(network, compiled, schedules[target.isa])
    made = {
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
    return made if gpu is None else made | {"gpu": _gpu_entry(gpu, target)}


def _gpu_entry(gpu: "GpuPlan", target: Target) -> dict:
    """Bytes of device memory without the two images, and every launch."""
    calls = [
        {"kernel": call.kernel, "layer": call.layer, "macs": call.macs, "groups": call.groups, "group": call.group}
        for call in gpu.calls
    ]
    return {
        "language": target.gpu,
        "arena_bytes": gpu.arena_bytes,
        "weights_bytes": len(gpu.constants),
        "kernels": calls,
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
    kernels = {kernel.layer: kernel for kernel in (*compiled.kernels, *compiled.passes)}
    return [
        _layer_entry(layer.spec, kernels[name], symbols[name], schedules[name])
        if name in schedules
        else _pass_entry(layer.spec, kernels[name], symbols[name])
        for layer in network.layers
        for name in [layer.spec.name]
    ]


def artefact_name(network: "QuantisedNetwork", height: int, width: int) -> str:
    """The model's name in the library and in reports: "small-512x512", height first."""
    return f"{network.spec.name}-{height}x{width}"


def write_manifest(folder: Path, manifest: dict) -> None:
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


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


def _pass_entry(spec: "OpSpec", kernel: "CompiledPass", symbol: str) -> dict:
    """A layer without weights: a pass over memory that multiplies nothing by weights."""
    return {
        "name": spec.name,
        "op": describe_op(spec),
        "kernel": symbol,
        "macs": 0,
        "schedule": {"method": PASS},
        "workspace_bytes": kernel.workspace_bytes,
        "dot_instructions": 0,
    }


def _int8_proof(layers: list[dict]) -> dict:
    """How many convolutions are int8 by what their machine code executes, and why others are not."""
    layers = [layer for layer in layers if layer["schedule"]["method"] != PASS]
    reasons = {layer["name"]: why_not_int8(layer["name"], layer["int8"]) for layer in layers}
    return {
        "convolutions": len(layers),
        "int8_convolutions": sum(not found for found in reasons.values()),
        "dot_instructions": sum(layer["dot_instructions"] for layer in layers),
        "reasons": [reason for found in reasons.values() for reason in found],
    }
