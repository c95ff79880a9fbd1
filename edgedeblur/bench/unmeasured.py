"""`bench` of an artefact that nothing here runs: what is known all the same, and what would make the rest known."""

from collections.abc import Callable
from dataclasses import replace

from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.bench.assemble import make_memory, make_report
from edgedeblur.bench.environment import read_environment
from edgedeblur.bench.latency import UNKNOWN
from edgedeblur.bench.layers import unknown_layer_rows
from edgedeblur.errors import UserError
from edgedeblur.estimate.latency import estimate
from edgedeblur.report.schema import Estimate, Quality, Report
from edgedeblur.runtime.program import NoRunner


def unmeasured_report(
    artefact: ArtefactInfo, threads: int | None, quality: Quality, missing: NoRunner, log: Callable[[str], None]
) -> Report:
    """Sizes and int8 from the manifest, and the estimate of the latency where one can be made.

    Args:
        threads: None for the target's number.
        missing: why it cannot run.
    """
    log(f"not running {artefact.path}: {missing.message}")
    if artefact.target.gpu is None:
        estimated, no_estimate = estimate_or_reason(artefact, threads, log)
    else:
        estimated, no_estimate = None, "latency not estimated: there is no model of GPUs"
    parts = (UNKNOWN, make_memory(artefact, None), read_environment(), quality, unknown_layer_rows(artefact), [])
    report = make_report(artefact, "estimated", threads or artefact.target.threads, *parts)
    simulates = "" if artefact.target.gpu else "; bench simulates the processor with it"
    unchecked = f"output not checked, peak memory unknown: {missing.message}{simulates}"
    return replace(
        report, estimate=estimated, unknown=[*filter(None, [_with_command(unchecked, missing.fix), no_estimate])]
    )


def estimate_or_reason(
    artefact: ArtefactInfo, threads: int | None, log: Callable[[str], None]
) -> tuple[Estimate | None, str | None]:
    """The estimate, or why there is none and the command that changes this."""
    try:
        log("estimating the latency from the machine code")
        return estimate(artefact, threads), None
    except UserError as error:
        return None, _with_command(f"latency not estimated: {error.message}", error.fix)


def _with_command(reason: str, command: str | None) -> str:
    return f"{reason}: {command}" if command else reason
