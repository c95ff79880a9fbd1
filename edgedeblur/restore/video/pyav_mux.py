"""Parts of pictures and the source's other tracks into one video, copied by PyAV in a process of its own."""

import contextlib
import errno
import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from edgedeblur.restore.video.decoder import END, OPENED, Records, Send, send_records
from edgedeblur.restore.video.description import Description
from edgedeblur.restore.video.process import forked
from edgedeblur.restore.video.pyav_decoder import OPEN, first_pictures
from edgedeblur.restore.video.subtitles import OTHER_KIND, converted
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import parse_json

_COPIED = ("audio", "subtitle", "attachment")
_APPLE = ("mp4", "mov", "ipod")  # FFmpeg's names of formats in which Apple's players take HEVC as hvc1 only


@dataclass(frozen=True)
class _Track:
    """stream: PyAV's, of the output. converted_to: the kind of subtitles that its packets become; None: they stay."""

    stream: Any
    converted_to: str | None = None


def join(source: Path, parts: Sequence[Path], destination: Path, description: Description) -> list[str]:
    """Write the video.

    Args:
        source: whose sound, subtitles, attachments, chapters and metadata are copied.
        parts: what `encoding_part` wrote, in order.
        destination: its suffix says the container.
        description: of the source's pictures.

    Returns:
        What of the source the container does not hold.

    Raises:
        UserError: the source's other tracks crash FFmpeg.
        OSError: the file is not whole; the disk may be full.
    """

    def child(pipe: int) -> int:
        return send_records(source, pipe, lambda path, send: _join(path, parts, destination, description, send))

    with forked(child, sends=True) as process:
        records = Records(source, process, "PyAV's FFmpeg")
        kind, size, number, _ = records.next()
        if kind != OPENED:
            raise OSError(number or errno.EIO, "not all of the video was written")
        return list(parse_json(records.text(size), Origin("the notes"))["notes"])


def _join(source: Path, parts: Sequence[Path], destination: Path, description: Description, send: Send) -> None:
    import av

    notes: list[str] = []
    try:
        with contextlib.ExitStack() as opened:
            inputs = [opened.enter_context(av.open(str(part), format="nut")) for part in parts]
            container = opened.enter_context(av.open(str(source), **OPEN))
            output = opened.enter_context(av.open(str(destination), "w"))
            pictures = _add_pictures(output, inputs, first_pictures(container), description)
            others = _add_others(output, container, notes)
            output.metadata.update(container.metadata)
            output.set_chapters(container.chapters())
            flows = [_pictures_of(inputs, pictures), _others_of(container, others, notes)]
            written = 0
            for _, packet in heapq.merge(*flows, key=lambda timed: timed[0]):
                written += packet.stream is pictures
                output.mux(packet)
        with av.open(str(destination)) as whole:
            found = sum(packet.dts is not None for packet in whole.demux(video=0))
    except OSError as error:
        send(END, 0, error.errno or 0)
        return
    if found < written:
        send(END, 0, errno.EIO)
        return
    text = json.dumps({"notes": notes}).encode()
    send(OPENED, len(text), data=text)


def _add_pictures(output, parts: list, source, description: Description):
    first = parts[0].streams.video[0]
    for part in parts[1:]:
        if part.streams.video[0].codec_context.extradata != first.codec_context.extradata:
            raise ValueError("its parts were encoded differently")
    stream = output.add_stream_from_template(first)
    stream.time_base = description.seconds_per_tick
    if description.rate:
        stream.codec_context.framerate = Fraction(*description.rate)
    if first.codec_context.name == "hevc" and output.format.name in _APPLE:
        stream.codec_context.codec_tag = "hvc1"
    if description.display:
        stream.set_display_matrix(description.display)
    _copy_words(source, stream)
    return stream


def _copy_words(source, stream) -> None:
    """Language, title and disposition."""
    words = {key: value for key, value in source.metadata.items() if key in ("language", "title", "handler_name")}
    stream.metadata.update(words)
    stream.disposition = source.disposition


def _add_others(output, container, notes: list[str]) -> dict[int, _Track]:
    """The output's tracks by the source's index."""
    pictures, added = first_pictures(container), {}
    for stream in container.streams:
        if stream.index == pictures.index:
            continue
        name = stream.codec_context.name if stream.codec_context is not None else "unknown"
        if stream.type not in _COPIED:
            notes.append(f"a {stream.type} track ({name}) is not copied")
            continue
        track = _add_other(output, stream, name)
        if track is None:
            notes.append(f"the output's format holds no {stream.type} track of the kind {name}: left out")
            continue
        added[stream.index] = track
        _copy_words(stream, track.stream)
    return added


def _add_other(output, stream, name: str) -> _Track | None:
    """The output's track for one of the source, as the other kind of subtitles where its own cannot be held."""
    if stream.type == "attachment" or stream.codec_context.codec.canonical_name in output.supported_codecs:
        try:
            return _Track(output.add_stream_from_template(stream))
        except ValueError:  # attachments, where the container has none
            return None
    other = OTHER_KIND.get(name)
    return _Track(output.add_mux_stream(other), other) if other in output.supported_codecs else None


def _moved(packet, track: _Track):
    """The packet as one of the output's track; None for a subtitle without text."""
    import av

    if track.converted_to is None:
        packet.stream = track.stream
        return packet
    text = converted(bytes(packet), track.converted_to)
    if not text.strip(b"\0"):
        return None
    made = av.Packet(text)
    made.stream, made.time_base = track.stream, packet.time_base
    made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
    return made


def _pictures_of(parts: list, stream) -> Iterator[tuple]:
    """Packets with their time in seconds."""
    for part in parts:
        for packet in part.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                yield packet.dts * packet.time_base, packet


def _others_of(container, tracks: dict[int, _Track], notes: list[str]) -> Iterator[tuple]:
    import av

    chosen = [container.streams[index] for index in tracks]
    if not chosen:
        return
    packets, last = container.demux(chosen), 0
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError:
            notes.append(f"its sound and subtitles cannot be read beyond {float(last):.1f} s")
            return
        if packet.dts is not None:
            last = max(last, packet.dts * packet.time_base)
            moved = _moved(packet, tracks[packet.stream.index])
            if moved is not None:
                yield last, moved
