"""The condition that a phone is in: temperatures, battery, charging. Read before and after a measurement."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgedeblur.device.facts import decimal_number, parse_files, read_files, whole_number
from edgedeblur.device.shell import Phone, run

ZONES = "/sys/class/thermal/thermal_zone*"
THERMAL_SERVICE = "dumpsys thermalservice"
_CPU_ZONES = re.compile(r"cpu|^(big|mid|middle|little)$", re.IGNORECASE)  # Exynos and Tensor name theirs by cluster
_PLAUSIBLE_C = (-40.0, 150.0)
_CHARGING, _FULL = "2", "5"  # BatteryManager.BATTERY_STATUS_*


@dataclass(frozen=True)
class Battery:
    """level: percent. source: "AC", "USB", "wireless", "dock", or None where it runs on the battery."""

    level: float | None
    temperature_c: float | None
    charging: bool
    source: str | None


@dataclass(frozen=True)
class Condition:
    """temperatures_c: by thermal zone; empty where the phone lets nobody read them."""

    temperatures_c: dict[str, float]
    battery: Battery | None

    @property
    def cpu_c(self) -> float | None:
        """The hottest sensor of the processor; of all where none is named so; else the battery's."""
        return hottest_cpu(self.temperatures_c) or (self.battery.temperature_c if self.battery else None)


def read_condition(phone: Phone) -> Condition:
    """Temperatures from the kernel's thermal zones, or, where those cannot be read, from Android's thermal service.

    Raises:
        PhoneGone, PhoneSilent.
    """
    files = read_files(phone, f"{ZONES}/type", f"{ZONES}/temp")
    temperatures = zone_temperatures(files, zone_names(files))
    if not temperatures:
        temperatures = parse_thermal_service(run(phone, THERMAL_SERVICE).output)
    return Condition(temperatures, parse_battery(run(phone, "dumpsys battery").output))


def zone_reader(phone: Phone) -> tuple[str, Callable[[str], dict[str, float]]]:
    """How to read temperatures again and again: a shell command, and what makes {zone: degrees} of its output.

    Raises:
        PhoneGone, PhoneSilent.
    """
    files = read_files(phone, f"{ZONES}/type", f"{ZONES}/temp")
    names = zone_names(files)
    if zone_temperatures(files, names):
        return f"grep -Hs '' {ZONES}/temp", lambda text: zone_temperatures(parse_files(text), names)
    return THERMAL_SERVICE, parse_thermal_service


def zone_names(files: Mapping[str, str]) -> dict[str, str]:
    """{folder of a zone: its type}, a type that several zones have with the folder's number."""
    types = {path.rpartition("/")[0]: text[:64] for path, text in files.items() if path.endswith("/type")}
    kinds = list(types.values())
    return {
        zone: kind if kinds.count(kind) == 1 else f"{kind}.{zone.rpartition('thermal_zone')[2]}"
        for zone, kind in types.items()
    }


def zone_temperatures(files: Mapping[str, str], names: Mapping[str, str]) -> dict[str, float]:
    """{zone's name: degrees Celsius}, sorted; sensors that are off or broken are left out."""
    found = {}
    for path, text in files.items():
        zone, _, file = path.rpartition("/")
        degrees = _degrees(text) if file == "temp" else None
        if degrees is not None:
            found[names.get(zone, zone.rpartition("/")[2])] = degrees
    return dict(sorted(found.items()))


def hottest_cpu(temperatures_c: Mapping[str, float]) -> float | None:
    """The hottest sensor of the processor; of all where none is named so; None where there are none."""
    of_cpu = [degrees for name, degrees in temperatures_c.items() if _CPU_ZONES.search(name)]
    return max(of_cpu or temperatures_c.values(), default=None)


def parse_thermal_service(text: str) -> dict[str, float]:
    """Current temperatures in what `dumpsys thermalservice` prints (Android 10 on)."""
    current = text.partition("Current temperatures from HAL:")[2].partition("Current cooling devices")[0]
    found = re.findall(r"mValue=(-?[\d.]{1,20}), mType=-?\d{1,9}, mName=([^,}]{1,64})", current)
    readings = ((name, decimal_number(value)) for value, name in sorted(found, key=lambda pair: pair[1]))
    return {name: degrees for name, degrees in readings if degrees is not None and _is_plausible(degrees)}


def parse_battery(text: str) -> Battery | None:
    """What `dumpsys battery` prints; None where there is no battery service. A field may be empty ("technology:")."""
    lines = (line.partition(":") for line in text.splitlines())
    fields = {name.strip(): value.strip() for name, colon, value in lines if colon}
    if "status" not in fields:
        return None
    level, scale, tenths = (whole_number(fields.get(key)) for key in ("level", "scale", "temperature"))
    sources = ("AC", "USB", "Wireless", "Dock")
    source = next((name for name in sources if fields.get(f"{name} powered") == "true"), None)
    percent = None if level is None else 100 * level / (scale or 100)
    degrees = None if tenths is None else tenths / 10
    return Battery(
        level=percent if percent is not None and 0 <= percent <= 100 else None,
        temperature_c=degrees if degrees is not None and _is_plausible(degrees) else None,
        charging=fields["status"] == _CHARGING or (fields["status"] == _FULL and source is not None),
        source=source if source in (None, "AC", "USB") else source.lower(),
    )


def _degrees(text: str) -> float | None:
    """Zones count in thousandths of a degree; a few in tenths or whole degrees."""
    value = whole_number(text)
    if value is None:
        return None
    degrees = value / 1000 if abs(value) >= 1000 else value / 10 if abs(value) >= 200 else float(value)
    return degrees if _is_plausible(degrees) and value != 0 else None


def _is_plausible(degrees: float) -> bool:
    return _PLAUSIBLE_C[0] <= degrees <= _PLAUSIBLE_C[1]
