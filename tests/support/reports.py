"""A report with made-up numbers, for tests of what reads and shows reports."""

from edgedeblur.bench.latency import UNKNOWN, summarise
from edgedeblur.report import schema as r
from edgedeblur.report.verdict import judge


def example_report(samples=None, peak_mb=80.0, provenance="measured", pairs=4) -> r.Report:
    latency = UNKNOWN if samples is None else summarise(samples, first=40.0, load=2.0)
    memory = r.Memory(peak_rss=peak_mb, arena=5.2, weights=2.9, artefact=3.4)
    known = samples is not None
    return r.Report(
        schema_version=1,
        created="2026-01-02T03:04:05+00:00",
        edgedeblur_version="0.1.0",
        model=r.Model("student-small", 2_900_000, 5_600_000_000, [512, 512, 3], "unet", {"observer": "mse"}),
        target=r.MeasuredTarget("host", "x86_64-linux-gnu", "x86-64-v3", ["+avx2"], 2),
        environment=r.Environment("A <CPU>", 2, None, None, None, {"python": "3.11.7"}),
        provenance=provenance,
        latency_ms=latency,
        memory_mb=memory,
        quality_db=r.Quality(25.5, 27.9, 27.1, 27.0, pairs) if pairs else r.Quality(None, None, None, None, None),
        int8=r.Int8(31, 31, 1234, []),
        layers=[r.Layer("stem", "conv 3x3", 10_000_000, 1.5 if known else None, 0.25 if known else None, None)],
        peers=[r.Peer("onnxruntime", "1.20", "int8", 2, 30.0, 1.2)] if known else [],
        budget=judge(latency, memory, 35.0, 150.0),
    )
