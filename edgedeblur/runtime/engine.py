"""What runs a quantised network here, always with the interpreter's bytes: an artefact that was compiled from it, for
images of its sizes; for others torch, where that is exact; else the interpreter itself.

What has to be loaded or compiled first pays only where there is enough to do: the interpreter restores a few small
pictures in the seconds that torch takes to load, and torch some hundred tiles while a compiler would run.
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from edgedeblur.artefact.folder import load_artefact
from edgedeblur.artefact.manifest import read_manifest
from edgedeblur.errors import UserError
from edgedeblur.progress import Log, unheard
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.edq import network_sha256
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.runtime.frame import Frame
from edgedeblur.runtime.kept_artefacts import KeptArtefacts
from edgedeblur.runtime.session import Session

NUMPY = "NumPy interpreter"  # the definition of the arithmetic, not a fast way to run it
EXACT_IN_TORCH = "PyTorch int8"
UNDECIDED = "NumPy, PyTorch or compiled, by how much there is to do"

# Multiply-accumulates from which on it pays (docs/deblur.md: what each takes): a tile of 512x512 of `small` has 5e9.
TORCH_PAYS_FROM = 50e9
COMPILING_PAYS_FROM = 600e9

_Run = Callable[[np.ndarray], np.ndarray]


def is_slow(described: str) -> bool:
    """Whether images ran in something slower than an artefact, by what `QuantisedEngine.described` says."""
    return NUMPY in described or EXACT_IN_TORCH in described


@dataclass(frozen=True)
class _Compiled:
    session: Session

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        return self.session.sizes

    def run(self, image: np.ndarray) -> np.ndarray:
        if image.shape[:2] == self.sizes[0]:
            return self.session.run(image)
        return self.session.run_frame(Frame("rgb", (np.ascontiguousarray(image),))).planes[0]

    @cached_property
    def described(self) -> str:
        sizes = " and ".join(f"{height}x{width}" for height, width in self.sizes)
        return f"compiled for {sizes}, {self.session.threads} threads"


class QuantisedEngine:
    """Runs a quantised network on images of any size that it takes.

    Args:
        session: an artefact that was compiled from this network, for images of its sizes.
        in_torch: whether torch may be loaded, which takes seconds and 200 MB, for other sizes.
        kept: a session for another height and width, None for none; where its second argument says that there is much
            to do, it compiles one.
    """

    def __init__(
        self,
        network: QuantisedNetwork,
        session: Session | None = None,
        in_torch: bool = False,
        kept: Callable[[tuple[int, int], bool], Session | None] | None = None,
    ):
        self._network, self._in_torch, self._kept = network, in_torch, kept
        self._compiled = [] if session is None else [_Compiled(session)]
        self._other: tuple[_Run, str] = (partial(interpreter.run, network), NUMPY)
        self._slow_pixels: Counter[tuple[int, int]] = Counter()
        self._asked: set[tuple[tuple[int, int], bool]] = set()
        self._ran: list[str] = []

    def load_for(self, size: tuple[int, int], images: int = 1) -> None:
        """Loads or compiles what pays for so many images of that height and width; else `run` does it in time."""
        if self._compiled_for(size) is not None:
            return
        macs = self._network.spec.macs(*size)
        per_pixel, to_come = macs / (size[0] * size[1]), macs * images
        much = to_come + self._slow_pixels[size] * per_pixel >= COMPILING_PAYS_FROM
        if self._kept is not None and (size, much) not in self._asked:
            self._asked.add((size, much))
            session = self._kept(size, much)
            if session is not None:
                self._compiled.append(_Compiled(session))
                return
        if self._in_torch and to_come + self._slow_pixels.total() * per_pixel >= TORCH_PAYS_FROM:
            self.load_torch()

    def load_torch(self) -> None:
        """From now on torch runs what is not compiled, where it gives the interpreter's bytes."""
        self._in_torch = False
        self._other = _in_torch(self._network) or self._other

    def run(self, image: np.ndarray) -> np.ndarray:
        """The restored image, as `interpreter.run`."""
        size = image.shape[:2]
        self.load_for(size)
        compiled = self._compiled_for(size)
        run, name = self._other if compiled is None else (compiled.run, compiled.described)
        if compiled is None:
            self._slow_pixels[size] += size[0] * size[1]
        if name not in self._ran:
            self._ran.append(name)
        return run(image)

    def slow_size(self) -> tuple[int, int] | None:
        """Height and width of the images that most pixels so far were in, of those that no artefact restored."""
        return max(self._slow_pixels, key=self._slow_pixels.get, default=None)

    def described(self) -> str:
        """What the images so far ran in, with its threads; before the first one, what was opened."""
        if not self._ran:
            undecided = self._in_torch or self._kept is not None
            return self._compiled[0].described if self._compiled else UNDECIDED if undecided else self._other[1]
        compiled = [name for name in self._ran if not is_slow(name)]
        others = [name for name in self._ran if is_slow(name)]
        if not compiled or not others:
            return " and ".join(compiled or others)
        return f"{' and '.join(compiled)}; the rest {' and '.join(others)}"

    def _compiled_for(self, size: tuple[int, int]) -> _Compiled | None:
        return next((one for one in self._compiled if size in one.sizes), None)


def _in_torch(network: QuantisedNetwork) -> tuple[Callable[[np.ndarray], np.ndarray], str] | None:
    """How torch runs it, and that in words; None where torch would not give the interpreter's bytes."""
    import torch

    from edgedeblur.quantize.simulate import TorchNetwork, exact_in_torch

    if not exact_in_torch(network):
        return None
    return TorchNetwork(network).run, f"{EXACT_IN_TORCH}, {torch.get_num_threads()} threads"


def open_engine(
    network: QuantisedNetwork,
    compiled: Sequence[str | Path] = (),
    kept: KeptArtefacts | None = None,
    in_torch: bool = False,
    threads: int | None = None,
    log: Log = unheard,
) -> QuantisedEngine:
    """What runs the network: the first artefact that serves of those given; for other sizes one that is kept, and where
    there is none, by how much there is, the interpreter, torch if it may be used, or what is then compiled and kept.
    `threads` is of artefacts; `log` is told why some are not used."""
    sha256 = network_sha256(network)

    def from_kept(size: tuple[int, int], make: bool) -> Session | None:
        for folder_for in (kept.find, kept.make) if make else (kept.find,):  # one that was found may be damaged
            folder = folder_for(network, size)
            if folder is not None and (session := open_compiled(sha256, [folder], threads, log)) is not None:
                return session
        return None

    session = open_compiled(sha256, compiled, threads, log) if compiled else None
    engine = QuantisedEngine(network, session, in_torch, from_kept if kept else None)
    if in_torch and "torch" in sys.modules:
        engine.load_torch()
    return engine


def open_compiled(network_sha256: str, folders: Sequence[str | Path], threads: int | None, log: Log) -> Session | None:
    """The first artefact among `folders` that was compiled from a network and runs in this process, on the CPU; None
    where there is none. `log` is told why others are passed over."""
    for folder in map(Path, folders):
        try:
            if read_manifest(folder)["network_sha256"] == network_sha256:
                return Session(load_artefact(folder), threads, unit="cpu")
            log(f"{folder} is not used: it was compiled from another network")
        except UserError as error:
            log(f"{folder} is not used: {error.message}")
    return None
