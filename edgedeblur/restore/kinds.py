"""Which kind of model a path holds, from its content; names and suffixes are not believed."""

import json
import struct
import zipfile
from pathlib import Path
from typing import Literal

from edgedeblur.errors import UserError
from edgedeblur.generators.interface import names_callable

Kind = Literal["teacher", "student", "quantised", "artefact"]

ACCEPTED = (
    "accepted are: a teacher (checkpoint of DeblurGAN v1, DeblurGAN v2 or the U-Net: .pth, .h5 or .safetensors; a "
    "TorchScript or torch.export program; package.module:callable), a student (.safetensors), a quantised network "
    "(.edq), an artefact (folder with manifest.json)"
)
_PICKLE = b"\x80"
_SAFETENSORS = b"\0\0\0\0{"  # the upper half of the header's length, and the header
_MAX_HEADER = 16 << 20


def model_kind(path: Path) -> Kind:
    """The kind of model at a path (or of `package.module:callable`, a teacher); reads headers only.

    Raises:
        UserError: nothing there, or nothing that is a model; lists what is accepted.
    """
    if names_callable(path):
        return "teacher"
    if not path.exists():
        raise UserError(f"no model {path}: no such file or folder", ACCEPTED)
    if path.is_dir():
        if (path / "manifest.json").is_file():
            return "artefact"
        what = "it is empty" if not any(path.iterdir()) else "it has no manifest.json"
        raise UserError(f"the folder {path} is not an artefact: {what}", ACCEPTED)
    try:
        return _file_kind(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", ACCEPTED) from error


def _file_kind(path: Path) -> Kind:
    with path.open("rb") as file:
        start = file.read(9)
    if len(start) == 9 and start[4:] == _SAFETENSORS:
        return _safetensors_kind(path)  # before pickles: the header's length may well begin with their first byte
    if start[:1] == _PICKLE:
        return "teacher"  # torch files from before torch 1.6
    if start[:4] == b"PK\x03\x04" and zipfile.is_zipfile(path):
        return _zip_kind(path)
    what = "it is empty" if not start else f"it begins with {start[:8]!r}"
    raise UserError(f"{path} is not a model file: {what}", ACCEPTED)


def _zip_kind(path: Path) -> Kind:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if "network.json" in names:
        return "quantised"
    if any(name.endswith((".pkl", "/archive_format", "/version")) for name in names):
        return "teacher"  # torch.save, TorchScript, torch.export
    raise UserError(f"{path} is a zip archive, but neither an .edq file nor a torch file", ACCEPTED)


def _safetensors_kind(path: Path) -> Kind:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        text = file.read(min(length, _MAX_HEADER))
    try:
        metadata = json.loads(text).get("__metadata__", {})
        own = json.loads(metadata.get("edgedeblur", "{}"))
    except (ValueError, AttributeError, UnicodeDecodeError):
        raise UserError(f"{path} is not a whole safetensors file", ACCEPTED) from None
    return "student" if own.get("kind") == "student" else "teacher"
