"""The page of `edgedeblur view --in-page`: it restores its own picture and any other, by WebGPU in software."""

import base64
import io
import re

import cv2
import numpy as np
import pytest
from browser import WEBGPU_FLAGS, browser, needs_browser, wait
from click.testing import CliRunner
from networks import random_network, single_layer_spec
from photographs import photo
from PIL import Image

from edgedeblur.cli.main import cli
from edgedeblur.data.images import write_image
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.edq import save_edq
from edgedeblur.restore.half_scale import restore_at_half_scale
from edgedeblur.restore.open import Restorer, open_model
from edgedeblur.restore.tiling import restore_any_size
from edgedeblur.workflow.view import deblur_command, view_step

TILE = 48, 64  # smaller and larger than the pictures, and than half of them
HEIGHT, WIDTH = 52, 150
pytestmark = needs_browser


@pytest.fixture(scope="module")
def network():
    return random_network(single_layer_spec(fold=4))


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    made = tmp_path_factory.mktemp("in-page")
    save_edq(network, made / "net.edq")
    write_image(made / "a.png", photo(HEIGHT, WIDTH))
    command = deblur_command(made / "a.png", ["-m", "net.edq"])
    view_step(made / "a.png", made / "page.html", open_model(made / "net.edq"), command, TILE)
    return made


@pytest.fixture(scope="module")
def page(folder):
    with browser(folder, WEBGPU_FLAGS) as opened:
        opened.open(folder / "page.html")
        wait(lambda: opened.script("return document.documentElement.dataset.here") == "yes")
        yield opened


def by_tiles(network, image):
    return restore_any_size(image, lambda tile: interpreter.run(network, tile), network.spec.multiple, TILE)


def shown(page, name):
    """uint8 [H, W, 3]: a picture of the page."""
    text = """const { width, height } = pictures[arguments[0]];
    const image = pixelsOf(pictures[arguments[0]], width, height);
    let text = ""; for (const byte of image.data) text += String.fromCharCode(byte);
    return [height, width, btoa(text)]"""
    height, width, pixels = page.script(text, name)
    return np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(height, width, 4)[..., :3]


def test_the_page_restores_the_picture_it_came_with_to_the_interpreters_bytes(network, page):
    image = photo(HEIGHT, WIDTH)
    assert "the GPU's bytes are the integer interpreter's" in page.script("return $('here').textContent")
    np.testing.assert_array_equal(shown(page, "before"), image)
    np.testing.assert_array_equal(shown(page, "full"), by_tiles(network, image))
    half = restore_at_half_scale(image, lambda reduced: by_tiles(network, reduced))
    assert np.abs(shown(page, "half").astype(int) - half).max() <= 1


def test_another_picture_is_restored_painted_and_saved(network, folder, page):
    image = photo(45, 131)[:, ::-1].copy()  # odd sides, one of them shorter than a tile
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    page.script(
        "const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));"
        "const chosen = new DataTransfer(); chosen.items.add(new File([bytes], 'an other.png'));"
        "$('file').files = chosen.files; $('file').dispatchEvent(new Event('change'));",
        base64.b64encode(file.getvalue()).decode(),
    )
    wait(lambda: page.script("return $('title').textContent === 'an other.png' && !$('file').disabled"))
    expected = by_tiles(network, image)
    np.testing.assert_array_equal(shown(page, "full"), expected)
    half = restore_at_half_scale(image, lambda reduced: by_tiles(network, reduced))
    assert np.abs(shown(page, "half").astype(int) - half).max() <= 1
    words = "edgedeblur deblur 'an other.png' 'an other-restored.png' -m net.edq --roi-file 'an other.mask.png'"
    assert page.script("return $('command').textContent") == words
    assert page.script("return [maskWidth, maskHeight]") == [131, 45]
    page.script("mask.fill(0, 0, 131 * 20); showMask(0, 0, maskWidth, maskHeight); $('save-picture').click()")
    wait(lambda: next(folder.glob("an other-restored*.png"), None))
    saved = cv2.imread(str(next(folder.glob("an other-restored*.png"))))[..., ::-1]
    np.testing.assert_array_equal(saved, np.concatenate([image[:20], expected[20:]]))
    assert page.complaints() == []


def test_a_file_that_is_no_picture_and_a_browser_without_webgpu_are_told(folder, page):
    page.script(
        "const chosen = new DataTransfer(); chosen.items.add(new File(['no'], 'no.png'));"
        "$('file').files = chosen.files; $('file').dispatchEvent(new Event('change'));"
    )
    wait(lambda: "not restored in this page" in page.script("return $('here').textContent"))
    text = (folder / "page.html").read_text()
    (folder / "wrong.html").write_text(re.sub(r'"sha256": "..', '"sha256": "zz', text))
    page.open(folder / "wrong.html")
    wait(lambda: page.script("return document.documentElement.dataset.here") == "yes")
    assert "as it was restored before: this GPU's bytes are not" in page.script("return $('here').textContent")
    assert page.script("return $('file').disabled && pictures.full.naturalWidth") == WIDTH


def test_the_option_embeds_the_network_and_is_none_of_deblurs(folder, monkeypatch):
    sizes = []
    monkeypatch.chdir(folder)
    monkeypatch.setattr("edgedeblur.workflow.view._network_for_page", lambda _, size: sizes.append(size) or {})
    done = CliRunner().invoke(cli, ["view", "a.png", "plain.html", "--in-page", "-m", "net.edq"])
    assert done.exit_code == 0, done.output
    assert sizes == [(512, 512)] and "--in-page" not in (folder / "plain.html").read_text()


def test_a_float_model_cannot_restore_in_the_page(folder):
    student = Restorer("s", "student", folder / "s.safetensors", "0", 1, 0.1, 16, None, lambda image: image)
    with pytest.raises(UserError, match=r"a student; a page restores with an int8 network"):
        view_step(folder / "a.png", folder / "b.html", student, (), TILE)
