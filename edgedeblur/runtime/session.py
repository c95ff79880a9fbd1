"""Runs an artefact in this process: its shared library through ctypes."""

import ctypes
import platform
from pathlib import Path

import numpy as np

from edgedeblur.compile import cpu
from edgedeblur.compile.artefact import ArtefactInfo, load_artefact
from edgedeblur.errors import UserError


class _Options(ctypes.Structure):
    """`ed_options` of edgedeblur.h."""

    _fields_ = [("threads", ctypes.c_int), ("cores", ctypes.c_uint64)]


class Session:
    """One instance of the network: its own memory and threads. Different sessions may run in different threads.

    Use it as a context manager, or call `close`.

    Args:
        artefact: an artefact's folder, or what `load_artefact` gave.
        threads: the caller's included; None for the target's number.

    Raises:
        UserError: not an artefact, for another architecture or processor, or a number of threads that cannot be had.
    """

    def __init__(self, artefact: str | Path | ArtefactInfo, threads: int | None = None):
        self._model = None
        self.artefact = artefact if isinstance(artefact, ArtefactInfo) else load_artefact(artefact)
        _check_machine(self.artefact)
        if threads is not None and threads < 1:
            raise UserError(f"{threads} threads; at least one is needed", exit_code=2)
        self._library = _open_library(self.artefact.library)
        self._model = self._library.ed_create(ctypes.byref(_Options(threads or 0, 0)))
        if not self._model:
            raise UserError(f"cannot start {self.artefact.path}: {self._last_error()}")

    @property
    def height(self) -> int:
        return self.artefact.height

    @property
    def width(self) -> int:
        return self.artefact.width

    @property
    def threads(self) -> int:
        return self._library.ed_threads(self._open_model())

    def run(self, image: np.ndarray) -> np.ndarray:
        """The restored image, in a new array.

        Args:
            image: uint8 [height, width, 3] RGB.

        Returns:
            uint8 [height, width, 3] RGB.

        Raises:
            UserError: an image of another type or size.
        """
        check_image(self.artefact, image)
        source = np.ascontiguousarray(image)
        restored = np.empty_like(source)
        if self._library.ed_run(self._open_model(), source.ctypes.data, restored.ctypes.data) != 0:
            raise RuntimeError(f"{self.artefact.path}: {self._last_error()}")
        return restored

    def close(self) -> None:
        """Ends the threads and frees the memory; the session cannot run any more."""
        if self._model:
            self._library.ed_destroy(self._model)
            self._model = None

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _open_model(self) -> int:
        if not self._model:
            raise ValueError("this session is closed")
        return self._model

    def _last_error(self) -> str:
        return self._library.ed_last_error().decode(errors="replace")


def check_image(artefact: ArtefactInfo, image: np.ndarray) -> None:
    """Raises UserError unless the image is of the size and type that the artefact takes."""
    shape = (artefact.height, artefact.width, 3)
    if image.dtype != np.uint8 or image.shape != shape:
        raise UserError(
            f"an image {image.dtype} {list(image.shape)} for an artefact that takes uint8 {list(shape)}",
            f"compile for its size: edgedeblur compile --size {'x'.join(map(str, image.shape[:2]))}",
        )


def _check_machine(artefact: ArtefactInfo) -> None:
    target = artefact.target
    if target.architecture != cpu.architecture():
        raise UserError(
            f"{artefact.path} is for {target.architecture}, this machine is {platform.machine()}",
            "edgedeblur compile --target host, or edgedeblur bench, which can simulate or use a phone",
        )
    if artefact.library is None or target.is_android:
        raise UserError(f"{artefact.path} has no library for this system", "edgedeblur compile --target host")


def _open_library(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path.resolve()))
    except OSError as error:
        raise UserError(f"cannot load {path}: {error}", "edgedeblur compile --target host") from None
    library.ed_create.restype = ctypes.c_void_p
    library.ed_create.argtypes = [ctypes.POINTER(_Options)]
    library.ed_run.restype = ctypes.c_int
    library.ed_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    library.ed_destroy.restype = None
    library.ed_destroy.argtypes = [ctypes.c_void_p]
    library.ed_threads.restype = ctypes.c_int
    library.ed_threads.argtypes = [ctypes.c_void_p]
    library.ed_last_error.restype = ctypes.c_char_p
    library.ed_last_error.argtypes = []
    return library
