"""An artefact's folder, read: checked whole, and what it holds."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edgedeblur.artefact import names
from edgedeblur.artefact.manifest import damaged, describe_file, read_manifest
from edgedeblur.artefact.names import MANIFEST, NETWORK
from edgedeblur.artefact.target import Target, parse_target
from edgedeblur.errors import UserError
from edgedeblur.storage.documents import shown

if TYPE_CHECKING:
    from edgedeblur.quantize.network import QuantisedNetwork

_REQUIRED_FILES = (names.BENCH, names.HEADER, names.OBJECT, names.MODEL_C, names.CONSTANTS, NETWORK)
_ELF_MACHINES = {"x86_64": 62, "aarch64": 183}  # e_machine, System V ABI


@dataclass(frozen=True)
class ArtefactInfo:
    """A checked artefact. manifest: the whole of manifest.json. Sizes in bytes."""

    path: Path
    manifest: dict
    target: Target
    name: str
    height: int
    width: int

    @property
    def bench(self) -> Path:
        """The static program edgedeblur-bench."""
        return self.path / names.BENCH

    @property
    def library(self) -> Path | None:
        """The shared library; None in older artefacts for Android, compiled without an NDK."""
        name = names.ANDROID_LIBRARY if self.target.is_android else names.LIBRARY
        return self.path / name if name in self.manifest["files"] else None

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(entry["bytes"] for entry in self.manifest["files"].values())

    def network(self) -> "QuantisedNetwork":
        """The quantised network that it was compiled from.

        Raises:
            UserError: its file is damaged, or has other layers than the manifest says.
        """
        from edgedeblur.quantize.edq import load_edq

        network = load_edq(self.path / NETWORK)
        if [layer["name"] for layer in self.manifest["layers"]] != [layer.spec.name for layer in network.layers]:
            raise damaged(self.path / MANIFEST, f"its layers are not those of {NETWORK}")
        return network


def load_artefact(path: str | Path) -> ArtefactInfo:
    """The artefact in a folder, after checking that it is whole.

    Raises:
        UserError: not an artefact, of an unknown version, a file missing or changed, machine code for another
            architecture than its target's.
    """
    path = Path(path)
    entries = read_manifest(path)
    where = path / MANIFEST
    target = _read_target(where, dict(entries["target"]))
    height, width = _read_shape(where, entries["input_shape"])
    _check_files(path, entries["files"])
    if entries["files"][NETWORK].get("sha256") != entries["network_sha256"]:
        raise damaged(where, f"network_sha256 is not that of {NETWORK}")
    info = ArtefactInfo(path, entries, target, entries["name"], height, width)
    for file in filter(None, (info.bench, info.library, path / names.OBJECT)):
        _check_machine(file, target)
    return info


def _read_target(where: Path, table: dict) -> Target:
    name = table.pop("name", None)
    if not isinstance(name, str):
        raise damaged(where, "its target has no name")
    try:
        return parse_target(name, table, where)
    except UserError as error:
        raise damaged(where, error.message) from None


def _read_shape(where: Path, shape: list) -> tuple[int, int]:
    if len(shape) != 3 or shape[2] != 3 or not all(type(extent) is int and extent > 0 for extent in shape):
        raise damaged(where, f"input_shape is {shape}; [height, width, 3] is needed")
    return shape[0], shape[1]


def _check_files(path: Path, files: dict) -> None:
    for name in _REQUIRED_FILES:
        if name not in files:
            raise damaged(path / MANIFEST, f"files has no {name}")
    for name, entry in files.items():
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts:
            raise damaged(path / MANIFEST, f"files has an entry {shown(name)}, which is not a file of the artefact")
        file = path / name
        if not os.path.isfile(file):  # unlike Path.is_file, False for a name that no file can have
            raise damaged(path, f"{name[:100]} is missing")
        if describe_file(file) != entry:
            raise damaged(file, "it is not the file that was compiled (size or sha256 differ)")


def _check_machine(file: Path, target: Target) -> None:
    with open(file, "rb") as stream:
        header = stream.read(20)
    machine = int.from_bytes(header[18:20], "little")
    if header[:4] != b"\x7fELF" or machine != _ELF_MACHINES[target.architecture]:
        raise damaged(file, f"it holds no machine code for {target.architecture} (this machine: {platform.machine()})")
