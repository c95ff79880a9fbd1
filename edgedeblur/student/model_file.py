"""Files of trained weights: safetensors with what is needed to rebuild the network in their metadata.

A model file holds the tensors of one network and, under the metadata key `edgedeblur`, one JSON object
`{"format": 1, "kind", "config", "metadata"}`: which network, the configuration that builds it, and the facts of its
model card (data, recipe, seed, steps, measured PSNR). A student's config holds its whole layer list, so a file stays
readable when the tiers change. Training state, which is nobody's model, is a torch file (`save_training_state`).
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import parse_json, shown
from edgedeblur.storage.files import write_bytes
from edgedeblur.storage.records import Rules, read_record
from edgedeblur.storage.safetensors_header import read_metadata
from edgedeblur.storage.tensor_files import load_safetensors
from edgedeblur.student import Layer, Student, StudentSpec, layer_record
from edgedeblur.student.check import check_graph
from edgedeblur.student.spec import LAYER_READERS
from edgedeblur.student.table import require_small

METADATA_KEY = "edgedeblur"
FORMAT = 1
UNET = "unet-generator"
STUDENT = "student"
_MEND_STUDENT = "make a student with: edgedeblur distill"


@dataclass(frozen=True)
class _Header:
    """The JSON object under `edgedeblur`."""

    format: int
    kind: str
    config: dict
    metadata: dict


@dataclass(frozen=True)
class _StudentConfig:
    tier: str
    bottleneck: str
    multiple: int
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class ModelFile:
    """What a model file holds. `state` maps parameter names to float32 tensors."""

    kind: str
    state: dict[str, Tensor]
    config: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)


def save_model(
    path: str | Path, kind: str, state: dict[str, Tensor], config: dict, metadata: dict, half: bool = False
) -> Path:
    """Write a model file whole or not at all; `half` stores the weights as float16 (half the size, 11-bit mantissa).

    The same arguments give the same bytes.

    Raises:
        UserError: the file cannot be written, or a weight is NaN or infinite (after rounding to float16 too).
    """
    dtype = torch.float16 if half else torch.float32
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in sorted(state.items())}
    header = {"format": FORMAT, "kind": kind, "config": config, "metadata": metadata}
    return write_tensors(path, tensors, {METADATA_KEY: json.dumps(header, sort_keys=True)})


def write_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> Path:
    """Write a safetensors file whole or not at all.

    Raises:
        UserError: the file cannot be written, or a weight is NaN or infinite.
    """
    _require_finite(Path(path), tensors)
    write_bytes(path, save(tensors, metadata))  # safetensors' own writing hides a full disk in an error of its own
    return Path(path)


def read_model(path: str | Path) -> ModelFile:
    """Read a model file of any kind; tensors come back as float32.

    Raises:
        UserError: the file is missing, not safetensors, truncated, without edgedeblur's metadata, or holds NaN/Inf.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"no model file {path}", "check the path, or make one with: edgedeblur distill")
    header = _header(path, read_metadata(path, _origin(path)))
    state = {name: tensor.to(torch.float32) for name, tensor in load_safetensors(path).items()}
    _require_finite(path, state)
    return ModelFile(header.kind, state, header.config, header.metadata)


def is_model_file(path: str | Path) -> bool:
    """Whether `path` is a safetensors file with edgedeblur's metadata; reads only the header."""
    try:
        return METADATA_KEY in read_metadata(Path(path), _origin(path))
    except UserError:
        return False


def _origin(path: str | Path) -> Origin:
    return Origin(f"{path} is not a whole safetensors file", "copy or make the file again")


def save_student(path: str | Path, student: Student, metadata: dict, half: bool = False) -> Path:
    """Write a student's model file. `metadata` is the model card's facts; JSON values only."""
    return save_model(path, STUDENT, student.state_dict(), student_config(student.spec), metadata, half)


def load_student(path: str | Path) -> tuple[Student, dict]:
    """The student in a file, in evaluation mode, and its metadata.

    Raises:
        UserError: everything `read_model` raises; the file holds another kind of model, a graph that is not a student,
            5 M parameters or more, or tensors that are missing, too many or of other shapes than the layers say.
    """
    path = Path(path)
    model = read_model(path)
    if model.kind != STUDENT:
        raise UserError(f"{path} holds a {model.kind[:80]}, not a student", _MEND_STUDENT)
    spec = spec_from_config(path, model.config)
    with torch.random.fork_rng(devices=[]):  # building draws initial weights; the caller's generator stays as it is
        student = Student(spec)
    load_state(path, student, model.state)
    return student.eval(), model.metadata


def load_state(path: str | Path, network: nn.Module, state: dict[str, Tensor]) -> None:
    """Give a network, which may be on torch's meta device, weights that must match its names and shapes exactly.

    Raises:
        UserError: names the first missing, unexpected or wrongly shaped tensor.
    """
    wanted = network.state_dict()
    missing, unexpected = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or unexpected:
        what = f"lacks {missing[0]!r}" if missing else f"has an unexpected tensor {shown(unexpected[0])}"
        more = len(missing) + len(unexpected) - 1
        raise UserError(f"{path} {what}" + (f" (and {more} more names differ)" if more else ""), "make the file again")
    for name, tensor in wanted.items():
        if state[name].shape != tensor.shape:
            raise UserError(
                f"{path}: {name} has shape {list(state[name].shape)}, its configuration says {list(tensor.shape)}",
                "make the file again",
            )
    network.load_state_dict(state, assign=any(weight.is_meta for weight in wanted.values()))


def student_config(spec: StudentSpec) -> dict:
    """A spec as JSON values: the tier's name and the whole layer list."""
    return {
        "tier": spec.name,
        "bottleneck": spec.bottleneck,
        "multiple": spec.multiple,
        "layers": [layer_record(layer) for layer in spec.layers],
    }


def spec_from_config(path: str | Path, config: dict) -> StudentSpec:
    """The spec in a student file's config, checked: a graph that fits together and stays below 5 M parameters.

    Raises:
        UserError: what does not fit, by layer.
    """
    origin = Origin(f"{path} does not describe a student", _MEND_STUDENT)
    found = read_record(_StudentConfig, config, Rules(origin, readers=LAYER_READERS))
    spec = StudentSpec(found.tier, found.layers, found.bottleneck, found.multiple)
    try:
        check_graph(spec)
    except ValueError as error:
        raise origin.error(str(error)) from error
    require_small(spec, str(path), _MEND_STUDENT)
    return spec


def _header(path: Path, metadata: dict[str, str]) -> _Header:
    text = metadata.get(METADATA_KEY)
    if text is None:
        raise UserError(
            f"{path} is a safetensors file without edgedeblur's metadata", "make one with: edgedeblur distill"
        )
    origin = Origin(f"{path} has metadata of another edgedeblur version or a damaged header", "make the file again")
    header = read_record(_Header, parse_json(text, origin), Rules(origin, further_keys=True))
    if header.format != FORMAT:
        raise origin.error(f"format = {header.format}; this edgedeblur reads {FORMAT}")
    return header


def _require_finite(path: Path, state: dict[str, Tensor]) -> None:
    for name, tensor in state.items():
        if not math.isfinite(tensor.float().abs().sum().item()) and not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            raise UserError(
                f"{path}: {name} has {bad} weights that are NaN or infinite", "train again with a lower rate"
            )
