"""Runs an artefact in this process: its shared library through ctypes."""

import ctypes
import math
import platform
import threading
from pathlib import Path
from typing import Any

import numpy as np

from edgedeblur.artefact import cpu
from edgedeblur.artefact.folder import ArtefactInfo, load_artefact
from edgedeblur.artefact.manifest import damaged
from edgedeblur.artefact.names import MANIFEST
from edgedeblur.errors import UserError
from edgedeblur.runtime.bindings import Options, frame_options, frame_struct, open_library
from edgedeblur.runtime.frame import Frame, empty_frame

_SHOWN_CHARACTERS = 200


UNITS = ("auto", "cpu", "gpu")  # in the order of ed_processor


class Session:
    """One instance of an artefact's network, for images of its one size: its own memory and threads.

    Several threads may use one session; it restores their images one after the other, without the interpreter's lock
    (GIL). To restore several at the same time give each thread a session. Use it as a context manager, or call `close`.

    Args:
        artefact: an artefact's folder, or what `load_artefact` gave.
        threads: the caller's included; None for the target's number.
        unit: what computes: "cpu", "gpu", or "auto", the GPU where the artefact has kernels for one and they pass the
            self-test, else the CPU.

    Raises:
        UserError: not an artefact, for another architecture or processor, a manifest that does not describe its
            library, a number of threads that cannot be had, or a unit that cannot be used or fails the self-test.

    Example:
        >>> with ed.Session("artefact", threads=1) as session:
        ...     restored = session.run(np.zeros((session.height, session.width, 3), np.uint8))
        >>> restored.shape
        (64, 96, 3)
    """

    def __init__(self, artefact: str | Path | ArtefactInfo, threads: int | None = None, unit: str = "auto"):
        self._model = None
        self._in_use = threading.Lock()
        self.artefact = artefact if isinstance(artefact, ArtefactInfo) else load_artefact(artefact)
        _check_machine(self.artefact)
        if threads is not None and threads < 1:
            raise UserError(f"{threads} threads; at least one is needed", exit_code=2)
        if unit not in UNITS:
            raise UserError(f"unit {unit!r}; there are {', '.join(UNITS)}", exit_code=2)
        self._library = open_library(self.artefact.library)
        check_library(self.artefact, library_facts(self._library))
        self._model = self._library.ed_create(ctypes.byref(Options(threads or 0, 0, UNITS.index(unit), 0)))
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
    def sizes(self) -> list[tuple[int, int]]:
        """Heights and widths of the frames that are restored in one piece; the first is that of `run`."""
        if not hasattr(self._library, "ed_sizes"):  # from before artefacts of several sizes
            return [(self.height, self.width)]
        sides = (ctypes.c_int(), ctypes.c_int())
        found = []
        for index in range(self._library.ed_sizes()):
            self._library.ed_size(index, *map(ctypes.byref, sides))
            found.append((sides[0].value, sides[1].value))
        return found

    @property
    def threads(self) -> int:
        return self._library.ed_threads(self._open_model())

    @property
    def unit(self) -> str:
        """What computes now: "cpu" or "gpu"."""
        model = self._open_model()
        return UNITS[self._library.ed_unit(model)] if hasattr(self._library, "ed_unit") else "cpu"

    @property
    def precision(self) -> str:
        """In which form the network computes now: "int8", the interpreter's bytes, or "fp16" on a GPU, with others."""
        model = self._open_model()
        return _text(self._library.ed_precision(model)) if hasattr(self._library, "ed_precision") else "int8"

    def run(self, image: Any) -> np.ndarray:
        """The restored image, in a new array. Waits while another thread runs this session.

        Args:
            image: uint8 [height, width, 3] RGB: an array, or whatever has the buffer protocol or `__array_interface__`
                (memoryview, bytearray, a Pillow image), also flat with height * width * 3 bytes. It is not copied where
                it is C-contiguous.

        Returns:
            uint8 [height, width, 3] RGB.

        Raises:
            UserError: an image of another type or size.
            ValueError: the session is closed.
        """
        source = _as_array(image, (self.height, self.width, 3))
        check_image(source, self.height, self.width)
        source = np.ascontiguousarray(source)
        restored = np.empty(source.shape, np.uint8)
        with self._in_use:  # the library refuses a second image at a time
            status = self._library.ed_run(self._open_model(), source.ctypes.data, restored.ctypes.data)
        if status != 0:
            raise RuntimeError(f"{self.artefact.path}: {self._last_error()}")
        return restored

    def run_frame(
        self,
        frame: Frame,
        *,
        rotation: int = 0,
        mask: np.ndarray | None = None,
        overlap: int = 64,
        out: Frame | None = None,
    ) -> Frame:
        """A camera frame of any format and size, restored; `restore_frame` in restore/frames.py defines the bytes.

        It is read and written where it lies, tile by tile, without a copy of it as RGB. Waits while another thread runs
        this session.

        Args:
            rotation: degrees clockwise that turn the frame upright: 0, 90, 180, 270.
            mask: uint8 [h, w] of any size, laid over the upright picture: 255 is restored, 0 stays as it came.
            overlap: pixels that neighbouring tiles share at least, 1 to half a tile.
            out: where to write it: a frame of the upright size and any format, which shares no memory with the input.
                None: a new one of the input's format.

        Returns:
            `out`.

        Raises:
            UserError: another rotation, overlap or mask, an `out` of another size, or strides that the library does not
                take.
            ValueError: the session is closed.
        """
        if not hasattr(self._library, "ed_run_frame"):
            raise UserError(f"{self.artefact.path} is from before camera frames", "edgedeblur compile")
        out = out or empty_frame(frame, rotation)
        if overlap < 1:
            raise UserError(f"an overlap of {overlap} pixels; at least 1 is needed", exit_code=2)
        mask = None if mask is None else np.ascontiguousarray(mask)
        structs = [ctypes.byref(frame_struct(one)) for one in (frame, out)]
        options = ctypes.byref(frame_options(rotation, overlap, mask))
        with self._in_use:
            status = self._library.ed_run_frame(self._open_model(), *structs, options)
        if status != 0:
            raise UserError(f"{self.artefact.path}: {self._last_error()}")
        return out

    @property
    def frame_tiles(self) -> int:
        """How many tiles the last `run_frame` computed."""
        return self._library.ed_frame_tiles(self._open_model())

    def close(self) -> None:
        """Ends the threads and frees the memory, after a run in another thread; the session cannot run any more."""
        with self._in_use:
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


def _as_array(image: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """The same bytes as an array; flat ones get the shape."""
    if isinstance(image, np.ndarray) or hasattr(image, "__array_interface__"):
        array = np.asarray(image)
    else:
        try:
            array = np.asarray(memoryview(image))
        except TypeError:
            raise UserError(
                f"an image cannot be of type {type(image).__name__}", f"give uint8 {list(shape)}, e.g. a NumPy array"
            ) from None
    return array.reshape(shape) if array.ndim == 1 and array.size == math.prod(shape) else array


def check_image(image: np.ndarray, height: int, width: int) -> None:
    """Raises UserError unless the image is of the type and size that the artefact takes."""
    shape = (height, width, 3)
    if image.dtype != np.uint8 or image.shape != shape:
        size = "x".join(map(str, image.shape[:2])) if image.ndim == 3 else "HEIGHTxWIDTH"
        raise UserError(
            f"an image {image.dtype} {list(image.shape)} for an artefact that takes uint8 {list(shape)}",
            f"compile for its size: edgedeblur compile --size {size}",
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
