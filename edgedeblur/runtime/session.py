"""Runs an artefact in this process: its shared library through ctypes."""

import ctypes
import platform
from pathlib import Path

import numpy as np

from edgedeblur.compile import cpu
from edgedeblur.compile.artefact import ArtefactInfo, load_artefact
from edgedeblur.compile.manifest import MANIFEST, damaged
from edgedeblur.errors import UserError

_SHOWN_CHARACTERS = 200


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
        UserError: not an artefact, for another architecture or processor, a manifest that does not describe its
            library, or a number of threads that cannot be had.
    """

    def __init__(self, artefact: str | Path | ArtefactInfo, threads: int | None = None):
        self._model = None
        self.artefact = artefact if isinstance(artefact, ArtefactInfo) else load_artefact(artefact)
        _check_machine(self.artefact)
        if threads is not None and threads < 1:
            raise UserError(f"{threads} threads; at least one is needed", exit_code=2)
        self._library = _open_library(self.artefact.library)
        check_library(self.artefact, library_facts(self._library))
        self._model = self._library.ed_create(ctypes.byref(_Options(threads or 0, 0)))
        if not self._model:
            raise UserError(f"cannot start {self.artefact.path}: {self._last_error()}")

    @property
    def height(self) -> int:
        """Of the images that the library takes."""
        return self._library.ed_height()

    @property
    def width(self) -> int:
        """Of the images that the library takes."""
        return self._library.ed_width()

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
        check_image(image, self.height, self.width)
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


def check_image(image: np.ndarray, height: int, width: int) -> None:
    """Raises UserError unless the image is of the type and size that the artefact takes."""
    shape = (height, width, 3)
    if image.dtype != np.uint8 or image.shape != shape:
        raise UserError(
            f"an image {image.dtype} {list(image.shape)} for an artefact that takes uint8 {list(shape)}",
            f"compile for its size: edgedeblur compile --size {'x'.join(map(str, image.shape[:2]))}",
        )


def library_facts(library: ctypes.CDLL) -> dict:
    """What a library says of the network in it, by the manifest's keys.

    `input_shape` is what `ed_run` reads and writes, whatever a manifest says.
    """
    layers = range(library.ed_layer_count())
    return {
        "name": _text(library.ed_name()),
        "edgedeblur_version": _text(library.ed_version()),
        "input_shape": [library.ed_height(), library.ed_width(), 3],
        "arena_bytes": library.ed_arena_bytes(),
        "layers": [[_text(library.ed_layer_name(index)), library.ed_layer_macs(index)] for index in layers],
    }


def check_library(artefact: ArtefactInfo, facts: dict) -> None:
    """Raises UserError unless the manifest says of the network what the library (`library_facts`) or program says."""
    for key, found in facts.items():
        said = artefact.manifest[key]
        if key == "layers":
            said = [[layer.get("name"), layer.get("macs")] if isinstance(layer, dict) else layer for layer in said]
        if said != found:
            raise damaged(
                artefact.path / MANIFEST,
                f"it says {key} = {_short(said)}, but what was compiled says {_short(found)}",
            )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _check_machine(artefact: ArtefactInfo) -> None:
    target = artefact.target
    if target.architecture != cpu.architecture():
        raise UserError(
            f"{artefact.path} is for {target.architecture}, this machine is {platform.machine()}",
            "edgedeblur compile --target host, or edgedeblur bench, which can simulate or use a phone",
        )
    if artefact.library is None or target.is_android:
        raise UserError(f"{artefact.path} has no library for this system", "edgedeblur compile --target host")


_FUNCTIONS = {  # of edgedeblur.h: result, arguments
    "ed_create": (ctypes.c_void_p, ctypes.POINTER(_Options)),
    "ed_run": (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    "ed_destroy": (None, ctypes.c_void_p),
    "ed_threads": (ctypes.c_int, ctypes.c_void_p),
    "ed_last_error": (ctypes.c_char_p,),
    "ed_name": (ctypes.c_char_p,),
    "ed_version": (ctypes.c_char_p,),
    "ed_height": (ctypes.c_int,),
    "ed_width": (ctypes.c_int,),
    "ed_arena_bytes": (ctypes.c_size_t,),
    "ed_layer_count": (ctypes.c_int,),
    "ed_layer_name": (ctypes.c_char_p, ctypes.c_int),
    "ed_layer_macs": (ctypes.c_uint64, ctypes.c_int),
}


def _open_library(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path.resolve()))
    except OSError as error:
        raise UserError(f"cannot load {path}: {error}", "edgedeblur compile --target host") from None
    for name, (result, *arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
