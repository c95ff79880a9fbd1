"""The page that restores pictures in a browser gives the integer interpreter's bytes, by WebGPU in software."""

import base64
import json
import re

import numpy as np
import pytest
from browser import WEBGPU_FLAGS, browser, needs_browser, wait
from networks import gated_spec, random_network, single_layer_spec

from edgedeblur.errors import UserError
from edgedeblur.export.model import ExportOptions, export_model
from edgedeblur.export.web.page import export_page
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.edq import save_edq

HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope="module")
def network():
    return random_network(gated_spec())


@pytest.fixture(scope="module")
def page(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    export_page(network, path, HEIGHT, WIDTH)
    return path


@pytest.fixture(scope="module")
def opened(page):
    with browser(page.parent, WEBGPU_FLAGS) as session:
        session.open(page)
        yield session


@needs_browser
def test_the_page_proves_itself_and_restores_a_picture_to_the_interpreters_bytes(network, opened):
    assert "bytes equal the integer interpreter's" in opened.script(
        "return document.getElementById('proof').textContent"
    )
    image = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    rgba = np.dstack([image, np.full((HEIGHT, WIDTH), 255, np.uint8)])
    opened.script(
        "const image = Uint8ClampedArray.from(atob(arguments[0]), (c) => c.charCodeAt(0));"
        "started.then((network) => network.restore(image)).then((found) => { window.found = Array.from(found); });",
        base64.b64encode(rgba.tobytes()).decode(),
    )
    wait(lambda: opened.script("return window.found !== undefined"))
    found = np.array(opened.script("return window.found"), np.uint8).reshape(HEIGHT, WIDTH, 4)
    np.testing.assert_array_equal(found[..., :3], interpreter.run(network, image))
    assert (found[..., 3] == 255).all()


@needs_browser
def test_a_chosen_picture_is_shown_before_and_after(opened):
    opened.script(
        "const canvas = Object.assign(document.createElement('canvas'), {width: 200, height: 100});"
        "const brush = canvas.getContext('2d'); brush.fillStyle = 'teal'; brush.fillRect(0, 0, 200, 100);"
        "canvas.toBlob((blob) => started.then((network) => open(network, new File([blob], 'a.png'))));"
    )
    wait(lambda: "ms in this browser" in opened.script("return document.getElementById('time').textContent"))
    for canvas in ("before", "after"):
        corner = opened.script(
            f"return Array.from(document.getElementById('{canvas}').getContext('2d').getImageData(0, 0, 1, 1).data)"
        )
        assert corner[3] == 255, canvas
    opened.script("const s = document.getElementById('slider'); s.value = 20; s.oninput();")
    assert opened.script("return document.getElementById('stage').style.getPropertyValue('--at')") == "20%"
    assert opened.complaints() == []


@needs_browser
def test_wrong_bytes_and_a_browser_without_webgpu_are_told(page, tmp_path):
    text = page.read_text()
    wrong = re.sub(r'"sha256": "..', '"sha256": "zz', text)
    (tmp_path / "wrong.html").write_text(wrong)
    (tmp_path / "none.html").write_text(text.replace("navigator.gpu", "navigator.nothing"))
    with browser(tmp_path, WEBGPU_FLAGS) as session:
        for name, message in (("wrong", "are not the integer interpreter's"), ("none", "this browser has no WebGPU")):
            session.open(tmp_path / f"{name}.html")
            assert message in session.script("return document.getElementById('proof').textContent")
            assert session.script("return document.getElementById('file').disabled")


def test_the_page_is_one_file_that_loads_nothing(page):
    text = page.read_text()
    assert not re.search(r"https?://|src=|href=|@import|fetch\(|XMLHttpRequest", text)
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*)</script>', text)[1])
    assert (data["height"], data["width"]) == (HEIGHT, WIDTH)
    assert all(f"fn {call['kernel']}(" in data["text"] for call in data["calls"])


def test_export_names_the_page_and_refuses_what_is_not_for_it(tmp_path):
    save_edq(random_network(single_layer_spec(1)), tmp_path / "mine.edq")
    with pytest.raises(UserError, match="--check is not for a page"):
        export_model(tmp_path / "mine.edq", None, ExportOptions("web", size=(HEIGHT, WIDTH), check=True), print)
    with pytest.raises(UserError, match="--form is not for a page"):
        export_model(tmp_path / "mine.edq", None, ExportOptions("web", "qdq", (HEIGHT, WIDTH)), print)
    made, checked = export_model(tmp_path / "mine.edq", None, ExportOptions("web", size=(HEIGHT, WIDTH)), print)
    assert made == tmp_path / "mine.html" and checked is None and made.stat().st_size > 10_000
