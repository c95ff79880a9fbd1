"""Images, folders and videos: names are kept, inputs are never overwritten, unreadable files are listed at the end."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from model_files import photo, write_odd_images, write_quantised
from PIL import Image

from edgedeblur.data.images import read_image, write_image
from edgedeblur.errors import UserError
from edgedeblur.restore.deblur import DeblurOptions, DeblurResult, closing_lines, deblur, grouped, speed_sentence
from edgedeblur.restore.open import Restorer, open_model

INVERT_FACTS = ("invert", "student", Path("invert"), "0", 1, 0.1, 16, None, lambda image: 255 - image)
INVERT = Restorer(*INVERT_FACTS)


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
    notes = run(tmp_path / "in.avi", tmp_path / "out.avi")[0].notes
    ((path, note),) = notes
    assert path == tmp_path / "in.avi" and note == "the audio track is not copied; an .mp4 or .mkv file keeps it"


def test_what_only_has_the_name_of_a_video_is_refused(tmp_path):
    (tmp_path / "in.mp4").write_text("text")
    with pytest.raises(UserError, match="not a video"):
        run(tmp_path / "in.mp4", tmp_path / "out.mp4")
    write_video(tmp_path / "in.avi", [photo(48, 64)])
    with pytest.raises(UserError, match="suffix must be one of"):
        run(tmp_path / "in.avi", tmp_path / "out.webm")
    assert not (tmp_path / "out.mp4").exists()


def test_frames_that_cannot_be_read_are_told(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (50, 48, 64, 3), np.uint8)
    write_video(tmp_path / "whole.avi", list(noise))
    run(tmp_path / "whole.avi", tmp_path / "in.mp4")
    data = bytearray((tmp_path / "in.mp4").read_bytes())
    third = len(data) // 3
    data[third : third + third // 2] = bytes(third // 2)
    (tmp_path / "in.mp4").write_bytes(data)
    result, calls = run(tmp_path / "in.mp4", tmp_path / "out.mp4")
    frames = len(read_video(tmp_path / "out.mp4")[1])
    assert 0 < frames == len(calls) < 50 and result.written == [tmp_path / "out.mp4"]
    ((path, why),) = result.failed
    assert path.name == "in.mp4" and f"{50 - frames} of 50 frames cannot be read" in why


def write_troubles(folder):
    """A folder with two good pictures and everything else that users have in one."""
    write_image(folder / "a-good.png", photo())
    write_image(folder / "z-good.jpg", photo())
    Image.fromarray(photo()).save(folder / "avif.png", format="AVIF")
    Image.fromarray(photo()).save(folder / "dds.png", format="DDS")
    (folder / "b-broken.png").write_bytes(b"\x89PNG but not really")
    (folder / "c-empty.jpg").write_bytes(b"")
    (folder / "d-cut.jpg").write_bytes((folder / "z-good.jpg").read_bytes()[:400])
    (folder / "IMG_1.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "clip.mp4").write_bytes(b"")
    (folder / "raw.DNG").write_bytes(b"II*\0")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "notes.txt").write_text("text")
    (folder / ".hidden").write_text("text")
    (folder / "more").mkdir()
    return {path.name for path in folder.iterdir()} - {".hidden"}


def test_every_file_of_a_folder_is_restored_or_listed_with_its_reason(tmp_path):
    names = write_troubles(tmp_path / "in")
    result, _ = run(tmp_path / "in", tmp_path / "out")
    written = {path.name for path in result.written}
    failed, left_out = ({path.name: why for path, why in listed} for listed in (result.failed, result.left_out))
    assert {"a-good.png", "z-good.jpg"} <= written == {path.name for path in (tmp_path / "out").iterdir()}
    assert set(left_out) == {"notes.txt", "more"}
    assert {"b-broken.png", "c-empty.jpg", "d-cut.jpg", "clip.mp4", "raw.DNG", "gone.png"} <= set(failed)
    assert sorted([*written, *failed, *left_out]) == sorted(names)  # each once
    assert all(len(why) > 10 and "\n" not in why for why in (failed | left_out).values())


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("the library says no"), UserError("a bad tile", "help")])
def test_a_picture_that_the_model_fails_on_does_not_end_the_folder(tmp_path, error):
    for index in range(3):
        write_image(tmp_path / "in" / f"{index}.png", photo(20 + index, 30))

    def restore(image):
        if image.shape[0] == 21:
            raise error
        return image

    failing = Restorer("failing", "student", Path("failing"), "0", 1, 0.1, 1, None, restore)
    result = deblur(tmp_path / "in", tmp_path / "out", failing, lambda *_: None)
    assert [path.name for path in result.written] == ["0.png", "2.png"]
    ((path, why),) = result.failed
    assert path.name == "1.png" and (str(error).split("\n")[0] or "out of memory") in why


def test_a_full_disk_ends_a_folder_and_lists_the_rest(tmp_path, monkeypatch):
    for index in range(3):
        write_image(tmp_path / "in" / f"{index}.png", photo())
    replace, calls = Path.replace, []

    def full(path, target):
        calls.append(target)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    result, _ = run(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in result.written] == ["0.png"] and len(calls) == 2
    assert [why[:12] for _, why in result.failed] == ["cannot write", "not tried: t"]


def test_a_format_that_is_only_read_is_written_as_jpeg(tmp_path, monkeypatch):
    """As photographs in HEIC, which are read where pillow-heif is installed; here AVIF stands for it."""
    for suffixes in ("SUFFIXES", "READABLE"):
        monkeypatch.setattr(f"edgedeblur.data.images.{suffixes}", (".jpg", ".avif"), raising=False)
    monkeypatch.setattr("edgedeblur.restore.photograph.read_image", lambda path: np.asarray(Image.open(path)))
    for name in ("a.jpg", "a.avif"):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(photo()).save(tmp_path / "in" / name)
    result, _ = run(tmp_path / "in", tmp_path / "out")
    assert result.failed == [] and {path.name for path in (tmp_path / "out").iterdir()} == {"a.jpg", "a.avif.jpg"}
    assert run(tmp_path / "in" / "a.avif", tmp_path / "alone")[0].written == [tmp_path / "alone" / "a.avif.jpg"]


def test_notes_are_grouped_and_the_speed_has_its_units():
    notes = [(Path("a"), "x"), (Path("b"), "y"), (Path("c"), "x"), (Path("d"), "x")]
    assert list(grouped(notes)) == ["a and 2 more: x", "b: y"]
    result = DeblurResult(images=4, pixels=8_000_000, seconds=2.0)
    assert speed_sentence(result, Restorer(*INVERT_FACTS, runs_in="a test")) == (
        "4 images, 8.00 megapixels in 2.0 s: 4.00 megapixels/s, 500 ms per image (reading and writing not counted); "
        "invert in a test"
    )


@pytest.mark.parametrize(("seconds", "said"), [(59, False), (61, True)])
def test_a_long_run_in_torch_ends_with_the_command_that_makes_it_short(tmp_path, seconds, said):
    restorer = open_model(write_quantised(tmp_path / "a.edq"))
    for size in ((8, 16), (16, 24)):
        restorer.run(photo(*size))
    lines = closing_lines(DeblurResult(images=2, pixels=512, seconds=seconds), restorer, DeblurOptions())
    note = (
        "note: most of it ran in pieces of 16x24; compiled, these take a fraction of the time: "
        f"edgedeblur compile {tmp_path / 'a.edq'} --size 16x24"
    )
    assert lines[1:] == [note] * said


def test_images_pixels_and_time_in_the_model_are_counted(tmp_path):
    for index in range(3):
        write_image(tmp_path / "in" / f"{index}.png", photo(20, 30 + index))
    result, _ = run(tmp_path / "in", tmp_path / "out")
    assert (result.images, result.pixels) == (3, 20 * (30 + 31 + 32)) and 0 < result.seconds < 60
