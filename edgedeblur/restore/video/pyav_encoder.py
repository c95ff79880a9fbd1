"""RGB frames with timestamps into a part of a video, encoded by PyAV in a process of its own.

A part holds pictures alone, in FFmpeg's NUT format, which keeps every timestamp; without B-frames, so that parts can be
put one behind the other.
"""

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.restore.video.description import FULL, Description
from edgedeblur.restore.video.encoder import fill
from edgedeblur.restore.video.process import ChildFailed, forked

_TICKS = struct.Struct("<q")
_LEAST_SIDE = 16
_NOT_OPENED, _NOT_WHOLE, _ERRNO = 3, 4, 64  # the child's exit status; from _ERRNO on an errno of the disk


# The quality is constant and high. HEVC stays HEVC, where there is an encoder for it; all others become H.264.
_H264 = ("libx264", {"crf": "17", "preset": "medium", "bf": "0"})
_HEVC = ("libx265", {"crf": "19", "preset": "medium", "x265-params": "bframes=0:log-level=none"})

Write = Callable[[np.ndarray, int], None]


def can_encode() -> bool:
    """Whether PyAV is installed and encodes H.264."""
    with contextlib.suppress(ImportError):
        return _is_there(_H264[0])
    return False


@contextlib.contextmanager
def encoding_part(source: Path, path: Path, description: Description) -> Iterator[Write]:
    """What writes a frame, uint8 [H, W, 3] RGB, with its timestamp in ticks; the part is finished when the block ends.

    An odd row and an odd column at the end are left out: video with halved colours has even sides.

    Args:
        source: where the frames are from, for messages.
        path: the part.
        description: the source's.

    Raises:
        UserError: this size cannot be written, or the encoder crashes over it.
        OSError: the part has fewer frames than were given, or the disk is full.
    """
    height, width = (side // 2 * 2 for side in (description.height, description.width))
    told = f"{source}: PyAV cannot write its {description.width}x{description.height} pixels"
    if min(height, width) < _LEAST_SIDE:
        raise UserError(f"{told}: both sides must be at least {_LEAST_SIDE} pixels")
    with forked(lambda pipe: _encode(path, description, height, width, pipe), sends=False) as child:

        def write(frame: np.ndarray, ticks: int) -> None:
            child.write(memoryview(_TICKS.pack(ticks)))
            child.write(memoryview(np.ascontiguousarray(frame[:height, :width])).cast("B"))

        try:
            yield write
            status = child.wait()
            if status:
                raise child.failure()
        except ChildFailed as failure:
            status = failure.status or 0
            if status >= _ERRNO:
                raise OSError(status - _ERRNO, os.strerror(status - _ERRNO)) from None
            if status == _NOT_WHOLE:
                raise OSError("not all frames were written") from None
            reason = "" if status == _NOT_OPENED else f": its FFmpeg {failure}"
            raise UserError(told + reason, "choose an .avi file, which OpenCV writes") from None


def _is_there(name: str) -> bool:
    import av

    with contextlib.suppress(av.codec.codec.UnknownCodecError):
        return av.Codec(name, "w").is_encoder
    return False


def _encode(path: Path, description: Description, height: int, width: int, pipe: int) -> int:
    """The child's life: frames until the pipe ends, then counted in the part."""
    import av

    record, given = bytearray(_TICKS.size + height * width * 3), 0
    frame = np.frombuffer(record, np.uint8, offset=_TICKS.size).reshape(height, width, 3)
    try:
        with av.open(str(path), "w", format="nut") as output:
            stream = _add_stream(output, description, height, width)
            while fill(memoryview(record), pipe) == len(record):
                (ticks,) = _TICKS.unpack_from(record)
                output.mux(stream.encode(_to_yuv(frame, ticks, description, stream.pix_fmt)))
                given += 1
            output.mux(stream.encode(None))
        with av.open(str(path), format="nut") as part:
            found = sum(packet.dts is not None for packet in part.demux(video=0))
    except OSError as error:  # FFmpeg's errors too
        return _ERRNO + error.errno if error.errno and 0 < error.errno < 128 else _NOT_OPENED
    return _NOT_WHOLE if found < given else 0


def _add_stream(output, description: Description, height: int, width: int):
    name, options = _HEVC if description.codec == "hevc" and _is_there(_HEVC[0]) else _H264
    rate = Fraction(*description.rate) if description.rate else Fraction(30)
    stream = output.add_stream(name, rate=rate, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    context = stream.codec_context
    context.time_base = description.seconds_per_tick
    context.color_range = description.range
    context.colorspace, context.color_primaries = description.matrix, description.primaries
    context.color_trc = description.transfer
    if description.aspect:
        context.sample_aspect_ratio = Fraction(*description.aspect)
    return stream


def _to_yuv(pixels: np.ndarray, ticks: int, description: Description, pix_fmt: str):
    import av
    from av.video.reformatter import Interpolation as How

    rgb = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    how = How.BICUBIC | How.ACCURATE_RND | How.FULL_CHR_H_INP
    colours = {"dst_colorspace": description.scaler_matrix, "dst_color_range": description.scaler_range}
    frame = rgb.reformat(format=pix_fmt, interpolation=how, src_color_range=FULL, **colours)
    frame.pts, frame.time_base = ticks, description.seconds_per_tick
    return frame
