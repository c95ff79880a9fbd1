"""A phone's file system and Android tools, as far as they are asked: a folder."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TOOLS = {
    "getprop": 'cat "$PHONE/properties"',
    "dumpsys": 'cat "$PHONE/dumpsys-$1" 2>/dev/null || { echo "Can\'t find service: $1" >&2; exit 1; }',
    "df": 'cat "$PHONE/df"',
    "uname": "echo 4.19.113-perf",
    "taskset": "exit 0",  # this machine need not have the phone's cores
}


@dataclass(frozen=True)
class Build:
    """A phone to play. clocks_khz: of every core. free_kb: of its storage."""

    manufacturer: str = "Acme"
    model: str = "Sharp 5"
    soc: str = "SM8250"
    android: str = "13"
    abis: str = "arm64-v8a,armeabi-v7a,armeabi"
    clocks_khz: Sequence[int] = (1_804_800,) * 4 + (2_419_200,) * 3 + (2_841_600,)
    free_kb: int = 64_000
    emulator: bool = False


def make_sandbox(root: Path, build: Build) -> None:
    """Fill an empty folder."""
    _write(root / "properties", _properties(build))
    _write(root / "dumpsys-battery", battery(level=81, tenths=305, status=2, usb=True))
    _write(root / "df", _df(build.free_kb))
    _write(root / "proc" / "meminfo", "MemTotal:        7812345 kB\nMemFree:         1234567 kB\n")
    (root / "proc" / "uptime").symlink_to("/proc/uptime")
    cpu = root / "sys" / "devices" / "system" / "cpu"
    _write(cpu / "online", f"0-{len(build.clocks_khz) - 1}\n")
    for number, khz in enumerate(build.clocks_khz):
        _write(cpu / f"cpu{number}" / "cpufreq" / "cpuinfo_max_freq", f"{khz}\n")
        _write(cpu / f"cpu{number}" / "cpufreq" / "scaling_cur_freq", f"{khz}\n")
        _write(cpu / f"cpu{number}" / "cpufreq" / "scaling_governor", "schedutil\n")
    set_zone(root, 0, "cpu-0-0-usr", "41200")
    set_zone(root, 1, "cpu-1-3-usr", "44500")
    set_zone(root, 2, "battery", "30500")
    (root / "data" / "local" / "tmp").mkdir(parents=True)
    for name, text in TOOLS.items():
        _write(root / "system" / "bin" / name, f"#!/bin/sh\n{text}\n")
        (root / "system" / "bin" / name).chmod(0o755)


def set_zone(root: Path, number: int, name: str, value: str) -> None:
    zone = root / "sys" / "class" / "thermal" / f"thermal_zone{number}"
    _write(zone / "type", f"{name}\n")
    _write(zone / "temp", f"{value}\n")


def set_trip(root: Path, number: int, degrees: float) -> None:
    """From which temperature on the kernel lowers clocks."""
    zone = root / "sys" / "class" / "thermal" / f"thermal_zone{number}"
    _write(zone / "trip_point_0_type", "passive\n")
    _write(zone / "trip_point_0_temp", f"{1000 * degrees:.0f}\n")


def hide_zones(root: Path) -> None:
    """As newer Android does: the zones can no longer be read from a shell."""
    shutil.rmtree(root / "sys" / "class" / "thermal")


def battery(level: int, tenths: int, status: int, usb: bool) -> str:
    """What `dumpsys battery` prints."""
    powered = "true" if usb else "false"
    return (
        "Current Battery Service state:\n"
        f"  AC powered: false\n  USB powered: {powered}\n  Wireless powered: false\n  Max charging current: 500000\n"
        f"  status: {status}\n  health: 2\n  present: true\n  level: {level}\n  scale: 100\n  voltage: 4123\n"
        f"  temperature: {tenths}\n  technology: Li-ion\n"
    )


def _properties(build: Build) -> str:
    values = {
        "ro.product.manufacturer": build.manufacturer,
        "ro.product.model": build.model,
        "ro.soc.manufacturer": "QTI",
        "ro.soc.model": build.soc,
        "ro.board.platform": "kona",
        "ro.build.version.release": build.android,
        "ro.build.version.sdk": "33",
        "ro.build.fingerprint": f"{build.manufacturer}/sharp/sharp:13/TQ3A/1:user/release-keys",
        "ro.product.cpu.abilist": build.abis,
        **({"ro.boot.qemu": "1"} if build.emulator else {}),
    }
    return "".join(f"[{name}]: [{value}]\n" for name, value in values.items())


def _df(free_kb: int) -> str:
    return (
        "Filesystem            1K-blocks     Used Available Use% Mounted on\n"
        f"/dev/block/dm-9       115238952 50000000 {free_kb:9d}  44% /data\n"
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, text)


def replace_text(path: Path, text: str) -> None:
    """Whoever reads meanwhile gets the one text or the other, never an empty file."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.replace(path)
