"""A video that crashes or stalls FFmpeg ends with a message, not with the process; see edgedeblur/restore/."""

import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from edgedeblur.errors import UserError
from edgedeblur.restore.each_frame import FrameRestorer
from edgedeblur.restore.video import process as video_process
from edgedeblur.restore.video.decoder import decoding
from edgedeblur.restore.video.frames import deblur_video
from edgedeblur.restore.video.process import ChildFailed, forked

CAPTURE, WRITER = cv2.VideoCapture, cv2.VideoWriter


def write_video(path, height=48, width=64, frames=5):
    writer = WRITER(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (width, height))
    for index in range(frames):
        writer.write(np.full((height, width, 3), 40 * index, np.uint8))
    writer.release()
    return path


def restore_video(source, destination):
    return deblur_video(source, destination, FrameRestorer(lambda image: image), lambda *done: None)


class Crashing:
    """A capture or a writer that aborts at its third frame."""

    def __init__(self, made, name):
        self._made, self._left = made, 3
        setattr(self, name, lambda *frame: self._count() or getattr(made, name)(*frame))

    def __getattr__(self, name):
        return getattr(self._made, name)

    def _count(self):
        self._left -= 1
        if self._left == 0:
            os.abort()


@pytest.fixture(autouse=True)
def without_pyav(monkeypatch):
    monkeypatch.setattr("edgedeblur.restore.video.pyav_encoder.can_encode", lambda: False)


@pytest.fixture
def source(tmp_path):
    return write_video(tmp_path / "in.avi")


def test_a_video_that_crashes_the_decoder_is_refused(source, tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", lambda path: Crashing(CAPTURE(path), "read"))
    with pytest.raises(
        UserError, match=r"in\.avi cannot be read as a video: its decoder.* was ended by SIGABRT"
    ) as told:
        restore_video(source, tmp_path / "out.mp4")
    assert told.value.exit_code == 1 and [path.name for path in tmp_path.iterdir()] == ["in.avi"]


def test_a_video_that_crashes_the_encoder_is_refused(source, tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "VideoWriter", lambda *how: Crashing(WRITER(*how), "write"))
    with pytest.raises(UserError, match=r"in\.avi: OpenCV cannot write its 64x48 pixels .*FFmpeg was ended by SIGABRT"):
        restore_video(source, tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["in.avi"]


def test_a_decoder_without_a_sign_of_life_is_given_up(source, tmp_path, monkeypatch):
    monkeypatch.setattr(video_process, "WAIT_S", 0.2)
    monkeypatch.setattr(cv2, "VideoCapture", lambda path: time.sleep(60))
    start = time.monotonic()
    with pytest.raises(UserError, match=r"was stuck for 0\.2 s"):
        restore_video(source, tmp_path / "out.mp4")
    assert time.monotonic() - start < 10


def test_an_error_of_opencv_is_told(source, monkeypatch):
    def refuse(path):
        raise cv2.error("no memory")

    monkeypatch.setattr(cv2, "VideoCapture", refuse)
    with pytest.raises(UserError, match=r"in\.avi cannot be read as a video: no memory"), decoding(source):
        pass


def test_frames_are_those_that_opencv_gives(source):
    capture = CAPTURE(str(source))
    with decoding(source) as video:
        assert video.rate == 25 and video.declared == 5
        for index, (frame, seconds) in enumerate(video.frames()):
            np.testing.assert_array_equal(frame, capture.read()[1])
            assert seconds == pytest.approx(index / 25)
    assert index == 4


class Frames:
    """A capture of three grey frames of any size; OpenCV itself writes even ones only."""

    def __init__(self, height, width):
        self._frames = [np.full((height, width, 3), 128, np.uint8)] * 3

    def isOpened(self):
        return True

    def get(self, what):
        return 25.0 if what == cv2.CAP_PROP_FPS else 0.0

    def read(self):
        return (True, self._frames.pop()) if self._frames else (False, None)


def of_size(height, width):
    return lambda path: Frames(height, width) if path.endswith("in.avi") else CAPTURE(path)


def test_an_odd_row_and_column_that_are_not_written_are_told(source, tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", of_size(49, 65))
    notes = restore_video(source, tmp_path / "out.mp4").notes
    assert notes[0] == "of its 65x49 pixels 64x48 are written: the codec takes even sides"
    assert CAPTURE(str(tmp_path / "out.mp4")).read()[1].shape == (48, 64, 3)


@pytest.mark.parametrize("size", [(514, 3), (15, 64)])
def test_frames_so_narrow_that_the_encoder_corrupts_its_memory_are_refused(source, tmp_path, monkeypatch, size):
    monkeypatch.setattr(cv2, "VideoCapture", of_size(*size))
    with pytest.raises(UserError, match="both sides must be at least 16 pixels"):
        restore_video(source, tmp_path / "out.avi")


def test_a_child_has_none_of_the_files_that_are_open_here(tmp_path):
    with (tmp_path / "lock").open("w"), forked(_send_open_files, sends=True) as child:
        told = bytearray(1)
        child.read_into(memoryview(told))
    assert told == b"\4"  # the three standard ones and the pipe


def _send_open_files(pipe):
    os.write(pipe, bytes([sum(_is_open(number) for number in range(1024))]))
    return 0


def _is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_a_child_that_fails_without_a_signal_is_noticed():
    with forked(lambda pipe: 1 // 0, sends=True) as child, pytest.raises(ChildFailed, match="failed"):
        child.read_into(memoryview(bytearray(1)))


def test_a_child_ends_with_its_parent():
    program = (
        "import os, time\n"
        "from edgedeblur.restore.video.process import forked\n"
        "def work(pipe):\n"
        "    os.write(pipe, os.getpid().to_bytes(4, 'little'))\n"
        "    time.sleep(60)\n"
        "with forked(work, sends=True) as child:\n"
        "    number = bytearray(4)\n"
        "    child.read_into(memoryview(number))\n"
        "    print(int.from_bytes(number, 'little'), flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        number = int(parent.stdout.readline())
        assert _runs(number)
        parent.send_signal(signal.SIGKILL)
    limit = time.monotonic() + 10
    while _runs(number):
        assert time.monotonic() < limit
        time.sleep(0.01)


def _runs(number):
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
