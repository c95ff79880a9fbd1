"""A video as RGB frames with their own timestamps, decoded by PyAV in a process of its own."""

import contextlib
import dataclasses
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgedeblur.restore.video.decoder import (
    END,
    FRAME,
    NO_VIDEO,
    OPENED,
    READABLE,
    Records,
    Send,
    check_size,
    refuse_text,
    send_records,
)
from edgedeblur.restore.video.description import FULL, Description
from edgedeblur.restore.video.process import forked
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import parse_json
from edgedeblur.storage.records import Rules, read_record

# Only this file: a playlist in a container's clothes would open what it names.
OPEN = {"mode": "r", "options": {"protocol_whitelist": "file"}, "metadata_errors": "replace"}
_COUNTED = ("mov", "avi")  # formats whose header counts the frames


class Stream:
    """An opened video and its frames."""

    def __init__(self, records: Records, description: Description, skipped: int):
        self.description, self._records, self._skipped = description, records, skipped

    def frames(self) -> Iterator[tuple[int, np.ndarray, int]]:
        """Number, uint8 [H, W, 3] RGB as it lies in the file, and timestamp in ticks; sizes may differ.

        Raises:
            UserError: the decoder failed, crashed, or gave no frame within 120 s.
        """
        number = self._skipped
        while True:
            kind, height, width, ticks = self._records.next()
            if kind != FRAME:
                return
            yield number, self._records.frame(height, width), int(ticks)
            number += 1


@contextlib.contextmanager
def streaming(source: Path, skipped: int = 0) -> Iterator[Stream]:
    """A video whose decoder lives as long as the block.

    Args:
        skipped: frames at the beginning that are decoded and not given.

    Raises:
        UserError: not a video, frames of more than 178,956,970 pixels, or a decoder that failed or crashed.
    """
    refuse_text(source)

    def child(pipe: int) -> int:
        return send_records(source, pipe, lambda path, send: _send_frames(path, send, skipped))

    with forked(child, sends=True) as process:
        records = Records(source, process, "PyAV's FFmpeg")
        _, size, _, _ = records.next()
        origin = Origin(f"the description of {source}", f"readable are {', '.join(READABLE)}")
        values = parse_json(records.text(size), origin)
        yield Stream(records, read_record(Description, values, Rules(origin)), skipped)


def first_pictures(container):
    """The container's first stream of moving pictures, not a cover; None for none."""
    import av

    covers = av.stream.Disposition.attached_pic
    return next((each for each in container.streams.video if not each.disposition & covers), None)


def _send_frames(source: Path, send: Send, skipped: int) -> None:
    import av

    try:
        container = av.open(str(source), **OPEN)
    except (av.error.InvalidDataError, av.error.EOFError, ValueError):
        send(NO_VIDEO)
        return
    with container:
        pictures = first_pictures(container)
        if pictures is None:
            send(NO_VIDEO)
            return
        pictures.thread_type = "AUTO"
        last, described = None, None
        for number, frame in enumerate(_decoded(container, pictures)):
            check_size(source, frame.width, frame.height)
            if described is None:
                described = _describe(container, pictures, frame)
                text = json.dumps(dataclasses.asdict(described)).encode()
                send(OPENED, len(text), data=text)
            step = max(frame.duration or 0, 1)
            ticks = frame.pts if frame.pts is not None else (0 if last is None else last + step)
            last = ticks if last is None else max(ticks, last + 1)  # encoders take rising ones only
            if number >= skipped:
                pixels = _to_rgb(frame, described)
                send(FRAME, *pixels.shape[:2], last, data=memoryview(pixels).cast("B"))
        if described is None:
            raise ValueError("it has no frame that can be read")
    send(END)


def _decoded(container, pictures) -> Iterator:
    """Frames; packets that cannot be decoded are passed over, and what comes behind an end that is broken."""
    import av

    packets = container.demux(pictures)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        with contextlib.suppress(av.error.InvalidDataError):
            yield from packet.decode()


def _describe(container, pictures, frame) -> Description:
    context = pictures.codec_context
    rate, tick = pictures.average_rate or pictures.guessed_rate, pictures.time_base
    seconds = _seconds(container, pictures)
    counted = pictures.frames if any(name in container.format.name for name in _COUNTED) else 0
    aspect = pictures.sample_aspect_ratio
    full = frame.color_range == FULL or (frame.format.name or "").startswith("yuvj")
    matrix = next((bytes(each) for each in frame.side_data if each.type.name == "DISPLAYMATRIX"), b"")
    return Description(
        codec=context.name,
        height=frame.height,
        width=frame.width,
        tick=(tick.numerator, tick.denominator),
        rate=(rate.numerator, rate.denominator) if rate else None,
        declared=counted,
        expected=pictures.frames or (round(seconds * rate) if rate else 0),
        matrix=int(frame.colorspace),
        primaries=int(context.color_primaries),
        transfer=int(context.color_trc),
        range=int(frame.color_range),
        full=full,
        aspect=(aspect.numerator, aspect.denominator) if aspect else None,
        display=struct.unpack("=9i", matrix) if len(matrix) == 36 else (),
        turns=round(frame.rotation / 90) % 4,
        bits=max((component.bits for component in frame.format.components), default=8),
    )


def _seconds(container, pictures) -> float:
    if pictures.duration:
        return float(pictures.duration * pictures.time_base)
    return (container.duration or 0) / 1e6


def _to_rgb(frame, described: Description) -> np.ndarray:
    """uint8 [H, W, 3]; the network's input for what is black to white in the video is 0 to 255."""
    from av.video.reformatter import Interpolation as How

    how = How.BICUBIC | How.ACCURATE_RND | How.FULL_CHR_H_INP | How.FULL_CHR_H_INT
    colours = {"src_colorspace": described.scaler_matrix, "src_color_range": described.scaler_range}
    rgb = frame.reformat(format="rgb24", interpolation=how, dst_color_range=FULL, **colours)
    return np.ascontiguousarray(rgb.to_ndarray())
