"""Latency, temperature and clock over a sustained run: a PNG beside the report, and a drawing in the HTML page."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur.report.phone_schema import Sustained
from edgedeblur.storage.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LATENCY, _TEMPERATURE, _CLOCK, _THROTTLED = "#4878a8", "#c03030", "#4a8f4a", "#f4c7c7"


def write_sustained_png(sustained: Sustained, budget_ms: float, destination: Path) -> None:
    """Write the plot of a run of at least one sample."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _figure(sustained, budget_ms)
    with atomic_path(destination) as path:
        FigureCanvasAgg(figure)
        figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


def sustained_svg(sustained: Sustained | None, budget_ms: float) -> str | None:
    """An `<svg>` element, None without runs. The same report gives the same text."""
    if sustained is None or not sustained.samples_ms:
        return None
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with matplotlib.rc_context({"svg.hashsalt": "edgedeblur-sustained", "svg.fonttype": "none", "font.size": 9}):
        text = io.StringIO()
        FigureCanvasSVG(_figure(sustained, budget_ms)).print_svg(text, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _figure(sustained: Sustained, budget_ms: float) -> "Figure":
    """Above, runs and the budget, with throttled windows shaded; below, what could be read of temperature and clock."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    latency, heat = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    latency.plot(sustained.at_s, sustained.samples_ms, ".", markersize=2, color=_LATENCY, label="runs", rasterized=True)
    latency.axhline(budget_ms, color=_TEMPERATURE, linewidth=1, label="budget")
    latency.stairs(
        [window.p50_ms for window in sustained.windows],
        [sustained.windows[0].from_s, *(window.to_s for window in sustained.windows)],
        baseline=None,
        color="#222222",
        linewidth=1.5,
        zorder=3,
        label="median",
    )
    for window in sustained.windows:
        if window.throttled:
            for axes in (latency, heat):
                axes.axvspan(window.from_s, window.to_s, color=_THROTTLED, linewidth=0, zorder=0)
    latency.set(ylabel="ms")
    latency.legend(loc="upper left", fontsize=8)
    _draw_heat(heat, sustained)
    return figure


def _draw_heat(heat, sustained: Sustained) -> None:
    times = [reading.at_s for reading in sustained.readings]
    heat.set(xlabel="seconds")
    heat.set_ylabel("hottest CPU sensor, C", color=_TEMPERATURE)
    heat.plot(times, [_or_nan(reading.temperature_c) for reading in sustained.readings], "-", color=_TEMPERATURE)
    clock = heat.twinx()
    clock.plot(times, [_or_nan(reading.clock_mhz) for reading in sustained.readings], "-", color=_CLOCK)
    clock.set_ylabel("mean clock, MHz", color=_CLOCK)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
