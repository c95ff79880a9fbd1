"""Pictures as cameras give them, and the integer arithmetic between them and RGB that `ed_run_frame` keeps.

A frame is turned upright first, so that a network sees what a viewer will see. Chroma that 2x2 pixels share is that of
each of them; going back it is that of their mean colour. All sums are integers, with coefficients of 16 fractional bits
and halves rounded up (runtime/camera/pixels.c does the same), so every target gives the same bytes.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from edgedeblur.errors import UserError

Format = Literal["rgb", "rgba", "nv12", "nv21", "i420", "yuv_420_888"]
Matrix = Literal["bt601", "bt709"]
Range = Literal["limited", "full"]

FORMATS: tuple[Format, ...] = ("rgb", "rgba", "nv12", "nv21", "i420", "yuv_420_888")  # as edgedeblur.h numbers them
MATRICES: tuple[Matrix, ...] = ("bt601", "bt709")
RANGES: tuple[Range, ...] = ("limited", "full")
ROTATIONS = (0, 90, 180, 270)
MAX_SIDE = 32768
OPAQUE = 255
_BITS = 16
_LUMA = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}  # of red and blue: ITU-R BT.601-7 and BT.709-6, table 3
_SPAN = {"limited": (16, 219, 224), "full": (0, 255, 255)}  # black, white above it, chroma from end to end


@dataclass(frozen=True)
class Frame:
    """A picture in memory, its planes as uint8 arrays with any strides.

    Args:
        format: "rgb" and "rgba": one plane [H, W, 3] or [H, W, 4]. "nv12" and "nv21": luma [H, W] and both chromas
            [h, w, 2] with h = ceil(H / 2), w = ceil(W / 2), in NV12 Cb first. "i420" and "yuv_420_888" (Android's,
            whose chroma may have any pixel stride): luma, and Cb and Cr [h, w] each.
        planes: in that order.
        matrix, range: which colours YUV means.

    Raises:
        UserError: another format, matrix or range, or planes of other shapes.

    Example:
        >>> camera = ed.Frame("nv12", (np.zeros((480, 640), np.uint8), np.full((240, 320, 2), 128, np.uint8)))
        >>> with ed.Session("artefact") as session:
        ...     upright = session.run_frame(camera, rotation=90)
        >>> upright.size
        (640, 480)
    """

    format: Format
    planes: tuple[np.ndarray, ...]
    matrix: Matrix = "bt601"
    range: Range = "limited"

    def __post_init__(self):
        for value, allowed in ((self.format, FORMATS), (self.matrix, MATRICES), (self.range, RANGES)):
            if value not in allowed:
                raise UserError(f"a frame of {value!r}", f"allowed are {', '.join(allowed)}", exit_code=2)
        shapes = plane_shapes(self.format, *self.planes[0].shape[:2]) if self.planes and self.planes[0].ndim > 1 else ()
        found = tuple(plane.shape for plane in self.planes)
        if found != shapes or any(plane.dtype != np.uint8 for plane in self.planes):
            raise UserError(f"a {self.format} frame has planes {list(found)}, uint8 {list(shapes)} are needed")
        if not all(0 < side <= MAX_SIDE for side in self.size):
            raise UserError(f"a frame of {self.size[0]}x{self.size[1]}; sides are 1 to {MAX_SIDE}")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as it lies in memory."""
        return self.planes[0].shape[:2]

    @property
    def is_yuv(self) -> bool:
        return not self.format.startswith("rgb")


def plane_shapes(format: Format, height: int, width: int) -> tuple[tuple[int, ...], ...]:
    """Of the planes of a frame of that size."""
    half = (-(-height // 2), -(-width // 2))
    if format in ("rgb", "rgba"):
        return ((height, width, len(format)),)
    return ((height, width), (*half, 2)) if format in ("nv12", "nv21") else ((height, width), half, half)


def empty_frame(like: Frame, rotation: int = 0, format: Format | None = None) -> Frame:
    """A new frame, tightly packed, for what `like` is when it is turned: of its format, matrix and range, or another
    format."""
    height, width = upright_size(like.size, rotation)
    planes = tuple(np.zeros(shape, np.uint8) for shape in plane_shapes(format or like.format, height, width))
    return replace(like, format=format or like.format, planes=planes)


def upright_size(size: tuple[int, int], rotation: int) -> tuple[int, int]:
    """Height and width after a turn by that many degrees.

    Raises:
        UserError: no multiple of 90.
    """
    if rotation not in ROTATIONS:
        raise UserError(f"a rotation by {rotation} degrees; 0, 90, 180 and 270 can be had", exit_code=2)
    return size if rotation % 180 == 0 else (size[1], size[0])


def to_rgb(frame: Frame, rotation: int = 0) -> np.ndarray:
    """uint8 [H, W, 3] RGB of a frame that is turned clockwise by `rotation` degrees."""
    upright_size(frame.size, rotation)
    if not frame.is_yuv:
        return np.rot90(frame.planes[0][:, :, :3], -rotation // 90).copy()
    red, blue, (offset, white, chroma) = *_LUMA[frame.matrix], _SPAN[frame.range]
    scale, wide, green = 255 / white, 255 / chroma, 1 - red - blue
    y, cb, cr = np.moveaxis(upright_yuv(frame, rotation).astype(np.int32), -1, 0)
    bright = _fixed(scale) * (y - offset) + (1 << _BITS - 1)
    cb, cr = cb - 128, cr - 128
    from_cb, from_cr = wide * 2 * (1 - blue), wide * 2 * (1 - red)
    sums = (
        bright + _fixed(from_cr) * cr,
        bright - _fixed(from_cb * blue / green) * cb - _fixed(from_cr * red / green) * cr,
        bright + _fixed(from_cb) * cb,
    )
    return np.clip(np.stack(sums, axis=-1) >> _BITS, 0, 255).astype(np.uint8)


def upright_yuv(frame: Frame, rotation: int) -> np.ndarray:
    """uint8 [H, W, 3]: Y, Cb and Cr of every pixel of a YUV frame that is turned."""
    height, width = frame.size
    luma, cb, cr = _three_planes(frame)
    full = [plane.repeat(2, axis=0).repeat(2, axis=1)[:height, :width] for plane in (cb, cr)]
    return np.rot90(np.stack((luma, *full), axis=-1), -rotation // 90)


def write_rgb(rgb: np.ndarray, out: Frame, source: Frame, rotation: int, outside: np.ndarray) -> None:
    """Writes upright pixels into a frame.

    Args:
        rgb: uint8 [H, W, 3].
        source: where what is not in the picture comes from: alpha, and, if both are YUV of one matrix and range, the
            values of the pixels `outside`, as they are; chroma where all pixels that share it are outside.
        outside: bool [H, W], upright.
    """
    if not out.is_yuv:
        out.planes[0][:, :, :3] = rgb
        if out.format == "rgba":
            alpha = source.format == "rgba"
            out.planes[0][:, :, 3] = np.rot90(source.planes[0][:, :, 3], -rotation // 90) if alpha else OPAQUE
        return
    colours = np.array(_from_rgb(out), np.int32)
    offset = _SPAN[out.range][0]
    half = 1 << _BITS - 1
    luma = (rgb.astype(np.int32) @ colours[0] + (offset << _BITS) + half) >> _BITS
    chroma = (_blocks(rgb) @ colours[1:].T + ((128 << _BITS) + half) * 4) >> _BITS + 2
    if source.is_yuv and (source.matrix, source.range) == (out.matrix, out.range):
        kept = upright_yuv(source, rotation)
        luma = np.where(outside, kept[:, :, 0], luma)
        all_outside = _blocks(outside[:, :, None]) == 4
        chroma = np.where(all_outside, (_blocks(kept[:, :, 1:]) + 2) >> 2, chroma)
    for plane, values in zip(_three_planes(out), (luma, chroma[:, :, 0], chroma[:, :, 1]), strict=True):
        plane[...] = np.clip(values, 0, 255)


def _from_rgb(frame: Frame) -> tuple[tuple[int, int, int], ...]:
    """Coefficients of R, G and B for Y, Cb and Cr. Those of green make up the sum: grey has no colour, white is the
    range's white."""
    red, blue, (_, white, chroma) = *_LUMA[frame.matrix], _SPAN[frame.range]
    y_red, y_blue, half = _fixed(red * white / 255), _fixed(blue * white / 255), _fixed(chroma / 510)
    cb_red, cr_blue = _fixed(-red * chroma / 510 / (1 - blue)), _fixed(-blue * chroma / 510 / (1 - red))
    return (
        (y_red, _fixed(white / 255) - y_red - y_blue, y_blue),
        (cb_red, -half - cb_red, half),
        (half, -half - cr_blue, cr_blue),
    )


def _fixed(value: float) -> int:
    return round(value * (1 << _BITS))


def _blocks(values: np.ndarray) -> np.ndarray:
    """int32 sums over 2x2 pixels of [H, W, C]; at an odd edge, where there are fewer, as many times as makes four."""
    height, width = values.shape[:2]
    even = np.pad(values.astype(np.int32), ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return even[0::2, 0::2] + even[0::2, 1::2] + even[1::2, 0::2] + even[1::2, 1::2]


def _three_planes(frame: Frame) -> tuple[np.ndarray, ...]:
    """Luma, Cb and Cr as views."""
    if frame.format not in ("nv12", "nv21"):
        return frame.planes
    luma, both = frame.planes
    first = 0 if frame.format == "nv12" else 1
    return luma, both[:, :, first], both[:, :, 1 - first]
