"""Videos with everything that containers hold, made and read by PyAV alone."""

import struct
from fractions import Fraction

import av
import numpy as np

from edgedeblur.restore.each_frame import FrameRestorer
from edgedeblur.restore.video.frames import deblur_video

TICK = Fraction(1, 90000)
BT709, BT601 = 1, 6
INVERT = FrameRestorer(lambda image: 255 - image)


def uneven_times(count):
    """Of a variable frame rate, in ticks: steps of 1/30, 2/30 and 1/15 s and a bit."""
    return np.cumsum([0, *(3000 + 3001 * (index % 3) for index in range(count - 1))]).tolist()


def picture(index, height=96, width=160):
    """RGB: a moving, soft edge over smooth colours."""
    y, x = np.mgrid[:height, :width]
    edge = 110 * np.clip((x - 20 - 3 * index) / 16, 0, 1)
    return np.stack([60 + edge, 200 - y, 40 + x], axis=2).astype(np.uint8)


def write_clip(path, frames, codec="libx264", times=None, rotation=0, sound=True, matrix=BT709, full=False, words=True):
    """Frames are RGB arrays, or PyAV's frames as they are."""
    times = times or uneven_times(len(frames))
    with av.open(str(path), "w") as output:
        output.metadata["title"] = "a walk"
        first = frames[0]
        height, width = first.shape[:2] if isinstance(first, np.ndarray) else (first.height, first.width)
        options = {"libx264": {"crf": "4"}, "libx265": {"x265-params": "log-level=none"}}.get(codec, {})
        stream = output.add_stream(codec, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base, context.color_range = TICK, 2 if full else 1
        context.colorspace = context.color_primaries = context.color_trc = matrix
        if rotation:
            stream.set_display_rotation(rotation)
        tracks = [_sound(output)] if sound else []
        subtitle = _subtitle(output, path.suffix) if words else None
        for frame, ticks in zip(frames, times, strict=True):
            if isinstance(frame, np.ndarray):
                colours = {"dst_colorspace": {BT709: 1, BT601: 5}[matrix], "dst_color_range": 2 if full else 1}
                frame = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p", **colours)
            frame.pts, frame.time_base = ticks, TICK
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        for track, samples in tracks:
            output.mux(track.encode(samples))
            output.mux(track.encode(None))
        if subtitle is not None:
            output.mux(subtitle())
    return path


def _sound(output):
    track = output.add_stream("aac", rate=44100)
    track.layout = "mono"
    track.metadata["language"] = "deu"
    noise = np.random.default_rng(0).normal(0, 3000, (1, 22050)).astype(np.int16)
    samples = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
    samples.rate, samples.pts, samples.time_base = 44100, 0, Fraction(1, 44100)
    return track, samples


def _subtitle(output, suffix):
    """What makes its packet, when all streams are there."""
    stream = output.add_mux_stream("subrip" if suffix == ".mkv" else "mov_text")

    def packet():
        text = b"Hello" if suffix == ".mkv" else struct.pack(">H", 5) + b"Hello"
        made = av.Packet(text)
        made.stream, made.time_base = stream, Fraction(1, 1000)
        made.pts = made.dts = 100
        made.duration = 200
        return made

    return packet


def read_clip(path):
    """Frames as RGB by swscale with the stream's own tags, and everything else."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        context = stream.codec_context
        tags = (context.color_range, context.colorspace, context.color_primaries, context.color_trc)
        frames = list(source.decode(stream))
        facts = {"codec": context.name, "tags": tags, "rotation": frames[0].rotation, "title": source.metadata["title"]}
        facts["times"] = [float(frame.pts * frame.time_base) for frame in frames]
        facts["languages"] = [each.language for each in source.streams.audio]
        colours = {"src_colorspace": {1: 1}.get(context.colorspace, 5), "src_color_range": context.color_range}
        pixels = [frame.reformat(format="rgb24", **colours).to_ndarray() for frame in frames]
    for kind in ("audio", "subtitles"):
        facts[kind] = _packets(path, kind)
    return facts, pixels


def _packets(path, kind):
    with av.open(str(path)) as source:
        streams = getattr(source.streams, kind)
        return [bytes(packet) for packet in source.demux(streams) if packet.size] if streams else []


def restore(source, destination, restorer=INVERT, options=None, done=lambda *_: None):
    return deblur_video(source, destination, restorer, done, options)
