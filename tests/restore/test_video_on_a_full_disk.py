"""A video whose frames did not all reach the disk is an error: OpenCV itself says nothing."""

import resource

import cv2
import numpy as np
import pytest

from edgedeblur.errors import UserError
from edgedeblur.restore.each_frame import FrameRestorer
from edgedeblur.restore.video.frames import deblur_video


@pytest.fixture
def noisy(tmp_path):
    """A video of twelve frames of noise."""
    path, rng = tmp_path / "noisy.avi", np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30.0, (160, 128))
    for _ in range(12):
        writer.write(rng.integers(0, 256, (128, 160, 3), dtype=np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize(
    ("suffix", "library"), [(".mp4", "OpenCV"), (".avi", "OpenCV"), (".mp4", "PyAV"), (".mkv", "PyAV")]
)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_video_that_is_cut_short_is_not_kept(noisy, tmp_path, monkeypatch, suffix, library, share):
    if library == "PyAV":
        pytest.importorskip("av")
    else:
        monkeypatch.setattr("edgedeblur.restore.video.pyav_encoder.can_encode", lambda: False)
    output = tmp_path / f"whole{suffix}"
    deblur_video(noisy, output, FrameRestorer(lambda image: image), lambda *done: None)
    size, before = output.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size * share), before[1]))
    try:
        with pytest.raises(UserError, match="larger than is allowed here"):
            deblur_video(noisy, tmp_path / f"cut{suffix}", FrameRestorer(lambda image: image), lambda *done: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {path.name for path in tmp_path.iterdir()} == {"noisy.avi", output.name}
