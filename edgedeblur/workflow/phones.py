"""From an artefact to reports of phones: what `bench --adb` and `bench --devices` call."""

from dataclasses import dataclass, replace
from pathlib import Path

from edgedeblur.artefact.folder import ArtefactInfo, load_artefact
from edgedeblur.bench.measure import BenchOptions
from edgedeblur.bench.phone import PhoneBench, bench_on_phone
from edgedeblur.bench.phone_options import PhoneOptions, load_lighter
from edgedeblur.bench.quality import compiled_from, recorded_quality
from edgedeblur.device.connect import choose_phone, ready_phones
from edgedeblur.device.shell import Phone
from edgedeblur.errors import INTERRUPTED, UserError
from edgedeblur.estimate.latency import estimate, with_error
from edgedeblur.progress import Log, Progress
from edgedeblur.report.schema import Report, write_report
from edgedeblur.report.sustained_plot import write_governed_png, write_sustained_png
from edgedeblur.workflow.workdir import WorkDir


@dataclass(frozen=True)
class PhonesOutcome:
    """reports: of the phones that were measured, each as it was written. failures: a line for each other one."""

    reports: list[Report]
    failures: list[str]

    @property
    def exit_code(self) -> int:
        """3 where a phone misses the budget, else 1 where one could not be measured."""
        if any(report.budget.verdict == "fail" for report in self.reports):
            return 3
        return 1 if self.failures else 0


@dataclass(frozen=True)
class PhoneSettings:
    """How to measure on a phone, and how progress is reported."""

    options: BenchOptions
    phone_options: PhoneOptions
    log: Log
    progress: Progress


def bench_phone_step(artefact: Path, serial: str | None, settings: PhoneSettings, workdir: WorkDir) -> Report:
    """Artefact to `report.json` and `report-<target>.json`, measured on one phone.

    Args:
        serial: None for the only one that is attached.

    Raises:
        UserError: no artefact, no such phone, it does not run the artefact, or the measurement was interrupted; then
            what there is of it is in `partial-report-<target>-<serial>.json`.
    """
    info = _checked(artefact, settings)
    phone = choose_phone(serial)
    report = _bench(info, phone, settings, workdir)
    write_report(report, workdir.report, workdir.target_report(info.target.name))
    return report


def bench_phones_step(artefact: Path, settings: PhoneSettings, workdir: WorkDir) -> PhonesOutcome:
    """Artefact to a `report-<target>-<serial>.json` for every phone that is attached, one after the other.

    `report.json` is that of the slowest, which decides. A phone that fails does not stop the others.

    Raises:
        UserError: no artefact, no phone, or Ctrl-C.
    """
    info = _checked(artefact, settings)
    phones, failures = ready_phones()
    reports = []
    for phone in phones:
        try:
            report = _bench(info, phone, settings, workdir)
        except UserError as error:
            if error.exit_code == INTERRUPTED:
                raise
            failures.append(str(error))
            continue
        write_report(report, workdir.phone_report(info.target.name, phone.serial))
        reports.append(report)
    if reports:
        write_report(max(reports, key=lambda report: report.latency_ms.p90 or 0.0), workdir.report)
    return PhonesOutcome(reports, failures)


def _checked(artefact: Path, settings: PhoneSettings) -> ArtefactInfo:
    """The artefact, once the lighter ones are known to go with it: a wrong file is told before a phone is asked for."""
    info = load_artefact(artefact)
    load_lighter(info, settings.phone_options.lighter)
    return info


def _bench(info: ArtefactInfo, phone: Phone, settings: PhoneSettings, workdir: WorkDir) -> Report:
    quality = recorded_quality(workdir.evaluation, *compiled_from(info))
    estimated = estimate(info, settings.options.threads) if settings.options.estimate else None
    done = bench_on_phone(
        info, phone, settings.options, settings.phone_options, quality, settings.log, settings.progress
    )
    report = _with_plot(done, info, phone, workdir)
    report = replace(report, estimate=estimated and with_error(estimated, report.latency_ms))
    if done.failure is None:
        return report
    partial = workdir.partial_report(info.target.name, phone.serial)
    write_report(report, partial)
    kept = f"{len(report.latency_ms.samples)} timed runs until then are in {partial}, marked as partial"
    raise UserError(f"{done.failure.message}; {kept}", done.failure.fix, done.failure.exit_code)


def _with_plot(done: PhoneBench, info: ArtefactInfo, phone: Phone, workdir: WorkDir) -> Report:
    report, sustained, governed = done.report, done.report.sustained, done.report.governed
    if sustained is None or not sustained.samples_ms:
        return report
    plot = workdir.sustained_plot(info.target.name, phone.serial)
    write_sustained_png(sustained, report.budget.latency_ms, plot)
    if governed is not None and governed.samples_ms:
        both = workdir.governed_plot(info.target.name, phone.serial)
        write_governed_png(governed, sustained, both)
        report = replace(report, governed=replace(governed, plot=both.name))
    return replace(report, sustained=replace(sustained, plot=plot.name))
