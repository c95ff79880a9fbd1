"""What is shown of a report: terminal tables, the HTML page, the before/after picture."""

import base64
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image
from reports import example_report
from rich.console import Console

from edgedeblur.errors import UserError
from edgedeblur.quantize.cost.sensitivity import PartCost
from edgedeblur.report.before_after import busiest_window, write_before_after
from edgedeblur.report.html import write_html
from edgedeblur.report.sensitivity import sensitivity_table, write_sensitivity_png
from edgedeblur.report.tables import layers_table, peers_table, summary_table

SAMPLES = [30.0 + i / 7 for i in range(60)]


def shown(renderable):
    console = Console(width=140, no_color=True)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_tables_show_the_numbers_of_the_report():
    report = example_report(SAMPLES)
    assert all(text in shown(summary_table(report)) for text in ("2,900,000", "5.60", "27.00 dB", "31 of 31", "fail"))
    assert "6.7" in shown(layers_table(report))  # 10 MMAC in 1.5 ms
    assert "1.20x" in shown(peers_table(report))


def test_unknown_times_are_dashes_never_zeros():
    report = example_report(None)
    assert "- / - / -" in shown(summary_table(report))
    assert "0.000" not in shown(layers_table(report))


@pytest.mark.parametrize("samples", [SAMPLES, None])
def test_the_page_needs_no_other_file_and_escapes_what_it_shows(tmp_path, samples):
    picture = tmp_path / "picture.png"
    write_before_after([("a", np.zeros((8, 8, 3), np.uint8))], picture)
    write_html(example_report(samples), tmp_path / "report.html", picture)
    page = (tmp_path / "report.html").read_text()
    assert "A &lt;CPU&gt;" in page and "None" not in page and "nan" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert base64.b64decode(re.search(r"base64,([^\"]+)", page)[1]) == picture.read_bytes()
    if samples is not None:
        drawing = page[page.index("<svg") : page.index("</svg>") + 6]
        assert ElementTree.fromstring(drawing).tag.endswith("svg")


def test_the_plot_of_the_layers_costs_is_in_the_page_where_it_exists(tmp_path):
    costs = [
        PartCost("enc", "gate", 0.02, 50.0, 30.0, None, None),
        PartCost("<up>", "layer", 0.01, 55.0, 28.0, 0.5, 0.0),
    ]
    assert "enc gate" in shown(sensitivity_table(costs)) and "50 %" in shown(sensitivity_table(costs))
    write_sensitivity_png(costs, tmp_path / "plot.png")
    write_html(example_report(SAMPLES), tmp_path / "report.html", None, tmp_path / "plot.png")
    page = (tmp_path / "report.html").read_text()
    assert base64.b64decode(re.search(r"base64,([^\"]+)", page)[1]) == (tmp_path / "plot.png").read_bytes()
    assert "layer by layer" in page


def test_the_same_report_gives_the_same_page(tmp_path):
    for name in ("a.html", "b.html"):
        write_html(example_report(SAMPLES), tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_the_busiest_window_is_where_the_edges_are():
    image = np.zeros((90, 120, 3), np.uint8)
    image[62:88:2, 5:35] = 255
    top, left, height, width = busiest_window(image)
    assert (height, width) == (30, 40)
    assert 55 <= top <= 60 and left <= 5


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (48, 64), (600, 1000)])
def test_before_and_after_stand_side_by_side_at_any_size(tmp_path, size):
    images = [(label, np.full((*size, 3), value, np.uint8)) for label, value in (("blurred", 10), ("sharp", 200))]
    write_before_after(images, tmp_path / "picture.png")
    picture = np.asarray(Image.open(tmp_path / "picture.png"))
    assert (picture[..., 0] == 10).any() and (picture[..., 0] == 200).any()


def test_images_of_different_sizes_are_refused(tmp_path):
    images = [("a", np.zeros((4, 4, 3), np.uint8)), ("b", np.zeros((4, 5, 3), np.uint8))]
    with pytest.raises(UserError, match="one size"):
        write_before_after(images, tmp_path / "picture.png")
