"""Latency over the runs as an SVG drawing: samples, percentiles, budget."""

import io

from edgedeblur.report.schema import Report


def latency_svg(report: Report) -> str | None:
    """An `<svg>` element, None without percentiles (simulation, too few runs). The same report gives the same text."""
    if report.latency_ms.p50 is None:
        return None
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    samples, latency = report.latency_ms.samples, report.latency_ms
    with matplotlib.rc_context({"svg.hashsalt": "edgedeblur", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(8, 3), layout="constrained")
        over_time, spread = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
        over_time.plot(range(1, len(samples) + 1), samples, ".", markersize=3, color="#4878a8")
        over_time.set(xlabel="run", ylabel="ms")
        spread.hist(samples, bins=min(40, len(samples)), orientation="horizontal", color="#4878a8")
        spread.set(xlabel="runs")
        for axes in (over_time, spread):
            axes.axhline(latency.p50, color="#444444", linewidth=0.8)
            axes.axhline(latency.p90, color="#444444", linewidth=0.8, linestyle="--")
            axes.axhline(report.budget.latency_ms, color="#c03030", linewidth=1)
        over_time.legend(["samples", "p50", "p90", "budget"], loc="upper right", fontsize=8)
        text = io.StringIO()
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
