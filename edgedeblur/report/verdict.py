"""The verdict: p90 latency and peak memory against the budget, and bench's exit code."""

from edgedeblur.report.schema import Budget, Estimate, Latency, Memory, Outcome

EXIT_CODES = {"pass": 0, "unknown": 0, "fail": 3}
_NO_TIME = {"simulated": "simulated: no time can be taken", "estimated": "nothing was run"}


def judge(latency: Latency, memory: Memory, budget_ms: float, budget_mb: float) -> Budget:
    """Fail when either fails; else unknown when either is unknown (time under simulation); else pass."""
    in_time = _outcome(latency.p90, budget_ms)
    in_memory = _outcome(memory.peak_rss, budget_mb)
    outcomes = (in_time, in_memory)
    verdict: Outcome = "fail" if "fail" in outcomes else "unknown" if "unknown" in outcomes else "pass"
    return Budget(budget_ms, budget_mb, in_time, in_memory, verdict)


def exit_code(budget: Budget) -> int:
    """3 on fail, else 0: where time cannot be known (simulation), nothing is known to have failed."""
    return EXIT_CODES[budget.verdict]


def sentence(budget: Budget, latency: Latency, memory: Memory, provenance: str) -> str:
    """The verdict in words, with its numbers."""
    time = (
        f"latency unknown ({_NO_TIME.get(provenance, 'too few runs')})"
        if latency.p90 is None
        else f"p90 {latency.p90:.1f} ms of {budget.latency_ms:g} ms"
    )
    peak = "memory unknown" if memory.peak_rss is None else f"peak {memory.peak_rss:.1f} MB of {budget.memory_mb:g} MB"
    return f"verdict: {budget.verdict} ({time}; {peak}; {provenance})"


def estimate_sentence(estimate: Estimate, budget_ms: float) -> str:
    """The estimate in words, with its band; it is no part of the verdict."""
    said = (
        f"estimated, not measured: {estimate.latency_ms:.1f} ms ({estimate.low_ms:.1f} to {estimate.high_ms:.1f}) of "
        f"{budget_ms:g} ms on {estimate.threads} x {estimate.processor}: {estimate.latency}"
    )
    return said if estimate.error is None else f"{said}; {100 * estimate.error:+.1f} % from the measured p50"


def _outcome(value: float | None, limit: float) -> Outcome:
    if value is None:
        return "unknown"
    return "pass" if value <= limit else "fail"
