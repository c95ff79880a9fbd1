"""Latency, temperature and clock over a sustained run, and with a governor: PNGs beside the report, and drawings in the
HTML page."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgedeblur.report.phone_schema import Governed, Sustained
from edgedeblur.storage.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LATENCY, _TEMPERATURE, _CLOCK = "#4878a8", "#c03030", "#4a8f4a"
_THROTTLED, _WITHOUT = "#f4c7c7", "#b0b0b0"


def write_sustained_png(sustained: Sustained, budget_ms: float, destination: Path) -> None:
    """Write the plot of a run of at least one sample."""
    _write_png(_figure(sustained, budget_ms), destination)


def sustained_svg(sustained: Sustained | None, budget_ms: float) -> str | None:
    """An `<svg>` element, None without runs. The same report gives the same text."""
    if sustained is None or not sustained.samples_ms:
        return None
    return _svg(lambda: _figure(sustained, budget_ms))


def write_governed_png(governed: Governed, without: Sustained, destination: Path) -> None:
    """Write the plot of two runs of at least one sample each."""
    _write_png(_compared(governed, without), destination)


def governed_svg(governed: Governed | None, without: Sustained | None) -> str | None:
    """As `sustained_svg`, of both runs."""
    if governed is None or without is None or not governed.samples_ms or not without.samples_ms:
        return None
    return _svg(lambda: _compared(governed, without))


def _write_png(figure: "Figure", destination: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with atomic_path(destination) as path:
        FigureCanvasAgg(figure)
        figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


def _svg(draw: Callable[[], "Figure"]) -> str:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with matplotlib.rc_context({"svg.hashsalt": "edgedeblur-sustained", "svg.fonttype": "none", "font.size": 9}):
        text = io.StringIO()
        FigureCanvasSVG(draw()).print_svg(text, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _compared(governed: Governed, without: Sustained) -> "Figure":
    """Above, the runs with and without the governor and the budget; in the middle the levels; below, temperatures."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    latency, level, heat = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 2))
    for run, colour, label in ((without, _WITHOUT, "without"), (governed, _LATENCY, "with the governor")):
        style = {"markersize": 2, "color": colour, "label": label, "rasterized": True}
        latency.plot(run.at_s, run.samples_ms, ".", **style)
        times = [reading.at_s for reading in run.readings]
        heat.plot(times, [_or_nan(reading.temperature_c) for reading in run.readings], "-", color=colour)
    latency.axhline(governed.budget_ms, color=_TEMPERATURE, linewidth=1, label="budget")
    latency.set(ylabel="ms")
    latency.legend(loc="upper left", fontsize=8)
    steps = [(0.0, 0), *((reading.at_s, reading.level) for reading in governed.chosen)]
    level.step(*zip(*steps, strict=True), where="post", color=_LATENCY)
    level.set(ylabel="level", ylim=(len(governed.levels) - 0.5, -0.5))
    heat.set(xlabel="seconds", ylabel="hottest CPU sensor, C")
    return figure


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
