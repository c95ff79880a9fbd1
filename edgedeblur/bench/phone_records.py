"""What the device layer read, as the records of the report."""

from collections.abc import Sequence
from dataclasses import replace

from edgedeblur.bench.environment import read_environment, version_of
from edgedeblur.bench.report import Environment
from edgedeblur.bench.report_phone import Device, PhoneBattery, PhoneCore, Zone
from edgedeblur.device.condition import Battery, Condition
from edgedeblur.device.cores import cores_text
from edgedeblur.device.facts import Core, PhoneFacts


def phone_environment(
    facts: PhoneFacts, used: Sequence[int], before: Condition, after: Condition | None, adb: str
) -> Environment:
    """The phone's processor, cores, governor and temperatures; the tools are this machine's."""
    governors = {core.governor for core in facts.cores if core.number in used and core.governor}
    tools = {"adb": adb, "adbutils": version_of("adbutils") or "unknown"}
    return replace(
        read_environment(tools),
        cpu=facts.soc or facts.name,
        cores=len(facts.cores),
        governor=", ".join(sorted(governors)) or None,
        temperature_c_before=before.cpu_c,
        temperature_c_after=after.cpu_c if after is not None else None,
    )


def phone_device(
    facts: PhoneFacts,
    used: Sequence[int],
    before: Condition,
    after: Condition | None,
    output_identical: bool | None,
    partial: str | None,
) -> Device:
    """The report's device block."""
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
        used_cores=cores_text(used),
        thermal_zones=_zones(before.temperatures_c, after.temperatures_c if after is not None else {}),
        battery_before=_battery(before.battery),
        battery_after=_battery(after.battery) if after is not None else None,
        output_identical=output_identical,
        partial=partial,
    )


def cycles_per_ms(cores: Sequence[Core], used: Sequence[int]) -> float | None:
    """Cycles that the used cores have together in a millisecond at their highest clocks; None when one is unknown."""
    clocks = [core.max_mhz for core in cores if core.number in used]
    return sum(clocks) * 1e3 if clocks and all(clocks) else None


def _zones(before: dict[str, float], after: dict[str, float]) -> list[Zone]:
    return [Zone(name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())]


def _battery(battery: Battery | None) -> PhoneBattery | None:
    if battery is None:
        return None
    return PhoneBattery(battery.level, battery.temperature_c, battery.charging, battery.source)
