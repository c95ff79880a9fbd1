"""What was found on a phone, as a report."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.bench.assemble import make_memory, make_report
from edgedeblur.bench.environment import read_environment, version_of
from edgedeblur.bench.gpu import gpu_facts
from edgedeblur.bench.latency import MIN_RUNS, UNKNOWN, summarise
from edgedeblur.device.condition import Battery, Condition
from edgedeblur.device.connect import adb_version
from edgedeblur.device.cores import Placement, cores_text
from edgedeblur.device.errors import ContactLost
from edgedeblur.device.facts import Core, PhoneFacts
from edgedeblur.device.program import RemoteRun
from edgedeblur.report.phone_schema import Device, Governed, PhoneBattery, PhoneCore, Sustained, Zone
from edgedeblur.report.schema import Environment, Latency, Layer, Quality, Report


@dataclass
class Findings:
    """What is known; what comes after the timed runs is filled in step by step.

    before, after: the phone's condition. output_identical: None: not compared.
    """

    facts: PhoneFacts
    placement: Placement
    before: Condition
    timed: RemoteRun
    layers: list[Layer]
    after: Condition | None = None
    output_identical: bool | None = None
    sustained: Sustained | None = None
    governed: Governed | None = None


def phone_report(artefact: ArtefactInfo, findings: Findings, quality: Quality, failure: ContactLost | None) -> Report:
    """The report; of a measurement that was interrupted a partial one, whose verdict is unknown.

    An emulator's is a simulation: no times.
    """
    result = findings.timed.result
    report = make_report(
        artefact,
        "simulated" if findings.facts.is_emulator else "measured",
        findings.placement.threads if result is None or result.gpu is None else result.threads,
        UNKNOWN if findings.facts.is_emulator else _latency(findings.timed),
        make_memory(artefact, None if result is None else result.peak_rss_kb),
        _environment(findings),
        quality,
        findings.layers,
        [],
        isa=None if result is None else result.isa,
    )
    if failure is not None:
        report = replace(report, budget=replace(report.budget, latency="unknown", memory="unknown", verdict="unknown"))
    partial = None if failure is None else failure.message
    gpu = None if result is None else gpu_facts(result)
    runs = {"sustained": findings.sustained, "governed": findings.governed}
    return replace(report, device=_device(findings, partial), gpu=gpu, **runs)


def cycles_per_ms(cores: Sequence[Core], used: Sequence[int]) -> float | None:
    """Cycles that the used cores have together in a millisecond at their highest clocks; None when one is unknown."""
    clocks = [core.max_mhz for core in cores if core.number in used]
    return sum(clocks) * 1e3 if clocks and all(clocks) else None


def _latency(timed: RemoteRun) -> Latency:
    """Percentiles where enough runs were heard of; of fewer, the samples alone."""
    samples = [run.ms for run in timed.runs] if timed.result is None else list(timed.result.samples_ms)
    first, load = (None, None) if timed.result is None else (timed.result.first_ms, timed.result.load_ms)
    if len(samples) < MIN_RUNS:
        return replace(UNKNOWN, first=first, load=load, samples=samples)
    return summarise(samples, first, load)


def _environment(findings: Findings) -> Environment:
    """The phone's processor, cores, governor and temperatures; the tools are this machine's."""
    facts, before, after = findings.facts, findings.before, findings.after
    governors = {core.governor for core in facts.cores if core.number in findings.placement.cores and core.governor}
    tools = {"adb": adb_version(), "adbutils": version_of("adbutils") or "unknown"}
    return replace(
        read_environment(tools),
        cpu=facts.soc or facts.name,
        cores=len(facts.cores),
        governor=", ".join(sorted(governors)) or None,
        temperature_c_before=before.cpu_c,
        temperature_c_after=after.cpu_c if after is not None else None,
    )


def _device(findings: Findings, partial: str | None) -> Device:
    facts, before, after = findings.facts, findings.before, findings.after
    return Device(
        serial=facts.serial,
        manufacturer=facts.manufacturer,
        model=facts.model,
        soc=facts.soc,
        android_version=facts.android,
        sdk=facts.sdk,
        build=facts.build,
        kernel=facts.kernel,
        memory_mb=facts.memory_mb,
        cores=[PhoneCore(core.number, core.max_mhz, core.capacity, core.governor) for core in facts.cores],
        used_cores=cores_text(findings.placement.cores),
        thermal_zones=_zones(before.temperatures_c, after.temperatures_c if after is not None else {}),
        battery_before=_battery(before.battery),
        battery_after=_battery(after.battery) if after is not None else None,
        output_identical=findings.output_identical,
        partial=partial,
    )


def _zones(before: dict[str, float], after: dict[str, float]) -> list[Zone]:
    return [Zone(name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())]


def _battery(battery: Battery | None) -> PhoneBattery | None:
    if battery is None:
        return None
    return PhoneBattery(battery.level, battery.temperature_c, battery.charging, battery.source)
