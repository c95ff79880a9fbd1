"""An artefact to a report."""

from pathlib import Path

from edgedeblur.artefact.folder import load_artefact
from edgedeblur.bench.measure import BenchOptions, bench
from edgedeblur.bench.quality import compiled_from, recorded_quality
from edgedeblur.progress import Log
from edgedeblur.report.schema import Report, write_report
from edgedeblur.workflow.workdir import WorkDir


def bench_step(artefact: Path, options: BenchOptions, workdir: WorkDir, log: Log) -> Report:
    """Artefact to `report.json`, and the same as `report-<target>.json`, which the next target does not replace.

    Raises:
        UserError: no artefact, nothing that runs it here, or output that is not the interpreter's.
    """
    info = load_artefact(artefact)
    report = bench(info, options, recorded_quality(workdir.evaluation, *compiled_from(info)), log)
    write_report(report, workdir.report, workdir.target_report(info.target.name))
    return report
