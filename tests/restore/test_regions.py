"""Regions: outside not a byte changes, inside it is the whole picture's result, and tiles outside are not computed."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from photographs import photo
from PIL import Image

from edgedeblur.cli.main import cli
from edgedeblur.data.images import read_image, write_image
from edgedeblur.errors import UserError
from edgedeblur.restore.deblur import DeblurOptions, deblur, region_sentence
from edgedeblur.restore.half_scale import restore_at_half_scale
from edgedeblur.restore.open import Restorer
from edgedeblur.restore.regions import automatic as automatic_region
from edgedeblur.restore.regions.automatic import automatic, paying_blocks
from edgedeblur.restore.regions.region import mask_file, rectangle
from edgedeblur.restore.tiling import blend, restore_any_size, restore_where

FACTS = ("invert", "student", Path("invert"), "0", 1, 0.1, 16)
INVERT = Restorer(*FACTS, None, lambda image: 255 - image)


def box_filter(image):
    """A network that sees 4 pixels around each."""
    return cv2.blur(image, (9, 9), borderType=cv2.BORDER_REFLECT_101)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_what_is_wanted_is_as_in_the_whole_picture_whatever_the_tiles(height, width, data):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    wanted = np.zeros((height, width), bool)
    for _ in range(data.draw(st.integers(0, 3))):
        y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
        wanted[y : y + data.draw(st.integers(1, 90)), x : x + data.draw(st.integers(1, 90))] = True
    fixed = data.draw(st.sampled_from([None, (64, 96), (128, 128)]))
    part = restore_where(image, wanted, box_filter, 16, fixed)
    whole = restore_any_size(image, box_filter, 16, (height + -height % 16, width + -width % 16))
    margin = 24  # beside the right and lower edge both are reflected, to another multiple of 16
    wanted[max(height - margin, 0) :], wanted[:, max(width - margin, 0) :] = False, False
    assert part.shape == image.shape
    assert np.abs(part[wanted].astype(int) - whole[wanted]).max(initial=0) <= 1  # fading rounds


def test_tiles_without_anything_wanted_are_not_computed():
    computed = []

    def run(tile):
        computed.append(tile.shape[:2])
        return 255 - tile

    image = np.zeros((1000, 1500, 3), np.uint8)
    wanted = np.zeros((1000, 1500), bool)
    restore_where(image, wanted, run, 16)
    assert computed == []
    wanted[500:520, 700:760] = True
    restore_where(image, wanted, run, 16)
    assert computed == [(96, 144)]  # with 32 pixels around it, on the grid of 16
    wanted[10:20, 10:20] = True  # far away from the other
    computed.clear()
    restore_where(image, wanted, run, 16)
    assert sum(height * width for height, width in computed) < 6 * 192 * 192
    computed.clear()
    restore_where(image, wanted, run, 16, (256, 256))
    assert 2 <= len(computed) <= 4 and set(computed) == {(256, 256)}


def test_a_mask_blends_by_its_formula_and_keeps_every_byte_outside():
    rng = np.random.default_rng(1)
    before, after = rng.integers(0, 256, (2, 40, 50, 3), np.uint8)
    mask = rng.integers(0, 256, (40, 50), np.uint8)
    mask[:10], mask[10:20] = 0, 255
    mixed = blend(before, after, mask)
    exact = (before * (255.0 - mask[..., None]) + after * (mask[..., None] / 1.0)) / 255
    assert np.abs(mixed - exact).max() <= 0.5
    np.testing.assert_array_equal(mixed[:10], before[:10])
    np.testing.assert_array_equal(mixed[10:20], after[10:20])


def test_a_rectangle_fades_in_inside_of_itself_and_not_at_the_edges_of_the_picture():
    picture = np.zeros((60, 80, 3), np.uint8)
    mask = rectangle(20, 10, 40, 50).mask_of(picture)
    assert mask[:10].max() == mask[:, :20].max() == mask[:, 60:].max() == 0
    assert (mask[30, 20:28] > 0).all() and list(mask[30, 28:52]) == [255] * 24 and mask[59, 40] == 255
    assert (rectangle(-5, -5, 200, 200).mask_of(picture) == 255).all()
    with pytest.raises(UserError, match="lies outside of the picture, which has 80x60"):
        rectangle(80, 0, 10, 10).mask_of(picture)


def test_a_mask_file_of_any_size_lies_over_the_whole_picture(tmp_path):
    picture = np.zeros((60, 80, 3), np.uint8)
    small = np.zeros((15, 20, 3), np.uint8)
    small[:, 10:] = 255
    write_image(tmp_path / "mask.png", small)
    mask = mask_file(tmp_path / "mask.png").mask_of(picture)
    assert mask.shape == (60, 80) and mask[:, :38].max() == 0 and mask[:, 42:].min() == 255
    picture = np.zeros((600, 800, 3), np.uint8)
    coarse = np.random.default_rng(0).integers(0, 256, (15, 20), np.uint8)
    write_image(tmp_path / "coarse.png", np.repeat(coarse[..., None], 3, axis=2))
    fine = mask_file(tmp_path / "coarse.png").mask_of(picture).astype(int)
    assert np.abs(fine - cv2.resize(coarse.astype(np.float32), (800, 600))).max() < 2.5  # in steps of 1/256
    with pytest.raises(UserError, match=r"of 20x15 pixels does not have the proportions of the picture, 80x30"):
        mask_file(tmp_path / "mask.png").mask_of(np.zeros((30, 80, 3), np.uint8))


def blurred_beside_sharp_and_even():
    """Grey [192, 288]: even, a sharp texture, the same blurred; each third 96 columns wide."""
    coarse = np.random.default_rng(0).integers(0, 256, (48, 24)).astype(np.uint8)
    texture = np.kron(coarse, np.ones((4, 4), np.uint8))
    return np.hstack([np.full((192, 96), 90, np.uint8), texture, cv2.GaussianBlur(texture, (0, 0), 2)])


def test_auto_takes_what_is_blurred_and_has_detail():
    blocks = paying_blocks(blurred_beside_sharp_and_even())
    assert blocks.shape == (6, 9)
    assert not blocks[:, :6].any() and blocks[:, 7:].all()
    picture = np.repeat(blurred_beside_sharp_and_even()[..., None], 3, axis=2)
    mask = automatic(picture[:180, :270])
    assert mask.shape == (180, 270) and mask[:, :160].max() == 0 and mask[:, 240:].min() == 255


def test_auto_takes_faces_that_opencv_finds(monkeypatch):
    monkeypatch.setattr(automatic_region, "find_faces", lambda luminance: [(40, 70, 30, 30)])
    mask = automatic(np.full((192, 288, 3), 90, np.uint8))
    assert mask[80:110, 48:60].min() == 255 and mask[:, 128:].max() == 0 == mask[:32].max()


@pytest.mark.parametrize("options", [["--roi", "8,4,32,32"], ["--roi-file", "mask.png"]])
def test_the_command_changes_nothing_outside_of_the_region(tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edgedeblur.restore.open.open_model", lambda *_, **__: INVERT)
    picture, mask = photo(40, 48), np.zeros((40, 48, 3), np.uint8)
    mask[4:36, 8:40] = 255
    write_image("in.png", picture), write_image("mask.png", mask)
    done = CliRunner().invoke(cli, ["deblur", "in.png", "out.png", *options])
    assert done.exit_code == 0 and "region: 53% of the pixels of 1 images" in done.output
    restored = read_image("out.png")
    np.testing.assert_array_equal(restored[mask == 0], picture[mask == 0])
    np.testing.assert_array_equal(restored[12:28, 16:32], 255 - picture[12:28, 16:32])


@pytest.mark.parametrize(
    ("options", "told"),
    [(["--roi", "1,2,3"], "give x,y,width,height"), (["--roi", "0,0,0,9"], "is not a region")]
    + [(["--roi", "auto", "--roi-file", "m.png"], "contradict each other")],
)
def test_a_region_that_is_none_is_bad_use(tmp_path, options, told):
    write_image(tmp_path / "in.png", photo(40, 48))
    done = CliRunner().invoke(cli, ["deblur", str(tmp_path / "in.png"), *options])
    assert done.exit_code == 2 and told in done.output


def test_how_much_was_marked_is_counted(tmp_path):
    write_image(tmp_path / "in.png", photo(40, 40))
    options = DeblurOptions(region=rectangle(0, 0, 20, 20))
    result = deblur(tmp_path / "in.png", tmp_path / "out.png", INVERT, lambda *_: None, options)
    assert region_sentence(result) == "region: 25% of the pixels of 1 images"


def test_half_the_scale_adds_the_enlarged_change_and_is_blended():
    image = photo(41, 60)
    half = restore_at_half_scale(image, lambda small: np.minimum(small, 225) + np.uint8(30))
    reduced = np.asarray(Image.fromarray(image[:40]).reduce(2)).astype(int)  # Pillow's box filter
    change = np.minimum(reduced, 225) + 30 - reduced
    inner = np.kron(change, np.ones((2, 2, 1)))[4:36, 4:56]
    flat = np.ptp(change, axis=(0, 1)).max() == 0
    assert flat and np.abs(half[4:36, 4:56] - np.minimum(image[4:36, 4:56] + inner, 255)).max() <= 1
    mixed = INVERT.restore_region(image, None, 0.25)
    whole, part = 255 - image, restore_at_half_scale(image, lambda small: 255 - small)
    assert np.abs(mixed - (0.75 * whole + 0.25 * part)).max() <= 0.5


def test_half_the_scale_in_a_region_is_that_of_the_whole_picture():
    image, mask = photo(90, 121), np.zeros((90, 121), np.uint8)
    mask[20:61, 33:80] = 255
    part, whole = (INVERT.restore_region(image, each, 0.4) for each in (mask, None))
    np.testing.assert_array_equal(part[mask == 255], whole[mask == 255])
    np.testing.assert_array_equal(part[mask == 0], image[mask == 0])
