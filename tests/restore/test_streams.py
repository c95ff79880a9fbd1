"""Videos through PyAV: what containers hold is kept, an interruption costs one part, real time drops what is late."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av", reason="needs PyAV: pip install av")

from clips import BT601, INVERT, picture, read_clip, restore, uneven_times, write_clip  # noqa: E402

from edgedeblur.errors import UserError  # noqa: E402
from edgedeblur.restore.deblur import DeblurOptions, deblur, kept_parts  # noqa: E402
from edgedeblur.restore.each_frame import FrameRestorer  # noqa: E402
from edgedeblur.restore.gate.gate import GateLimits  # noqa: E402
from edgedeblur.restore.open import Restorer  # noqa: E402
from edgedeblur.restore.video import stream as video_stream  # noqa: E402
from edgedeblur.restore.video.frames import VideoOptions  # noqa: E402
from edgedeblur.restore.video.pace import Pace  # noqa: E402
from edgedeblur.restore.video.parts import parts_folder  # noqa: E402
from edgedeblur.restore.video.subtitles import converted  # noqa: E402

COUNT = 20


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """H.264 with a variable frame rate, turned by 90 degrees, BT.709, with German sound and a subtitle."""
    frames = [picture(index) for index in range(COUNT)]
    return write_clip(tmp_path_factory.mktemp("clip") / "in.mp4", frames, rotation=-90)


def small_parts(monkeypatch):
    monkeypatch.setattr(video_stream, "FRAMES", 6)


def test_everything_of_a_video_is_kept_and_its_pictures_are_restored(clip, tmp_path, monkeypatch):
    small_parts(monkeypatch)
    calls = []
    result = restore(clip, tmp_path / "out.mp4", done=lambda *call: calls.append(call))
    assert result.notes == [] and result.failure is None and result.frames == COUNT
    assert calls[-1] == (COUNT, COUNT) and len(calls) == COUNT
    (before, given), (after, restored) = read_clip(clip), read_clip(tmp_path / "out.mp4")
    assert after == before and before["tags"] == (1, 1, 1, 1) and before["rotation"] == -90
    assert before["languages"] == ["deu"] and len(before["audio"]) > 15 and len(before["subtitles"]) >= 1
    assert before["times"] == pytest.approx([ticks / 90000 for ticks in uneven_times(COUNT)])
    for one, other in zip(given, restored, strict=True):
        assert np.abs(255 - one.astype(int) - other).mean() < 3
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_the_network_sees_upright_pictures(clip, tmp_path):
    seen = []

    def look(image):
        seen.append(image)
        return image

    restore(clip, tmp_path / "out.mp4", FrameRestorer(look))
    assert seen[0].shape == (160, 96, 3)
    assert np.abs(seen[0].astype(int) - np.rot90(picture(0), -1)).mean() < 4  # clockwise
    assert np.abs(read_clip(tmp_path / "out.mp4")[1][0].astype(int) - picture(0)).mean() < 4


def flat_yuv(luma, blue, red):
    frame = av.VideoFrame(64, 48, "yuv420p")
    for plane, value in zip(frame.planes, (luma, blue, red), strict=True):
        plane.update(bytes([value]) * (plane.line_size * plane.height))
    return frame


@pytest.mark.parametrize(
    ("matrix", "full", "red_share", "blue_share"),
    [(1, False, 0.2126, 0.0722), (BT601, False, 0.299, 0.114), (BT601, True, 0.299, 0.114)],
)
def test_colours_are_those_of_the_streams_matrix_and_range(tmp_path, matrix, full, red_share, blue_share):
    y, u, v = 120, 90, 170
    luma, scale = (y / 255, 255) if full else ((y - 16) / 219, 224)
    red, blue = luma + 2 * (1 - red_share) * (v - 128) / scale, luma + 2 * (1 - blue_share) * (u - 128) / scale
    green = (luma - red_share * red - blue_share * blue) / (1 - red_share - blue_share)  # ITU-R BT.601 and BT.709
    seen = []

    def keep(image):
        seen.append(image[20, 30].tolist())
        return image

    frames = [flat_yuv(y, u, v) for _ in range(3)]
    write_clip(tmp_path / "in.mkv", frames, matrix=matrix, full=full, sound=False, words=False)
    restore(tmp_path / "in.mkv", tmp_path / "out.mkv", FrameRestorer(keep))
    assert seen[1] == pytest.approx([255 * red, 255 * green, 255 * blue], abs=2)
    with av.open(str(tmp_path / "out.mkv")) as source:
        written = next(source.decode(video=0))
        found = [int(np.frombuffer(plane, np.uint8)[plane.line_size * 10 + 10]) for plane in written.planes]
        assert found == pytest.approx([y, u, v], abs=2) and written.color_range == (2 if full else 1)


def test_hevc_stays_hevc_and_other_codecs_become_h264(tmp_path):
    frames = [picture(index) for index in range(3)]
    for codec, written in (("libx265", "hevc"), ("ffv1", "h264")):
        write_clip(tmp_path / f"{codec}.mkv", frames, codec=codec, sound=False)
        restore(tmp_path / f"{codec}.mkv", tmp_path / "out.mkv")
        facts, _ = read_clip(tmp_path / "out.mkv")
        assert facts["codec"] == written and len(facts["subtitles"]) == 1


def test_subtitles_become_those_of_the_other_container_and_back(clip, tmp_path):
    assert restore(clip, tmp_path / "out.mkv").notes == []
    before, after = read_clip(clip)[0], read_clip(tmp_path / "out.mkv")[0]
    assert after["audio"] == before["audio"] and after["rotation"] == before["rotation"]
    assert after["subtitles"] == [b"Hello"]
    spaces = [np.diff(each["times"]) for each in (before, after)]
    assert np.abs(spaces[0] - spaces[1]).max() < 1.1e-3  # Matroska counts in milliseconds
    restore(tmp_path / "out.mkv", tmp_path / "back.mp4")
    assert b"\0\5Hello" in read_clip(tmp_path / "back.mp4")[0]["subtitles"]


def test_subtitles_are_converted_without_what_the_other_kind_does_not_know():
    assert converted(b"<i>Good</i> {\\an8}day<br>", "mov_text") == b"\0\x0cGood day<br>"
    assert converted(b"\0\4Good\0\0\0\x0cstyl....", "subrip") == b"Good"
    assert converted(b"\0", "subrip") == b"" and len(converted(b"x" * 70000, "mov_text")) == 65537


def test_a_track_that_the_container_does_not_hold_is_told(tmp_path):
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        stream, sound = output.add_stream("libx264", rate=25), output.add_stream("tta", rate=44100)
        stream.width, stream.height, stream.pix_fmt, sound.layout = 64, 48, "yuv420p", "mono"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(0, 48, 64), format="rgb24")))
        output.mux(stream.encode(None))
    notes = restore(tmp_path / "in.mkv", tmp_path / "out.mp4").notes
    assert notes == ["the output's format holds no audio track of the kind tta: left out"]


def test_an_odd_row_and_column_are_left_out_and_told(tmp_path):
    with av.open(str(tmp_path / "odd.mkv"), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 65, 49, "yuv444p"
        for _ in range(2):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(0, 49, 65), format="rgb24")))
        output.mux(stream.encode(None))
    result = restore(tmp_path / "odd.mkv", tmp_path / "out.mp4")
    assert result.notes == ["of its 65x49 pixels 64x48 are written: the codec takes even sides"]


def interrupting(at, seen=None):
    """A network that is interrupted at its frame number `at`, and notes how many it has restored."""
    seen = [] if seen is None else seen

    def run(image):
        if len(seen) == at:
            raise KeyboardInterrupt
        seen.append(1)
        return 255 - image

    return Restorer("invert", "student", Path("invert"), "0", 1, 0.1, 1, None, run)


def test_an_interrupted_video_goes_on_from_its_finished_parts(clip, tmp_path, monkeypatch):
    small_parts(monkeypatch)
    options, silent = DeblurOptions(GateLimits(blur=0)), lambda *_: None
    deblur(clip, tmp_path / "whole.mp4", interrupting(None), silent, options)
    with pytest.raises(KeyboardInterrupt):
        deblur(clip, tmp_path / "out.mp4", interrupting(15), silent, options)
    assert kept_parts(clip, tmp_path / "out.mp4") and not (tmp_path / "out.mp4").exists()
    seen = []
    result = deblur(clip, tmp_path / "out.mp4", interrupting(None, seen), silent, options)
    assert len(seen) == result.images == COUNT - 12 and "12 more were restored before" in result.video
    assert not kept_parts(clip, tmp_path / "out.mp4") and not parts_folder(tmp_path / "out.mp4").exists()
    whole, resumed = (read_clip(tmp_path / name) for name in ("whole.mp4", "out.mp4"))
    assert whole[0] == resumed[0]
    np.testing.assert_array_equal(whole[1], resumed[1])
    logs = [(tmp_path / f"{name}.mp4.gate.jsonl").read_text() for name in ("whole", "out")]
    assert logs[0] == logs[1] and [json.loads(line)["frame"] for line in logs[0].splitlines()] == list(range(COUNT))
    assert result.gate.startswith(f"gate: {COUNT} restored")


def test_parts_of_another_model_are_begun_anew(clip, tmp_path, monkeypatch):
    small_parts(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        deblur(clip, tmp_path / "out.mp4", interrupting(15), lambda *_: None)
    seen = []
    result = deblur(
        clip, tmp_path / "out.mp4", interrupting(None, seen), lambda *_: None, DeblurOptions(half_scale=0.1)
    )
    assert len(seen) == 2 * COUNT and "before" not in result.video  # both scales


def test_a_folder_of_others_is_not_touched(clip, tmp_path):
    parts_folder(tmp_path / "out.mp4").mkdir()
    (parts_folder(tmp_path / "out.mp4") / "mine").write_text("")
    with pytest.raises(UserError, match=r"out\.mp4\.parts is in the way"):
        restore(clip, tmp_path / "out.mp4")


@pytest.mark.parametrize(
    ("mode", "told"), [("r", r"its decoder, PyAV's FFmpeg, was ended by SIGABRT"), ("w", "FFmpeg was ended by SIGABRT")]
)
def test_a_video_that_crashes_ffmpeg_ends_with_a_message_and_leaves_nothing(clip, tmp_path, monkeypatch, mode, told):
    opened = av.open

    def crash(*args, **how):
        return os.abort() if mode in (*args[1:], how.get("mode")) else opened(*args, **how)

    monkeypatch.setattr(av, "open", crash)
    with pytest.raises(UserError, match=told):
        restore(clip, tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_frames_that_are_lost_are_counted_and_sound_is_kept_as_far_as_it_goes(clip, tmp_path):
    frames = [np.random.default_rng(index).integers(0, 256, (96, 160, 3), np.uint8) for index in range(12)]
    write_clip(tmp_path / "in.mkv", frames)
    data = (tmp_path / "in.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    result = restore(tmp_path / "cut.mkv", tmp_path / "out.mp4")
    assert 0 < result.frames < 12 and len(read_clip(tmp_path / "out.mp4")[1]) == result.frames
    (tmp_path / "none.mp4").write_bytes(clip.read_bytes()[:2000])
    with pytest.raises(UserError, match="is not a video that PyAV's FFmpeg can read"):
        restore(tmp_path / "none.mp4", tmp_path / "out.mp4")


def test_a_playlist_that_names_other_files_is_refused(tmp_path):
    (tmp_path / "in.mkv").write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
    with pytest.raises(UserError, match="is text, not a video"):
        restore(tmp_path / "in.mkv", tmp_path / "out.mp4")


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


@pytest.mark.parametrize(
    ("work", "taken"), [(0.5, list(range(10))), (1.5, [0, 1, 3, 4, 6, 7, 9]), (3.5, [0, 3, 7, 9]), (100, [0, 9])]
)
def test_in_real_time_the_newest_frame_is_taken_and_those_before_it_are_dropped(work, taken):
    clock = Clock()
    pace, found = Pace(clock, clock.wait), []
    for frame in pace.live(range(10), float):  # one a second
        assert clock.now - 100 >= frame
        found.append(frame)
        clock.wait(work)
    assert found == taken and pace.dropped == 10 - len(taken)


def test_a_slow_network_drops_frames_in_real_time_and_the_others_keep_their_times(clip, tmp_path):
    import time

    slow = FrameRestorer(lambda image: time.sleep(0.25) or 255 - image)
    result = restore(clip, tmp_path / "out.mp4", slow, VideoOptions(realtime=True))
    times = read_clip(tmp_path / "out.mp4")[0]["times"]
    assert result.dropped > 5 and result.frames + result.dropped == COUNT == result.dropped + len(times)
    wanted = [ticks / 90000 for ticks in uneven_times(COUNT)]  # to a millisecond, in which MP4 has a late first frame's
    assert all(min(abs(time - one) for one in wanted) < 1e-3 for time in times) and result.failure is None


def test_real_time_is_for_videos(tmp_path):
    with pytest.raises(UserError, match="--realtime is for videos"):
        deblur(tmp_path, tmp_path / "out", interrupting(None), lambda *_: None, DeblurOptions(realtime=True))


def test_without_pyav_the_pictures_are_restored_and_what_is_lost_is_told(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("edgedeblur.restore.video.pyav_encoder.can_encode", lambda: False)
    result = restore(clip, tmp_path / "out.mp4")
    assert result.frames == COUNT and any("pip install edgedeblur[video]" in note for note in result.notes)


def test_no_frame_is_restored_twice_or_lost_in_a_part(clip, tmp_path, monkeypatch):
    small_parts(monkeypatch)
    places = []
    restorer = FrameRestorer(INVERT.restore)
    monkeypatch.setattr(FrameRestorer, "__call__", lambda self, frame, place: (places.append(place), (frame, None))[1])
    restore(clip, tmp_path / "out.mp4", restorer)
    assert [place["frame"] for place in places] == list(range(COUNT))
