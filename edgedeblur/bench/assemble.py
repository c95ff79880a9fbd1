"""A report from its parts: what the artefact's manifest knows, and what was measured, simulated or estimated of it."""

from datetime import UTC, datetime

from edgedeblur import __version__
from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.report.schema import (
    SCHEMA_VERSION,
    Environment,
    Int8,
    Latency,
    Layer,
    MeasuredTarget,
    Memory,
    Model,
    Peer,
    Provenance,
    Quality,
    Report,
)
from edgedeblur.report.verdict import judge

_MB = 1e6


def make_report(
    artefact: ArtefactInfo,
    provenance: Provenance,
    threads: int,
    latency: Latency,
    memory: Memory,
    environment: Environment,
    quality: Quality,
    layers: list[Layer],
    peers: list[Peer],
    isa: str | None = None,
) -> Report:
    """A report of the artefact as of now, judged against its target's budget.

    isa: whose kernels ran, of an artefact with several; None for the target's own.
    """
    manifest, target = artefact.manifest, artefact.target
    ran = next((one for one in target.kernel_sets if one.isa == isa), target)
    kernels = next((entry for entry in manifest["fallbacks"] if entry["isa"] == isa), manifest)
    return Report(
        schema_version=SCHEMA_VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        edgedeblur_version=__version__,
        model=Model(
            name=artefact.name,
            parameters=manifest["parameters"],
            macs=manifest["macs"],
            input_shape=manifest["input_shape"],
            teacher=manifest["provenance"].get("teacher"),
            recipe=manifest["recipe"],
        ),
        target=MeasuredTarget(target.name, target.triple, ran.cpu, list(ran.features), threads),
        environment=environment,
        provenance=provenance,
        latency_ms=latency,
        memory_mb=memory,
        quality_db=quality,
        int8=Int8(**kernels["int8"]),
        layers=layers,
        peers=peers,
        budget=judge(latency, memory, target.latency_budget_ms, target.memory_budget_mb),
    )


def make_memory(artefact: ArtefactInfo, peak_rss_kb: int | None) -> Memory:
    """What the program used, and what the artefact's plan says."""
    shipped = artefact.library or artefact.bench
    return Memory(
        peak_rss=None if peak_rss_kb is None else peak_rss_kb * 1024 / _MB,
        arena=artefact.manifest["arena_bytes"] / _MB,
        weights=artefact.manifest["weights_bytes"] / _MB,
        artefact=shipped.stat().st_size / _MB,
    )
