"""Reading a file of weights that somebody else wrote: nothing in it is executed, no more is read than it holds.

Torch's zip and its older plain-pickle format, and safetensors. The sizes that a zip archive declares are checked before
anything is unpacked, the shapes that tensors declare before anything is computed with them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import torch
from torch import Tensor

from edgedeblur.errors import UserError
from edgedeblur.storage.archive import open_archive
from edgedeblur.storage.contents import Origin, read_start, require_regular
from edgedeblur.storage.safetensors_header import is_safetensors
from edgedeblur.storage.tensor_files import FIX_COPY, FIX_SAVE, load_safetensors, load_torch

MAX_BYTES = 4 * 2**30
MAX_RATIO = 16  # torch stores its archives uncompressed; float weights that somebody zipped shrink by a tenth
_LEGACY_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # torch.serialization.MAGIC_NUMBER, pickled


class Format(Enum):
    """What a file is, by its first bytes and, for a zip archive, by the names inside."""

    TORCH_ZIP = "a torch zip archive"
    TORCH_LEGACY = "a torch file from before version 1.6"
    SAFETENSORS = "a safetensors file"
    TORCHSCRIPT = "a TorchScript archive"
    EXPORTED = "a torch.export program"


PROGRAMS = (Format.TORCHSCRIPT, Format.EXPORTED)


@dataclass(frozen=True)
class TensorDict:
    """One dict of tensors in a file. `container` is the key that it stood under, "" for the file itself."""

    container: str
    tensors: dict[str, Tensor]


def read_tensors(path: Path) -> list[TensorDict]:
    """Every dict of tensors in a weight file, on the CPU, as stored (types are not converted).

    Raises:
        UserError: not a file, empty, truncated, of another format, unpacking to more than it should, holding anything
            but tensors and plain values, or tensors larger than their data.
    """
    kind = file_format(path)
    if kind is Format.SAFETENSORS:
        dicts = [TensorDict("", load_safetensors(path))]
    elif kind in (Format.TORCH_ZIP, Format.TORCH_LEGACY):
        dicts = _tensor_dicts(path, _read_torch(path))
    else:
        raise UserError(f"{path} is {kind.value}, a whole program, not a file of weights")
    for found in dicts:
        _check_storage(path, found.tensors)
    return dicts


def float32_weights(path: Path, tensors: Mapping[str, Tensor], accept_half: bool = False) -> dict[str, Tensor]:
    """The tensors in float32.

    Half precision is refused unless asked for: what float16 or bfloat16 keeps of a weight is not what was trained, so a
    teacher read from such a file would be measured, and learnt from, with an error that nobody chose.

    Raises:
        UserError: half precision that is not accepted, whole numbers, NaN or infinity.
    """
    halves = [name for name, tensor in tensors.items() if tensor.dtype in (torch.float16, torch.bfloat16)]
    if halves and not accept_half:
        raise UserError(
            f"{path} stores {len(halves)} of {len(tensors)} tensors in half precision ({tensors[halves[0]].dtype}): "
            "rounded weights, not the ones that were trained",
            "give the float32 checkpoint, or take the rounded weights as they are with --accept-half",
        )
    return {name: _float32(path, name, tensor) for name, tensor in tensors.items()}


def _float32(path: Path, name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        raise UserError(
            f"{path}: {name} is {tensor.dtype}, not a floating type", "give the float weights, before quantisation"
        )
    converted = tensor.detach().to(torch.float32).contiguous()
    # a finite sum is the cheap proof; only a suspicious tensor is looked at weight by weight
    if not math.isfinite(converted.sum()) and (bad := int((~torch.isfinite(converted)).sum())):
        raise UserError(
            f"{path}: {name} has {bad} of {converted.numel()} weights that are NaN or infinite",
            "take an earlier checkpoint: this training diverged",
        )
    return converted


def file_format(path: Path) -> Format:
    """What kind of file this is; a zip archive's directory and declared sizes are checked on the way.

    Raises:
        UserError: as `read_tensors`, except for what only reading the tensors shows.
    """
    head, size = _head(path)
    if head.startswith(b"PK"):
        return _zip_format(path, size)
    if head[0] == 0x80 and _LEGACY_MAGIC in head[:24]:
        return Format.TORCH_LEGACY
    if is_safetensors(head):
        return Format.SAFETENSORS
    raise UserError(
        f"{path} is {_other_format(head)}, not a file of generator weights\n"
        "  looked for: a torch file (a zip archive, or the older pickle with torch's magic number), safetensors\n"
        f"  found: {size:,} bytes that start with {head[:8]!r}",
        FIX_SAVE,
    )


def _head(path: Path) -> tuple[bytes, int]:
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a file of weights", "name the file in it: latest_net_G.pth")
    if not path.exists():
        raise UserError(f"{path} does not exist; a file of generator weights is needed", "check the path")
    origin = Origin(str(path), "check the path and its permissions")
    size, head = require_regular(path, origin), read_start(path, 64, origin)
    if size == 0:
        raise UserError(f"{path} is empty (0 bytes)", FIX_COPY)
    if size > MAX_BYTES:
        raise UserError(f"{path} has {size:,} bytes; a generator has at most {MAX_BYTES:,}", "name a generator's file")
    return head, size


def _zip_format(path: Path, size: int) -> Format:
    with open_archive(path, MAX_BYTES, Origin(f"{path} begins as a zip archive", FIX_COPY)) as archive:
        names, declared = archive.names, archive.declared
    if declared > MAX_BYTES or declared > MAX_RATIO * size:
        raise UserError(
            f"{path} has {size:,} bytes and says that it unpacks to {declared:,}; allowed: {MAX_RATIO} times its own "
            f"size and {MAX_BYTES:,}. It was not unpacked",
            FIX_COPY,
        )
    if any(name.endswith("/archive_format") or name.endswith("models/model.json") for name in names):
        return Format.EXPORTED
    if any(name.endswith("constants.pkl") for name in names):
        return Format.TORCHSCRIPT
    if any(name.endswith("data.pkl") for name in names):
        return Format.TORCH_ZIP
    listed = ", ".join(names[:3]) or "nothing"
    raise UserError(f"{path} is a zip archive but not a torch file: it holds {listed}", FIX_SAVE)


def _read_torch(path: Path) -> object:
    with path.open("rb") as file:
        return load_torch(file, Origin(str(path), FIX_COPY))


def _tensor_dicts(path: Path, loaded: object) -> list[TensorDict]:
    """The file itself if it is a dict of tensors, else the dicts of tensors under its keys."""
    if not isinstance(loaded, dict):
        raise UserError(f"{path} holds a {type(loaded).__name__}, not a dict of tensors", FIX_SAVE)
    own = _tensors_of(loaded)
    dicts = [TensorDict("", own)] if own else []
    for key, value in loaded.items():
        if isinstance(value, dict) and (tensors := _tensors_of(value)):
            dicts.append(TensorDict(str(key), tensors))
    if not dicts:
        keys = ", ".join(repr(key) for key in list(loaded)[:5]) or "nothing"
        raise UserError(f"{path} holds no tensors, but {keys}", FIX_SAVE)
    return dicts


def _tensors_of(values: dict) -> dict[str, Tensor]:
    return {key: value for key, value in values.items() if isinstance(key, str) and isinstance(value, Tensor)}


def _check_storage(path: Path, tensors: dict[str, Tensor]) -> None:
    """Raises UserError for a tensor without data of its own or with a shape larger than its data."""
    for name, tensor in tensors.items():
        plain = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        if not plain:
            what = f"{tensor.dtype}, {tensor.layout}, {tensor.device}"
            raise UserError(f"{path}: {name} is not a plain dense tensor ({what})", FIX_SAVE)
        held = tensor.untyped_storage().nbytes()
        if tensor.numel() * tensor.element_size() > held:
            raise UserError(f"{path}: {name} declares shape {list(tensor.shape)} but holds {held:,} bytes", FIX_COPY)


def _other_format(head: bytes) -> str:
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    if head.startswith(b"\x89HDF"):
        return "an HDF5 file (DeblurGAN-v2's own .h5 files are torch files in spite of their name)"
    if head.startswith(b"\x80"):
        return "a pickle that torch did not write"
    if head.startswith((b"\x89PNG", b"\xff\xd8\xff")):
        return "an image"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return "a text file"
    return "of an unknown format"
