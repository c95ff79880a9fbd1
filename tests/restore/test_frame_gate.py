"""The frame gate: its blur score is the paper's formula, faults are flagged, and flags decide what is done."""

import json
import os
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.ndimage import uniform_filter1d
from skimage.measure import blur_effect

from edgedeblur.cli.main import cli
from edgedeblur.data.images import read_image, write_image
from edgedeblur.errors import UserError
from edgedeblur.restore.deblur import DeblurOptions, deblur
from edgedeblur.restore.gate.gate import FLAGS, GateLimits, flags_of
from edgedeblur.restore.gate.measures import blur_score, measure
from edgedeblur.restore.open import Restorer

INVERT = Restorer("invert", "student", Path("invert"), "0", 1, 0.1, 16, None, lambda image: 255 - image)
ALL = DeblurOptions(GateLimits())


def scene(seed=0, height=240, width=320):
    """Grey, of many overlapping rectangles and a little noise, softened as a lens does."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width), 128.0)
    for _ in range(60):
        y, x = rng.integers(height), rng.integers(width)
        picture[y : y + rng.integers(10, 90), x : x + rng.integers(10, 90)] = rng.integers(20, 235)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.6) + rng.normal(0, 3, picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def moved(frame, by=3):
    return np.roll(frame, by, axis=1)


def rgb(frame):
    return np.repeat(frame[..., None], 3, axis=2)


def test_the_blur_score_is_the_formula_of_crete_et_al():
    frame = scene()
    scores = []
    for axis in (0, 1):
        values = frame.astype(np.float64)
        blurred = uniform_filter1d(values, 9, axis=axis, mode="reflect")
        here, after = (np.abs(np.diff(each, axis=axis)) for each in (values, blurred))
        scores.append((here.sum() - np.maximum(0, here - after).sum()) / here.sum())
    assert blur_score(frame) == pytest.approx(max(scores), abs=1e-6)


def moving(image, pixels):
    return cv2.blur(image, (pixels, 1))


def out_of_focus(image, pixels):
    return cv2.GaussianBlur(image, (pixels, pixels), 0)


@pytest.mark.parametrize("blur", [moving, out_of_focus])
def test_more_blur_is_a_higher_score_as_scikit_image_orders_it_too(blur):
    frames = [scene(), *(blur(scene(), length) for length in (3, 7, 15, 31))]
    scores = [blur_score(frame) for frame in frames]
    assert scores == sorted(scores) and 0 < scores[0] < 0.3 < scores[-1] < 1
    theirs = [blur_effect(frame) for frame in frames]
    assert np.argsort(theirs).tolist() == np.argsort(scores).tolist()


def flags(frame, before=None):
    return set(flags_of(measure(frame, before), GateLimits()))


def torn(frame):
    return np.vstack([frame[:100], moved(frame, 25)[100:]])


def damaged(frame):
    made = frame.copy()
    made[64:80, 32:288] = 128
    made[160:176, 48:240] = moved(frame, 90)[160:176, 48:240]
    return made


FAULTS = {
    "blank": lambda frame: np.full_like(frame, 16),
    "dark": lambda frame: frame // 12,
    "overexposed": lambda frame: cv2.add(frame, 170),
    "torn": torn,
    "damaged": damaged,
    "cut": lambda frame: scene(9),
    "sharp": lambda frame: frame,
}


@pytest.mark.parametrize("flag", FAULTS)
def test_a_fault_is_flagged_and_a_frame_without_it_is_not(flag):
    frame = scene()
    assert flag in flags(FAULTS[flag](moved(frame)), frame)
    assert flags(moved(frame), frame) == {"sharp"}


def test_a_blurred_frame_has_no_flag_and_the_same_frame_again_is_frozen():
    frame = cv2.blur(scene(), (15, 1))
    assert flags(frame) == set() and flags(frame, frame) == {"frozen"}


def test_a_change_of_exposure_is_no_cut_and_a_black_bar_is_no_tear():
    frame = cv2.blur(scene(), (9, 9))
    barred = np.vstack([np.zeros((30, 320), np.uint8), frame, np.zeros((30, 320), np.uint8)])
    assert flags(cv2.convertScaleAbs(moved(frame), alpha=0.6), frame) == set() == flags(barred)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (9, 33), (64, 17)])
def test_any_size_can_be_measured(size):
    frame = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    for before in (None, frame, np.zeros((5, 5), np.uint8)):
        assert set(flags_of(measure(frame, before), GateLimits())) <= set(FLAGS)


def write_frames(folder):
    """Sharp, blurred, the same again, black; as JPEG and PNG."""
    blurred = cv2.blur(scene(1), (21, 21))
    for index, frame in enumerate((scene(), blurred, blurred, np.zeros_like(blurred))):
        write_image(folder / f"{index}.{'jpg' if index == 0 else 'png'}", rgb(frame))
    return blurred


def test_a_folder_passes_what_needs_no_restoration_and_repeats_what_is_frozen(tmp_path):
    blurred = write_frames(tmp_path / "in")
    result = deblur(tmp_path / "in", tmp_path / "out", INVERT, lambda *_: None, ALL)
    lines = [json.loads(line) for line in (tmp_path / "out" / "gate.jsonl").read_text().splitlines()]
    assert [line["action"] for line in lines] == ["passed", "restored", "repeated", "passed"]
    assert [line["source"] for line in lines] == ["0.jpg", "1.png", "2.png", "3.png"]
    assert [set(line["flags"]) for line in lines] == [{"sharp"}, {"cut"}, {"frozen"}, {"blank", "dark"}]
    assert lines[1]["blur"] == pytest.approx(blur_score(blurred), abs=1e-4) and lines[0]["change"] is None
    for name in ("0.jpg", "3.png"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()
    for name in ("1.png", "2.png"):
        np.testing.assert_array_equal(read_image(tmp_path / "out" / name), 255 - rgb(blurred))
    assert result.images == 1 and result.gate_log == tmp_path / "out" / "gate.jsonl"
    assert result.gate == "gate: 1 restored, 2 passed, 1 repeated (blank 1, dark 1, frozen 1, cut 1, sharp 1)"


def test_a_passed_picture_of_another_format_is_written_unrestored(tmp_path):
    write_image(tmp_path / "in.png", rgb(scene()))
    deblur(tmp_path / "in.png", tmp_path / "out.tif", INVERT, lambda *_: None, ALL)
    np.testing.assert_array_equal(read_image(tmp_path / "out.tif"), rgb(scene()))
    assert len((tmp_path / "out.tif.gate.jsonl").read_text().splitlines()) == 1


def test_a_video_has_a_line_for_each_frame_with_its_time(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "in.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (320, 240))
    frames = [moved(cv2.blur(scene(), (15, 1)), 4 * index) for index in range(6)]
    frames[3] = np.zeros_like(frames[3])
    for frame in frames:
        writer.write(rgb(frame))
    writer.release()
    options = DeblurOptions(GateLimits(), tmp_path / "log.jsonl")
    result = deblur(tmp_path / "in.avi", tmp_path / "out.avi", INVERT, lambda *_: None, options)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["action"] == "passed" for line in lines] == [False] * 3 + [True] + [False] * 2
    assert [line["seconds"] for line in lines] == [round(index / 25, 6) for index in range(6)] and result.images == 5


@pytest.mark.parametrize("link", [None, os.link])
def test_the_log_never_overwrites_the_input_or_the_output(tmp_path, link):
    write_image(tmp_path / "in.png", rgb(scene()))
    log = tmp_path / "in.png"
    if link:
        log = tmp_path / "log"
        link(tmp_path / "in.png", log)
    before = (tmp_path / "in.png").read_bytes()
    with pytest.raises(UserError, match="is the input itself"):
        deblur(tmp_path / "in.png", tmp_path / "out.png", INVERT, lambda *_: None, DeblurOptions(GateLimits(), log))
    assert (tmp_path / "in.png").read_bytes() == before
    with pytest.raises(UserError, match="the gate's log and the output"):
        same = DeblurOptions(GateLimits(), tmp_path / "out.png")
        deblur(tmp_path / "in.png", tmp_path / "out.png", INVERT, lambda *_: None, same)


def test_the_options_of_the_gate_need_it(tmp_path):
    write_image(tmp_path / "in.png", rgb(scene()))
    done = CliRunner().invoke(cli, ["deblur", str(tmp_path / "in.png"), "--gate-blur", "0.4"])
    assert done.exit_code == click.UsageError.exit_code and "give it too" in done.output
