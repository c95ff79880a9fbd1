"""The page of `edgedeblur view`, in a browser: slider, brush, mask; and what `deblur --roi-file` makes of the mask."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import browser, needs_browser, wait
from click.testing import CliRunner
from photographs import photo, profile
from PIL import Image

from edgedeblur.cli.main import cli
from edgedeblur.data.images import read_image, write_image
from edgedeblur.errors import UserError
from edgedeblur.report.view.page import View, write_view
from edgedeblur.restore.open import Restorer
from edgedeblur.workflow.view import view_step

INVERT = Restorer("invert", "student", Path("invert"), "0", 1, 0.1, 16, None, lambda image: 255 - image)
HEIGHT, WIDTH = 150, 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a picture whose name has to be quoted, and its page."""
    made = tmp_path_factory.mktemp("view")
    write_image(made / "it's <b>.png", photo(HEIGHT, WIDTH))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        patch.setattr("edgedeblur.restore.open.open_model", lambda *_, **__: INVERT)
        done = CliRunner().invoke(cli, ["view", "it's <b>.png", "page.html", "--threads", "2", "-m", "net.edq"])
    assert done.exit_code == 0, done.output
    return made


@pytest.fixture(scope="module")
def page(folder):
    with browser(folder) as opened:
        opened.open(folder / "page.html")
        yield opened


def mask_of(page):
    """uint8 [h, w], as the page would save it."""
    values = page.script("return Array.from(mask)")
    return np.array(values, np.uint8).reshape(page.script("return [maskHeight, maskWidth]"))


def on_screen(page, *points):
    """Of points of the picture: where they are in the window."""
    box, zoom = page.script("const b = stage.getBoundingClientRect(); return [[b.left + left, b.top + top_], zoom]")
    return [(box[0] + x * zoom, box[1] + y * zoom) for x, y in points]


def pixel(page, x, y):
    """What the stage shows at a point of the picture."""
    text = """drawNow();
    const [x, y] = [left + arguments[0] * zoom, top_ + arguments[1] * zoom].map((at) => at * devicePixelRatio);
    return Array.from(pen.getImageData(x, y, 1, 1).data)"""
    return np.array(page.script(text, x, y)[:3])


def test_the_page_names_nothing_outside_of_itself(folder):
    text = (folder / "page.html").read_text()
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", re.sub(r"data:image/webp;base64,[\w+/=]+", "", text))
    assert "default-src 'none'" in text and "<b>.png" not in text
    pictures = re.findall(r'src="data:image/webp;base64,', text)
    assert len(pictures) == 3


@needs_browser
def test_brush_to_mask_to_deblur(folder, page):
    page.script("$('none').click(); choose('brush'); set('size', 500); set('soft', 0)")
    radius = page.script("return radius()")
    page.drag(*on_screen(page, (60.5, 75.5), (100.5, 75.5), (140.5, 75.5)))
    mask = mask_of(page)
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    away = np.hypot(xs - np.clip(xs, 60.5, 140.5), ys - 75.5)  # of a segment
    assert (mask[away < radius - 2] == 255).all() and (mask[away > radius + 2] == 0).all()
    page.press("s")
    saved = folder / "it's <b>.mask.png"
    wait(lambda: saved.exists() or next(folder.glob("*.mask.png"), None))
    saved = next(folder.glob("*.mask.png"))
    wait(lambda: saved.stat().st_size > 0)
    np.testing.assert_array_equal(np.asarray(Image.open(saved).convert("L")), mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("edgedeblur.restore.open.open_model", lambda *_, **__: INVERT)
        done = CliRunner().invoke(cli, ["deblur", "it's <b>.png", "out.png", "--roi-file", str(saved)])
    assert done.exit_code == 0, done.output
    before, after = read_image(folder / "it's <b>.png"), read_image(folder / "out.png")
    np.testing.assert_array_equal(after[mask == 0], before[mask == 0])
    np.testing.assert_array_equal(after[mask == 255], 255 - before[mask == 255])


@needs_browser
def test_the_command_on_the_page_is_one_that_deblur_takes(page):
    page.script("set('half', 30)")
    words = page.script("return command()")
    page.script("set('half', 0)")
    assert words == (
        "edgedeblur deblur 'it'\"'\"'s <b>.png' 'it'\"'\"'s <b>-restored.png' -m net.edq --threads 2 "
        "--roi-file 'it'\"'\"'s <b>.mask.png' --half-scale 0.3"
    )


@needs_browser
def test_the_stage_shows_before_left_of_the_slider_and_the_masked_restoration_right_of_it(folder, page):
    before = cv2.blur(read_image(folder / "it's <b>.png"), (3, 3)).astype(int)
    page.script("choose('compare'); $('all').click(); set('split', 500); fit()")
    for x, restored in ((50, False), (150, True)):
        wanted = 255 - before[75, x] if restored else before[75, x]
        assert np.abs(pixel(page, x + 0.5, 75.5) - wanted).max() < 40  # smoothed, and WebP
    page.script("$('none').click()")
    assert np.abs(pixel(page, 150.5, 75.5) - before[75, 150]).max() < 40
    start, end = on_screen(page, (100, 20), (160, 20))
    page.drag(start, end)
    box = page.script("const b = stage.getBoundingClientRect(); return [b.left, b.width]")
    assert page.script("return split") == pytest.approx((end[0] - box[0]) / box[1], abs=0.01)


@needs_browser
def test_everything_works_from_the_keyboard(page):
    page.script("$('none').click(); stage.focus(); set('strength', 100)")
    page.press("b")
    page.script("cursor = {x: 100, y: 75}")
    page.press([" "])
    assert mask_of(page)[75, 100] == 255
    page.press(["\ue014"] * 3)  # right
    assert page.script("return cursor.x") > 102
    page.press("e ")
    assert mask_of(page)[75, 103] == 0
    page.press("zz")
    assert mask_of(page).max() == 0
    page.press(["c", "\ue012"])  # left
    assert page.script("return [tool, split]")[0] == "compare"
    zoom = page.script("return zoom")
    page.press("+")
    assert page.script("return zoom") > zoom
    page.press("0k")
    assert page.script("return [zoom, shown]") == [pytest.approx(zoom), True]
    page.press("k")


@needs_browser
def test_a_stroke_of_half_strength_covers_a_pixel_once(page):
    page.script("$('none').click(); choose('brush'); set('size', 500); set('soft', 50); set('strength', 50)")
    page.drag(*on_screen(page, (60, 75), (140, 75), (60, 75), (140, 75)), kind="touch")
    assert mask_of(page).max() in (127, 128)
    page.script("$('invert').click()")
    assert mask_of(page).min() in (127, 128) and mask_of(page)[0, 0] == 255
    page.script("set('strength', 100)")


@needs_browser
def test_light_dark_and_a_phone(page):
    grounds = {}
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        grounds[scheme] = page.script("return getComputedStyle(document.body).backgroundColor")
    assert grounds["light"] != grounds["dark"]
    page.script("$('theme').click()")
    assert page.script("return getComputedStyle(document.body).backgroundColor") == grounds["light"]
    page.resize(500, 900)
    wait(lambda: page.script("return innerWidth") <= 520)
    wide, shown, canvas, panel = page.script(
        "return [document.documentElement.scrollWidth, innerWidth, stage.clientHeight, "
        "document.querySelector('aside').getBoundingClientRect().top >= stage.getBoundingClientRect().bottom - 1]"
    )
    assert wide <= shown and canvas > 300 and panel
    smallest = page.script(
        "return Math.min(...Array.from(document.querySelectorAll('aside button'), b => b.offsetHeight))"
    )
    assert smallest >= 40  # for fingers
    page.resize(1200, 800)


@needs_browser
def test_the_page_asks_for_nothing_and_complains_of_nothing(page):
    complaints = [each for each in page.complaints() if "willReadFrequently" not in each]  # of `pixel` here
    assert complaints == []
    names = page.script("return performance.getEntriesByType('resource').map(entry => entry.name.slice(0, 5))")
    assert set(names) <= {"data:", "blob:"}


def test_what_cannot_be_a_page_is_refused(tmp_path):
    write_image(tmp_path / "in.png", photo(20, 30))
    with pytest.raises(UserError, match=r"must end in \.html"):
        view_step(tmp_path / "in.png", tmp_path / "page.png", INVERT, ())
    with pytest.raises(UserError, match="is a folder"):
        view_step(tmp_path, tmp_path / "page.html", INVERT, ())
    large = np.broadcast_to(np.zeros(3, np.uint8), (5000, 5000, 3))
    with pytest.raises(UserError, match="5000x5000 pixels; a page takes at most 16,777,216"):
        write_view(View("large", (), "", large, large, large), tmp_path / "page.html")


def test_a_grey_picture_is_shown_without_a_tint_and_a_profile_goes_with_the_colours(tmp_path):
    Image.fromarray(photo(20, 30)).save(tmp_path / "p3.png", icc_profile=profile())
    Image.fromarray(photo(20, 30)[..., 0]).save(tmp_path / "grey.png", icc_profile=profile("grey"))
    tinting = Restorer(*("t", "student", Path("t"), "0", 1, 0.1, 16, None), lambda image: image // [[[1, 2, 3]]])
    for name in ("p3", "grey"):
        view_step(tmp_path / f"{name}.png", tmp_path / f"{name}.html", tinting, ("edgedeblur",))
    pictures = {name: _pictures(tmp_path / f"{name}.html") for name in ("p3", "grey")}
    assert all(image.info.get("icc_profile") == profile() for image in pictures["p3"])
    assert all("icc_profile" not in image.info for image in pictures["grey"])
    full = np.asarray(pictures["grey"][1].convert("RGB")).astype(int)
    assert np.ptp(full, axis=2).max() <= 3


def _pictures(page):
    import base64
    import io

    found = re.findall(r"data:image/webp;base64,([\w+/=]+)", page.read_text())
    return [Image.open(io.BytesIO(base64.b64decode(each))) for each in found]


def test_names_in_the_page_are_text(tmp_path):
    pixels = photo(20, 30)
    name = "</script><script>alert(1)</script>.png"
    write_view(View(name, ("edgedeblur", name), name, pixels, pixels, pixels), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "<script>alert" not in text
    facts = json.loads(re.search(r'id="facts">(.*?)</script>', text)[1])
    assert facts["command"].endswith("'</script><script>alert(1)</script>.png'")
