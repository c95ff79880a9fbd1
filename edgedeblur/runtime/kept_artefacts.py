"""Artefacts that long runs of a quantised network compile by themselves for this machine, and all later runs find."""

import contextlib
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from edgedeblur import __version__
from edgedeblur.artefact import cpu
from edgedeblur.artefact.target import Target, load_target
from edgedeblur.errors import UserError
from edgedeblur.progress import Log
from edgedeblur.quantize.edq import network_sha256
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.storage.locks import lock_of_file, locked
from edgedeblur.storage.places import cache_folder

_MOST = 16  # folders, of some 4 MB each


@dataclass(frozen=True)
class KeptArtefacts:
    """say: told what is compiled, and why something cannot be. makes: whether anything is; else only what is there is
    found. folder: None for one in the user's cache."""

    say: Log
    makes: bool = True
    folder: Path | None = None

    def find(self, network: QuantisedNetwork, size: tuple[int, int]) -> Path | None:
        """The artefact for that height and width, where there is one for this machine."""
        try:
            place = self._place(network, size, load_target("host"))
        except UserError:  # no cache, or no kernels for this processor
            return None
        if not place.is_dir():
            return None
        with contextlib.suppress(OSError):
            place.touch()  # so that it is not forgotten
        return place

    def make(self, network: QuantisedNetwork, size: tuple[int, int]) -> Path | None:
        """Compiles the network for that height and width; None where that fails, with a word of why."""
        if not self.makes:
            return None
        shape = f"{size[0]}x{size[1]}"
        try:
            target = load_target("host")
            place = self._place(network, size, target)
            self.say(f"compiling for {shape}, once for this machine, because there is much to restore; kept as {place}")
            with locked(lock_of_file(place), place, "leave it to that one"):
                _compile(network, target, size, place)
        except UserError as error:
            self.say(f"not compiled for {shape}: {error.message}")
            return None
        self._forget_old()
        return place

    def _root(self) -> Path:
        return self.folder or cache_folder() / "artefacts"

    def _place(self, network: QuantisedNetwork, size: tuple[int, int], target: Target) -> Path:
        """By what an artefact depends on: the network, the size, and this machine, as a home may serve several; another
        version of edgedeblur may have better kernels."""
        machine = (__version__, target.isa, target.cpu, target.features, target.threads, cpu.cpu_model())
        machine = hashlib.sha256(repr(machine).encode()).hexdigest()
        return self._root() / f"{network_sha256(network)[:24]}-{size[0]}x{size[1]}-{machine[:12]}"

    def _forget_old(self) -> None:
        dated = []
        for folder in self._root().glob("*-*x*-*"):
            with contextlib.suppress(OSError):  # another process may forget it
                dated.append((folder.stat().st_mtime_ns, folder))
        for _, old in sorted(dated)[:-_MOST]:
            shutil.rmtree(old, ignore_errors=True)


def _compile(network: QuantisedNetwork, target: Target, size: tuple[int, int], place: Path) -> None:
    try:
        from edgedeblur.compile.artefact import compile_network  # loads TVM
    except ImportError as error:
        raise UserError(f"{error}", "pip install edgedeblur") from None
    compile_network(network, target, *size, place)
