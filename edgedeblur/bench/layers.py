"""Where the time goes: the profile's medians as rows of the report."""

from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.artefact.target import Target
from edgedeblur.report.schema import Layer
from edgedeblur.runtime.program import BenchResult


def layer_rows(artefact: ArtefactInfo, profiled: BenchResult, cycles: float | None) -> list[Layer]:
    """One row per layer in order of computation. share is of the sum of the layers' medians.

    cycles: of the cores used, together in a millisecond; None where a clock is unknown.
    """
    operations = {layer["name"]: layer["op"] for layer in artefact.manifest["layers"]}
    total = sum(layer.ms or 0.0 for layer in profiled.layers)
    peak = (profiled.peak_gmacs or 0.0) * profiled.threads
    return [
        Layer(
            name=layer.name,
            op=operations[layer.name],
            macs=layer.macs,
            ms=layer.ms,
            share=layer.ms / total if layer.ms is not None and total else None,
            mac_per_cycle=layer.macs / (layer.ms * cycles) if layer.ms and cycles else None,
            of_peak=layer.macs / layer.ms / 1e6 / peak if layer.ms and peak else None,
        )
        for layer in profiled.layers
    ]


def unknown_layer_rows(artefact: ArtefactInfo) -> list[Layer]:
    """The layers without times."""
    return [Layer(layer["name"], layer["op"], layer["macs"], None, None, None) for layer in artefact.manifest["layers"]]


def cycles_per_ms(target: Target, threads: int) -> float | None:
    """Cycles that the target's `threads` fastest cores have together in a millisecond; None when a clock is unknown."""
    clocks = [cluster.ghz for cluster in target.clusters for _ in range(cluster.count)]
    used = sorted(clocks, reverse=True)[:threads]
    return sum(used) * 1e6 if used and all(used) else None
