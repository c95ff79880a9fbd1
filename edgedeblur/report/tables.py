"""Reports as tables for a terminal; the numbers come ready from the report."""

from rich.table import Table
from rich.text import Text

from edgedeblur.report.numbers import milliseconds, number
from edgedeblur.report.phone_tables import governed_table, phone_facts
from edgedeblur.report.schema import Estimate, Report

_COLOURS = {"pass": "green", "fail": "red", "unknown": "yellow"}


def report_tables(report: Report) -> list[Table]:
    """Everything that there is to show of a report."""
    tables = [summary_table(report)]
    if any(layer.ms is not None for layer in report.layers):
        tables.insert(0, layers_table(report))
    if report.peers:
        tables.append(peers_table(report))
    if report.governed is not None and report.governed.by_minute:
        tables.insert(-1, governed_table(report.governed))
    if report.estimate is not None:
        tables.append(estimate_table(report.estimate))
    return tables


def summary_table(report: Report) -> Table:
    """One row per fact: network, quality, latency, memory, int8, verdict."""
    table = Table(title=f"{report.model.name} on {report.target.name}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for label, value in _facts(report):
        table.add_row(label, value)
    return table


def layers_table(report: Report) -> Table:
    """Where the time goes, one row per layer, slowest first where times are known, and their sum."""
    table = Table(title="layers", title_justify="left", show_footer=True)
    table.add_column("layer", footer="all")
    table.add_column("operation")
    headings = ("MMAC", "ms", "share", "GMAC/s", "MAC/cycle", "of peak")
    for heading, footer in zip(headings, _layer_sums(report), strict=True):
        table.add_column(heading, justify="right", footer=footer)
    for layer in sorted(report.layers, key=lambda layer: -(layer.ms or 0)):
        rate = layer.macs / layer.ms / 1e6 if layer.ms else None
        table.add_row(
            layer.name,
            layer.op,
            f"{layer.macs / 1e6:,.1f}",
            number(layer.ms, 3),
            number(_percent(layer.share), 1, " %"),
            number(rate, 1),
            number(layer.mac_per_cycle, 1),
            number(_percent(layer.of_peak), 0, " %"),
        )
    return table


def _layer_sums(report: Report) -> tuple[str, ...]:
    """The last row of the layers' table: all layers whose time is known."""
    known = [layer for layer in report.layers if layer.ms]
    if not known:
        return ("-",) * 6
    macs, total = sum(layer.macs for layer in known), sum(layer.ms for layer in known)
    peaks = [layer.macs / layer.ms / layer.of_peak for layer in known if layer.of_peak]
    of_peak = 100 * macs / total / peaks[0] if peaks else None
    rate = macs / total / 1e6
    return f"{macs / 1e6:,.1f}", number(total, 3), "100 %", number(rate, 1), "", number(of_peak, 0, " %")


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def peers_table(report: Report) -> Table:
    """Other runtimes on the same quantised network, same threads, same session."""
    table = Table("runtime", "version", "precision", title="peers (same session)", title_justify="left")
    for heading in ("threads", "p50 ms", "of ours"):
        table.add_column(heading, justify="right")
    for peer in report.peers:
        table.add_row(
            peer.name, peer.version, peer.precision, str(peer.threads), f"{peer.p50_ms:.2f}", f"{peer.ratio:.2f}x"
        )
    return table


def estimate_table(estimate: Estimate) -> Table:
    """Where the time goes by the estimate, in the order of computation: shares of each layer's core cycles."""
    title = f"estimated, not measured: {estimate.simulator} for {estimate.processor}, {estimate.threads} threads"
    table = Table("layer", title=title, title_justify="left")
    parts = ("products", "tiles", "copies", "branches", "memory", "idle")
    for heading in ("ms", "share", "loop MAC/cycle", *(f"{part} %" for part in parts)):
        table.add_column(heading, justify="right")
    for layer in estimate.layers:
        shares = (number(100 * getattr(layer, part), 1) for part in parts)
        cells = (number(layer.ms, 3), number(100 * layer.share, 1, " %"), number(layer.mac_per_cycle, 1))
        table.add_row(layer.name, *cells, *shares)
    return table


def _facts(report: Report) -> list[tuple[str, str | Text]]:
    model, latency, memory = report.model, report.latency_ms, report.memory_mb
    height, width, _ = model.input_shape
    percentiles = " / ".join(milliseconds(value) for value in (latency.p50, latency.p90, latency.p99))
    return [
        ("input", f"{width}x{height} RGB, {report.target.threads} threads"),
        *phone_facts(report),
        *_gpu_facts(report),
        ("parameters", f"{model.parameters:,}"),
        ("GMAC", f"{model.macs / 1e9:.2f}"),
        *_quality_facts(report),
        (f"p50 / p90 / p99 ms ({report.provenance})", percentiles),
        ("first run / load ms", f"{milliseconds(latency.first)} / {milliseconds(latency.load)}"),
        ("peak memory MB", number(memory.peak_rss, 1)),
        ("arena / weights / artefact MB", f"{memory.arena:.1f} / {memory.weights:.1f} / {memory.artefact:.1f}"),
        *([] if report.instructions is None else [("instructions per image", number(report.instructions, 0))]),
        ("int8 convolutions", f"{report.int8.int8_convolutions} of {report.int8.convolutions}"),
        ("int8 dot instructions", number(report.int8.dot_instructions, 0)),
        ("budget", f"p90 {report.budget.latency_ms:g} ms, {report.budget.memory_mb:g} MB"),
        ("verdict", Text(report.budget.verdict, style=f"bold {_COLOURS[report.budget.verdict]}")),
    ]


def _gpu_facts(report: Report) -> list[tuple[str, str]]:
    gpu = report.gpu
    if gpu is None:
        return []
    kind = "GPU" if gpu.is_gpu else "software, no GPU"
    rows = [(kind, f"{gpu.name}, driver {gpu.driver}"), ("device memory MB", number(gpu.memory_mb, 1))]
    return rows if gpu.precision == "int8" else [*rows, ("precision", f"{gpu.precision}, not the interpreter's bytes")]


def _quality_facts(report: Report) -> list[tuple[str, str]]:
    quality = report.quality_db
    if quality.pairs is None:
        return [("PSNR", "not evaluated")]
    rows = [
        ("blurred", quality.blurred),
        ("teacher", quality.teacher),
        ("float student", quality.student_float),
        ("int8 student", quality.student_int8),
    ]
    return [(f"PSNR {label} ({quality.pairs} pairs)", f"{value:.2f} dB") for label, value in rows if value is not None]
