"""Which kind of model a path holds, from its content; names and suffixes are not believed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgedeblur.errors import UserError
from edgedeblur.storage.archive import open_archive
from edgedeblur.storage.contents import Origin, read_start
from edgedeblur.storage.documents import parse_json
from edgedeblur.storage.records import Rules, read_record
from edgedeblur.storage.safetensors_header import is_safetensors, read_metadata
from edgedeblur.student.user_module import names_callable

Kind = Literal["teacher", "student", "quantised", "artefact"]

ACCEPTED = (
    "accepted are: a teacher (checkpoint of DeblurGAN v1, DeblurGAN v2 or the U-Net: .pth, .h5 or .safetensors; a "
    "TorchScript or torch.export program; package.module:callable), a student (.safetensors), a quantised network "
    "(.edq), an artefact (folder with manifest.json)"
)
_PICKLE = b"\x80"
_MAX_ARCHIVE = 8 << 30


@dataclass(frozen=True)
class _OwnMetadata:
    """What is read of the metadata under `edgedeblur`; it holds more."""

    kind: str = ""


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
    return _file_kind(path)


def _file_kind(path: Path) -> Kind:
    start = read_start(path, 9, Origin(str(path), ACCEPTED))
    if is_safetensors(start):
        return _safetensors_kind(path)  # before pickles: the header's length may well begin with their first byte
    if start[:1] == _PICKLE:
        return "teacher"  # torch files from before torch 1.6
    if start[:4] == b"PK\x03\x04":
        return _zip_kind(path)
    what = "it is empty" if not start else f"it begins with {start[:8]!r}"
    raise UserError(f"{path} is not a model file: {what}", ACCEPTED)


def _zip_kind(path: Path) -> Kind:
    with open_archive(path, _MAX_ARCHIVE, Origin(f"{path} is not a model file", ACCEPTED)) as archive:
        names = archive.names
    if "network.json" in names:
        return "quantised"
    if any(name.endswith((".pkl", "/archive_format", "/version")) for name in names):
        return "teacher"  # torch.save, TorchScript, torch.export
    raise UserError(f"{path} is a zip archive, but neither an .edq file nor a torch file", ACCEPTED)


def _safetensors_kind(path: Path) -> Kind:
    origin = Origin(f"{path} is not a whole safetensors file", ACCEPTED)
    own = parse_json(read_metadata(path, origin).get("edgedeblur", "{}"), origin)
    kind = read_record(_OwnMetadata, own, Rules(origin, further_keys=True)).kind
    return "student" if kind == "student" else "teacher"
