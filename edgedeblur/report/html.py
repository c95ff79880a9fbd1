"""The report as one HTML page that needs no other file: the plot and the pictures are inside it."""

import base64
from pathlib import Path

from edgedeblur.report.latency_plot import latency_svg
from edgedeblur.report.numbers import number
from edgedeblur.report.phone_tables import MINUTE_HEADINGS, minute_rows, phone_facts
from edgedeblur.report.schema import Report
from edgedeblur.report.sustained_plot import governed_svg, sustained_svg
from edgedeblur.report.verdict import estimate_sentence, sentence
from edgedeblur.storage.files import write_text

_TEMPLATE = Path(__file__).with_name("report.html.j2")


def write_html(
    report: Report, destination: Path, before_after: Path | None = None, sensitivity: Path | None = None
) -> None:
    """Write the page.

    Args:
        report: what to show.
        destination: the HTML file.
        before_after, sensitivity: PNGs to show in it, left out when None: the pictures, and what int8 costs by layer.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["number"] = number
    template = environment.from_string(_TEMPLATE.read_text())
    page = template.render(
        report=report,
        verdict=sentence(report.budget, report.latency_ms, report.memory_mb, report.provenance),
        estimate=report.estimate and estimate_sentence(report.estimate, report.budget.latency_ms),
        plot=latency_svg(report),
        phone=phone_facts(report),
        minute_headings=MINUTE_HEADINGS,
        minute_rows=[] if report.governed is None else minute_rows(report.governed),
        governed_plot=governed_svg(report.governed, report.sustained),
        sustained_plot=sustained_svg(report.sustained, report.budget.latency_ms),
        picture=_base64(before_after),
        sensitivity=_base64(sensitivity),
    )
    write_text(destination, page + "\n")


def _base64(picture: Path | None) -> str | None:
    return None if picture is None else base64.b64encode(picture.read_bytes()).decode()
