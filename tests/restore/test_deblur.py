"""Images, folders and videos: names are kept, inputs are never overwritten, unreadable files are listed at the end."""

import os
from pathlib import Path

import numpy as np
import pytest
from model_files import photo, write_odd_images

from edgedeblur.data.images import read_image, write_image
from edgedeblur.errors import UserError
from edgedeblur.restore.deblur import deblur
from edgedeblur.restore.open import Restorer

INVERT = Restorer("invert", "student", Path("invert"), "0", 1, 0.1, 16, None, lambda image: 255 - image)


def run(source, destination):
    calls = []
    result = deblur(source, destination, INVERT, lambda *call: calls.append(call))
    return result, calls


def test_an_image_is_restored_into_a_file_or_into_a_folder(tmp_path):
    source = tmp_path / "photo.png"
    write_image(source, photo(33, 50))
    for destination, written in ((tmp_path / "out.png", "out.png"), (tmp_path / "folder", "folder/photo.png")):
        result, calls = run(source, destination)
        assert result.written == [tmp_path / written] and calls == [("photo.png", 1, 1)]
        np.testing.assert_array_equal(read_image(tmp_path / written), 255 - photo(33, 50))


def test_a_folder_keeps_its_names_and_lists_what_cannot_be_read(tmp_path):
    source = tmp_path / "in"
    paths = write_odd_images(source)
    (source / "broken.png").write_bytes(b"\x89PNG but not really")
    (source / "notes.txt").write_text("not an image, not looked at")
    result, _ = run(source, tmp_path / "out")
    assert sorted(path.name for path in result.written) == sorted(path.name for path in paths.values())
    assert [path.name for path, _ in result.failed] == ["broken.png"]
    for path in paths.values():
        np.testing.assert_array_equal(read_image(tmp_path / "out" / path.name), 255 - read_image(path))


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_the_input_is_never_overwritten_not_even_through_a_link(tmp_path, link):
    source = tmp_path / "photo.png"
    write_image(source, photo())
    destination = tmp_path / "alias.png" if link else source
    if link:
        link(source, destination)
    before = source.read_bytes()
    with pytest.raises(UserError, match="is the input itself"):
        run(source, destination)
    assert source.read_bytes() == before


def test_a_folder_is_not_restored_into_itself(tmp_path):
    write_image(tmp_path / "in" / "photo.png", photo())
    with pytest.raises(UserError, match="is the input itself"):
        run(tmp_path / "in", tmp_path / "in" / ".." / "in")


def test_a_folder_is_not_restored_into_a_file(tmp_path):
    write_image(tmp_path / "in" / "photo.png", photo())
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        run(tmp_path / "in", tmp_path / "file")


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_a_missing_input_and_an_empty_folder_are_refused(tmp_path, make):
    make(tmp_path / "in")
    with pytest.raises(UserError, match="in"):
        run(tmp_path / "in", tmp_path / "out")


def write_video(path, frames, rate=12.5):
    import cv2

    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (width, height))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def read_video(path):
    import cv2

    capture = cv2.VideoCapture(str(path))
    rate, frames = capture.get(cv2.CAP_PROP_FPS), []
    while (read := capture.read())[0]:
        frames.append(read[1][..., ::-1])
    return rate, frames


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
def test_a_video_keeps_its_frames_size_and_rate(tmp_path, suffix):
    frames = [np.full((48, 64, 3), (40 * index, 100, 200 - 40 * index), np.uint8) for index in range(5)]
    write_video(tmp_path / "in.avi", frames)
    result, calls = run(tmp_path / "in.avi", tmp_path / f"out{suffix}")
    rate, restored = read_video(tmp_path / f"out{suffix}")
    assert result.notes == [] and len(calls) == len(restored) == 5 and rate == pytest.approx(12.5, abs=0.01)
    for before, after in zip(frames, restored, strict=True):
        assert np.abs(255 - before.astype(int) - after).mean() < 6  # both codecs lose a little


def test_a_dropped_audio_track_is_said(tmp_path):
    write_video(tmp_path / "in.avi", [photo(48, 64)])
    with open(tmp_path / "in.avi", "ab") as file:
        file.write(b"strh\x38\x00\x00\x00auds")  # the declaration of a sound stream
    assert run(tmp_path / "in.avi", tmp_path / "out.avi")[0].notes == ["in.avi: the audio track is not copied"]


def test_what_only_has_the_name_of_a_video_is_refused(tmp_path):
    (tmp_path / "in.mp4").write_text("text")
    with pytest.raises(UserError, match="not a video"):
        run(tmp_path / "in.mp4", tmp_path / "out.mp4")
    write_video(tmp_path / "in.avi", [photo(48, 64)])
    with pytest.raises(UserError, match="suffix must be one of"):
        run(tmp_path / "in.avi", tmp_path / "out.webm")
    assert not (tmp_path / "out.mp4").exists()
