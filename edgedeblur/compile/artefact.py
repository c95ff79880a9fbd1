"""The artefact: a folder with everything that runs the network on its target, made whole or not at all.

1. kernels, constants and plan            build.py
2. the network as C tables                emit.py
3. a program, and a library               link.py
4. the .edq file, digests, the manifest   manifest.py
"""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edgedeblur import __version__
from edgedeblur.compile import link, manifest
from edgedeblur.compile.emit import CONSTANTS, MODEL_C, ModelFacts, emit_model_c, join_constants
from edgedeblur.compile.manifest import damaged
from edgedeblur.compile.target import Target, parse_target
from edgedeblur.errors import UserError
from edgedeblur.files import atomic_folder, require_writable
from edgedeblur.storage.documents import shown

if TYPE_CHECKING:
    from edgedeblur.compile.build import CompiledKernels
    from edgedeblur.compile.choose import Chosen
    from edgedeblur.compile.tuned import Database
    from edgedeblur.quantize.network import QuantisedNetwork

NETWORK = "network.edq"
_REQUIRED_FILES = (link.BENCH, link.HEADER, link.OBJECT, MODEL_C, CONSTANTS, NETWORK)
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
        return self.path / link.BENCH

    @property
    def library(self) -> Path | None:
        """The shared library; None for Android compiled without an NDK."""
        name = link.ANDROID_LIBRARY if self.target.is_android else link.LIBRARY
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
            raise damaged(self.path / manifest.MANIFEST, f"its layers are not those of {NETWORK}")
        return network


def compile_network(
    network: "QuantisedNetwork",
    target: Target,
    height: int = 512,
    width: int = 512,
    output: str | Path = "artefact",
    log: Callable[[str], None] = lambda line: None,
    databases: "Callable[[Target], Sequence[Database]] | None" = None,
) -> ArtefactInfo:
    """Compiles the network for height x width images into the folder `output`; an artefact there is replaced.

    The same network, target, size and tools give the same bytes. With ANDROID_NDK_HOME set, an Android artefact has a
    library for apps as well.

    Args:
        log: told each step, one line at a time.
        databases: of tuned schedules, the one to ask first first; None for those that ship.

    Raises:
        UserError: a size that the network cannot take, a folder in the way, a tool that is missing or fails.
    """
    from edgedeblur.compile.build import build_plan  # loads TVM and torch, which running an artefact does without
    from edgedeblur.quantize.edq import save_edq

    output = Path(output)
    _check_output(output)
    require_writable(output)
    sets, chosen = [], {}
    for one in target.kernel_sets:
        log(f"compiling {len(network.layers)} kernels for {target.name} ({one.cpu}, {one.isa})")
        chosen[one.isa] = _choose_schedules(network, height, width, one, databases, log)
        schedules = {name: choice.schedule for name, choice in chosen[one.isa].items()}
        sets.append((one.isa, build_plan(network, height, width, one, schedules)))
    with atomic_folder(output) as folder:
        facts = ModelFacts(manifest.artefact_name(network, height, width), __version__, target.isa, target.threads)
        _write_parts(folder, sets, facts)
        save_edq(network, folder / NETWORK)
        log(f"linking {link.BENCH} (about a minute more the first time for a target, whose C library is built too)")
        link.link_bench(folder, target)
        _link_library(folder, target, log)
        files = manifest.describe_files(folder)
        made = manifest.make_manifest(network, sets, chosen, target, files)
        for reason in (reason for entry in (made, *made["fallbacks"]) for reason in entry["int8"]["reasons"]):
            log(f"note: not int8: {reason}")
        manifest.write_manifest(folder, made)
    return load_artefact(output)


def load_artefact(path: str | Path) -> ArtefactInfo:
    """The artefact in a folder, after checking that it is whole.

    Raises:
        UserError: not an artefact, of an unknown version, a file missing or changed, machine code for another
            architecture than its target's.
    """
    path = Path(path)
    entries = manifest.read_manifest(path)
    where = path / manifest.MANIFEST
    target = _read_target(where, dict(entries["target"]))
    height, width = _read_shape(where, entries["input_shape"])
    _check_files(path, entries["files"])
    if entries["files"][NETWORK].get("sha256") != entries["network_sha256"]:
        raise damaged(where, f"network_sha256 is not that of {NETWORK}")
    info = ArtefactInfo(path, entries, target, entries["name"], height, width)
    for file in filter(None, (info.bench, info.library, path / link.OBJECT)):
        _check_machine(file, target)
    return info


def _choose_schedules(
    network: "QuantisedNetwork",
    height: int,
    width: int,
    target: Target,
    databases: "Callable[[Target], Sequence[Database]] | None",
    log: Callable[[str], None],
) -> "dict[str, Chosen]":
    from edgedeblur.compile.build import check_size
    from edgedeblur.compile.choose import choose_schedules, databases_for
    from edgedeblur.compile.kernels import instruction_set
    from edgedeblur.compile.kernels.layer import conv_layers

    check_size(network, height, width)
    asked = (databases or databases_for)(target)
    layers = conv_layers(network, height, width)
    chosen = choose_schedules(layers, instruction_set(target.isa), target.threads, asked)
    log(f"schedules: {manifest.count_sources([choice.source for choice in chosen.values()])}")
    notes = [f"{name}: {choice.note}" for name, choice in chosen.items() if choice.source == "fallback"]
    for note in (*(note for database in asked for note in database.notes), *notes):
        log(f"note: {note}")
    return chosen


def _write_parts(folder: Path, sets: "list[tuple[str, CompiledKernels]]", facts: ModelFacts) -> None:
    """The sources, the kernels of all sets in one object, the constants and the tables."""
    link.copy_sources(folder)
    link.join_objects(folder, [compiled.object_code for _, compiled in sets])
    plans = [(isa, compiled.plan) for isa, compiled in sets]
    constants, _ = join_constants([plan for _, plan in plans])
    (folder / CONSTANTS).write_bytes(constants)
    (folder / MODEL_C).write_text(emit_model_c(plans[0][1], facts, plans[1:]), encoding="ascii")


def _link_library(folder: Path, target: Target, log: Callable[[str], None]) -> None:
    if not target.is_android:
        log(f"linking {link.LIBRARY}")
        link.link_library(folder, target)
        return
    link.copy_android_sources(folder)
    ndk = link.ndk_from_environment()
    if ndk is None:
        log(
            f"no NDK: {link.BENCH} runs on a phone from /data/local/tmp. An NDK would add {link.ANDROID_LIBRARY}, for "
            f"apps: set ANDROID_NDK_HOME and compile again, or add this folder's {link.CMAKE_LISTS} to the app"
        )
        return
    log(f"linking {link.ANDROID_LIBRARY} for Android API {target.android_api} with the NDK in {ndk}")
    link.link_android_library(folder, target, ndk)


def _check_output(output: Path) -> None:
    """Only an artefact or an empty folder may be replaced."""
    if not output.exists() or (output / manifest.MANIFEST).is_file():
        return
    if not output.is_dir() or any(output.iterdir()):
        raise UserError(f"{output} exists and is not an artefact; it is not replaced", "choose another output", 2)


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
            raise damaged(path / manifest.MANIFEST, f"files has no {name}")
    for name, entry in files.items():
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts:
            raise damaged(
                path / manifest.MANIFEST, f"files has an entry {shown(name)}, which is not a file of the artefact"
            )
        file = path / name
        if not os.path.isfile(file):  # unlike Path.is_file, False for a name that no file can have
            raise damaged(path, f"{name[:100]} is missing")
        if manifest.describe_file(file) != entry:
            raise damaged(file, "it is not the file that was compiled (size or sha256 differ)")


def _check_machine(file: Path, target: Target) -> None:
    with open(file, "rb") as stream:
        header = stream.read(20)
    machine = int.from_bytes(header[18:20], "little")
    if header[:4] != b"\x7fELF" or machine != _ELF_MACHINES[target.architecture]:
        raise damaged(file, f"it holds no machine code for {target.architecture} (this machine: {platform.machine()})")
