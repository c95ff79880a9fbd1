"""What runs a quantised network here, always with the interpreter's bytes: an artefact that was compiled from it, for
images of its sizes; for others torch, where that is exact; else the interpreter itself."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from edgedeblur.artefact.folder import load_artefact
from edgedeblur.artefact.manifest import read_manifest
from edgedeblur.errors import UserError
from edgedeblur.progress import Log
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.runtime.frame import Frame
from edgedeblur.runtime.session import Session

NUMPY = "NumPy interpreter"  # the definition of the arithmetic, not a fast way to run it
EXACT_IN_TORCH = "PyTorch int8"


def is_slow(described: str) -> bool:
    """Whether images ran in something slower than an artefact, by what `QuantisedEngine.described` says."""
    return NUMPY in described or EXACT_IN_TORCH in described


class QuantisedEngine:
    """Runs a quantised network on images of any size that it takes.

    Args:
        session: an artefact that was compiled from this network, for images of its sizes.
        in_torch: whether torch may be loaded, which takes seconds and 200 MB, for other sizes.
    """

    def __init__(self, network: QuantisedNetwork, session: Session | None = None, in_torch: bool = False):
        self._network, self._session, self._in_torch = network, session, in_torch
        self._sizes = [] if session is None else session.sizes
        self._ran_compiled = False
        self._slow_pixels: Counter[tuple[int, int]] = Counter()
        self._other: tuple[Callable[[np.ndarray], np.ndarray], str] | None = None
        if session is None:
            self._run_other()

    def run(self, image: np.ndarray) -> np.ndarray:
        """The restored image, as `interpreter.run`."""
        if image.shape[:2] not in self._sizes:
            self._slow_pixels[image.shape[:2]] += image.shape[0] * image.shape[1]
            return self._run_other()(image)
        self._ran_compiled = True
        if image.shape[:2] == self._sizes[0]:
            return self._session.run(image)
        return self._session.run_frame(Frame("rgb", (np.ascontiguousarray(image),))).planes[0]

    def load_for(self, size: tuple[int, int]) -> None:
        """Loads what images of that height and width need, so that no image's time counts it."""
        if size not in self._sizes:
            self._run_other()

    def slow_size(self) -> tuple[int, int] | None:
        """Height and width of the images that most pixels so far were in, of those that no artefact restored."""
        return max(self._slow_pixels, key=self._slow_pixels.get, default=None)

    def described(self) -> str:
        """What the images so far ran in, with its threads; before the first one, what was opened."""
        if self._session is None:
            return self._other[1]
        sizes = " and ".join(f"{height}x{width}" for height, width in self._sizes)
        compiled = f"compiled for {sizes}, {self._session.threads} threads"
        if self._other is None:
            return compiled
        return f"{compiled}; other sizes {self._other[1]}" if self._ran_compiled else self._other[1]

    def _run_other(self) -> Callable[[np.ndarray], np.ndarray]:
        if self._other is None:
            self._other = (_in_torch(self._network) if self._in_torch else None) or (
                partial(interpreter.run, self._network),
                NUMPY,
            )
        return self._other[0]


def _in_torch(network: QuantisedNetwork) -> tuple[Callable[[np.ndarray], np.ndarray], str] | None:
    """How torch runs it, and that in words; None where torch would not give the interpreter's bytes."""
    import torch

    from edgedeblur.quantize.simulate import TorchNetwork, exact_in_torch

    if not exact_in_torch(network):
        return None
    return TorchNetwork(network).run, f"{EXACT_IN_TORCH}, {torch.get_num_threads()} threads"


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
