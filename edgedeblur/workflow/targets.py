"""The targets that there are, and how their programs run here."""

from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from edgedeblur.artefact.cpu import runs_here
from edgedeblur.artefact.target import Target
from edgedeblur.runtime.program import NoRunner, target_runner


def target_facts(target: Target) -> dict:
    """A target as JSON values, with how it runs here."""
    facts = {**asdict(target), "isas": [one.isa for one in target.kernel_sets]}
    return {name: value for name, value in facts.items() if name != "isa"} | {"runs_here": _where_it_runs(target)}


def targets_table(targets: Sequence[Target]) -> Table:
    """What artefacts can be compiled for."""
    table = Table("target", "what", "kernels", "threads", "cores", "budget", "runs here")
    for target in targets:
        cores = ", ".join(
            f"{core.count}x {core.name}" + (f" {core.ghz:g} GHz" if core.ghz else "") for core in target.clusters
        )
        budget = f"p90 {target.latency_budget_ms:g} ms, {target.memory_budget_mb:g} MB"
        isas = [*([] if target.gpu is None else [f"{target.gpu} (GPU)"]), *(one.isa for one in target.kernel_sets)]
        cells = (target.description, ", ".join(isas), str(target.threads), cores, budget, _where_it_runs(target))
        table.add_row(target.name, *cells)
    return table


def _where_it_runs(target: Target) -> str:
    if any(runs_here(one.isa) for one in target.kernel_sets):
        return "natively"
    try:
        runner = target_runner(target)
    except NoRunner:
        return "no"
    return f"in {runner[0]}" if runner else "no"


def missing_simulators(targets: Sequence[Target]) -> list[str]:
    """A line for each simulator that is not installed: which targets it would run, and the command that installs it."""
    names: dict[str, list[str]] = {}
    for target in targets:
        try:
            target_runner(target)
        except NoRunner as missing:
            if target.runner:
                names.setdefault(str(missing), []).append(target.name)
    return [f"{', '.join(group)}: {missing}" for missing, group in names.items()]
