"""manifest.json of an artefact that is being made; artefact/manifest.py reads it."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur import __version__
from edgedeblur.artefact.int8_proof import why_not_int8
from edgedeblur.artefact.manifest import PASS, SCHEMA_VERSION, describe_op
from edgedeblur.artefact.names import MANIFEST
from edgedeblur.artefact.target import Target, target_table
from edgedeblur.quantize.edq import tensor_record

if TYPE_CHECKING:
    from edgedeblur.compile.build import CompiledKernel, CompiledKernels, CompiledPass
    from edgedeblur.compile.gpu.part import GpuPart
    from edgedeblur.compile.schedules.choose import Chosen
    from edgedeblur.quantize.network import QuantisedNetwork
    from edgedeblur.student import ConvSpec, OpSpec

_TOOLS = ("apache-tvm", "apache-tvm-ffi", "ziglang")


@dataclass(frozen=True)
class KernelSet:
    """The kernels of one instruction set for one size, and the schedules of their layers."""

    isa: str
    compiled: "CompiledKernels"
    schedules: "dict[str, Chosen]"


def make_manifest(
    network: "QuantisedNetwork",
    sets: Sequence[KernelSet],
    sizes: int,
    target: Target,
    files: dict,
    gpu: "GpuPart | None" = None,
) -> dict:
    """The manifest of an artefact; `sets` by isa, the target's own first, each once for each of `sizes` sizes; `files`
    as `describe_files` gives them; `gpu`: the kernels for a GPU, where the artefact has some.

    name: of the network, its size and target. network_sha256: of the artefact's .edq file, which `save_edq` writes the
    same for the same network, so that an artefact can be held against the file that it was made from.
    """
    plan, spec, layers = sets[0].compiled.plan, network.spec, _layer_entries(network, sets[0])
    own = [one.compiled.plan for one in sets[:sizes]]
    others = [one for at, one in enumerate(sets) if at % sizes]
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
        "arena_bytes": max(one.arena_bytes for one in own),
        "workspace_bytes": max(one.workspace_bytes for one in own),
        "weights_bytes": len(plan.constants),
        "tensors": {name: tensor_record(scale) for name, scale in network.tensors.items()},
        "recipe": network.recipe,
        "provenance": network.provenance,
        "tool_versions": _tool_versions(),
        "network_sha256": files["network.edq"]["sha256"],
        "files": files,
        "fallbacks": [_fallback_entry(network, sets[at : at + sizes]) for at in range(sizes, len(sets), sizes)],
        **({"more_sizes": [_size_entry(network, one) for one in others]} if others else {}),
    }
    return made if gpu is None else made | {"gpu": _gpu_entry(gpu, target)}


def _gpu_entry(gpu: "GpuPart", target: Target) -> dict:
    """Bytes of device memory without the two images, every launch, and each convolution's schedule."""
    calls = [
        {"kernel": call.kernel, "layer": call.layer, "macs": call.macs, "groups": call.groups, "group": call.group}
        for call in gpu.plan.calls
    ]
    schedules = [
        {
            "layer": name,
            "schedule": dataclasses.asdict(chosen.schedule),
            "schedule_source": chosen.source,
            "schedule_note": chosen.note,
        }
        for name, chosen in gpu.schedules.items()
    ]
    return {
        "language": target.gpu,
        **_precision(gpu),
        "arena_bytes": gpu.plan.arena_bytes,
        "weights_bytes": len(gpu.plan.constants),
        "kernels": calls,
        "schedules": schedules,
    }


def _precision(gpu: "GpuPart") -> dict:
    """levels: by which float16 in memory changes the self-test's picture, as computed here; tolerance_levels: that a
    GPU may differ from float32 there."""
    if gpu.reference is None:
        return {"precision": "int8"}
    return {"precision": "fp16", "levels": gpu.reference.levels, "tolerance_levels": gpu.reference.tolerance}


def _tool_versions() -> dict[str, str]:
    from importlib import metadata  # loads much that running an artefact does without

    return {tool: metadata.version(tool) for tool in _TOOLS}


def _fallback_entry(network: "QuantisedNetwork", sets: Sequence[KernelSet]) -> dict:
    """What differs from the target's own kernels, under the same names; `sets` of all sizes, the first size first."""
    layers = _layer_entries(network, sets[0])
    return {
        "isa": sets[0].isa,
        "workspace_bytes": max(one.compiled.plan.workspace_bytes for one in sets),
        "int8": _int8_proof(layers),
        "layers": layers,
    }


def _size_entry(network: "QuantisedNetwork", one: KernelSet) -> dict:
    """What differs from the first size, under the same names."""
    layers, plan = _layer_entries(network, one), one.compiled.plan
    return {
        "isa": one.isa,
        "input_shape": [plan.height, plan.width, 3],
        "macs": sum(layer["macs"] for layer in layers),
        "arena_bytes": plan.arena_bytes,
        "workspace_bytes": plan.workspace_bytes,
        "int8": _int8_proof(layers),
        "layers": layers,
    }


def _layer_entries(network: "QuantisedNetwork", one: KernelSet) -> list[dict]:
    symbols = {call.layer: call.symbol for call in one.compiled.plan.calls}
    kernels = {kernel.layer: kernel for kernel in (*one.compiled.kernels, *one.compiled.passes)}
    return [
        _layer_entry(layer.spec, kernels[name], symbols[name], one.schedules[name])
        if name in one.schedules
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
