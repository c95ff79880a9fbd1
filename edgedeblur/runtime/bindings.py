"""edgedeblur.h for ctypes: its functions, and its structures as it lays them out."""

import ctypes
from pathlib import Path

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.runtime.frame import FORMATS, MATRICES, RANGES, Frame


class Options(ctypes.Structure):
    """`ed_options` of edgedeblur.h."""

    _fields_ = [
        ("threads", ctypes.c_int),
        ("cores", ctypes.c_uint64),
        ("unit", ctypes.c_int),
        ("canary", ctypes.c_uint32),
        ("gpu_library", ctypes.c_char_p),
        ("cache_folder", ctypes.c_char_p),
    ]


class FrameStruct(ctypes.Structure):
    """`ed_frame`."""

    _fields_ = [
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("format", ctypes.c_int),
        ("matrix", ctypes.c_int),
        ("range", ctypes.c_int),
        ("plane", ctypes.c_void_p * 3),
        ("row_stride", ctypes.c_int * 3),
        ("pixel_stride", ctypes.c_int * 3),
    ]


class FrameOptions(ctypes.Structure):
    """`ed_frame_options`."""

    _fields_ = [
        ("rotation", ctypes.c_int),
        ("overlap", ctypes.c_int),
        ("mask", ctypes.c_void_p),
        ("mask_width", ctypes.c_int),
        ("mask_height", ctypes.c_int),
        ("mask_stride", ctypes.c_int),
    ]


def frame_struct(frame: Frame) -> FrameStruct:
    """The frame's memory as it lies, which must outlive the result.

    Raises:
        UserError: strides that the library does not take, such as those of a mirrored array.
    """
    height, width = frame.size
    described = FrameStruct(
        width, height, FORMATS.index(frame.format), MATRICES.index(frame.matrix), RANGES.index(frame.range)
    )
    for index, plane in enumerate(frame.planes):
        pixel = plane.strides[1]
        free = frame.format == "yuv_420_888" and index > 0  # a sample is one byte, and may have others beside it
        bytes_each = 1 if plane.ndim == 2 else plane.shape[2]
        packed = plane.ndim == 2 or plane.strides[2] == 1
        if plane.strides[0] < 0 or not packed or (pixel < 1 if free else pixel != bytes_each):
            raise UserError(
                f"plane {index} of a {frame.format} frame has strides {list(plane.strides)}",
                "give it as np.ascontiguousarray(plane)",
            )
        described.plane[index] = plane.ctypes.data
        described.row_stride[index] = plane.strides[0]
        described.pixel_stride[index] = pixel
    return described


def frame_options(rotation: int, overlap: int, mask: np.ndarray | None) -> FrameOptions:
    """The options, which point into the mask.

    Raises:
        UserError: a mask that is not uint8 [h, w] with at least one pixel.
    """
    options = FrameOptions(rotation, overlap)
    if mask is not None:
        if mask.dtype != np.uint8 or mask.ndim != 2 or mask.size == 0:
            raise UserError(f"a mask is uint8 [h, w], not {mask.dtype} {list(mask.shape)}")
        options.mask, (options.mask_height, options.mask_width) = mask.ctypes.data, mask.shape
    return options


_LATER = {
    "ed_unit",
    "ed_precision",
    "ed_run_frame",
    "ed_frame_tiles",
    "ed_sizes",
    "ed_size",
}  # older artefacts lack them
_FUNCTIONS = {  # of edgedeblur.h: result, arguments
    "ed_create": (ctypes.c_void_p, ctypes.POINTER(Options)),
    "ed_run": (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    "ed_run_frame": (ctypes.c_int, ctypes.c_void_p, *map(ctypes.POINTER, (FrameStruct, FrameStruct, FrameOptions))),
    "ed_sizes": (ctypes.c_int,),
    "ed_size": (ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)),
    "ed_frame_tiles": (ctypes.c_int, ctypes.c_void_p),
    "ed_destroy": (None, ctypes.c_void_p),
    "ed_threads": (ctypes.c_int, ctypes.c_void_p),
    "ed_unit": (ctypes.c_int, ctypes.c_void_p),
    "ed_precision": (ctypes.c_char_p, ctypes.c_void_p),
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


def open_library(path: Path) -> ctypes.CDLL:
    """The library of an artefact, its functions with their types.

    Raises:
        UserError: it cannot be loaded here.
    """
    try:
        library = ctypes.CDLL(str(path.resolve()))
    except OSError as error:
        raise UserError(f"cannot load {path}: {error}", "edgedeblur compile --target host") from None
    for name, (result, *arguments) in _FUNCTIONS.items():
        if name in _LATER and not hasattr(library, name):
            continue
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
