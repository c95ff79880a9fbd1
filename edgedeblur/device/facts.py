"""What a phone is: model, processor, Android, cores and their clocks. Read once, before anything is measured."""

import re
from dataclasses import dataclass

from edgedeblur.device.shell import Phone, run
from edgedeblur.errors import UserError

_CPU = "/sys/devices/system/cpu"
_PER_CORE = ("cpufreq/cpuinfo_max_freq", "cpufreq/scaling_governor", "cpu_capacity")
_PROPERTY = re.compile(r"\[([^\]]+)\]: \[")
_PROPERTY_CHARACTERS = 1000
_MOST_CORES = 1024
_ABIS = {"aarch64": "arm64-v8a", "x86_64": "x86_64"}  # by LLVM's architecture


@dataclass(frozen=True)
class Core:
    """max_mhz: the clock that it may reach. capacity: as the kernel's scheduler sees it; the fastest has 1024."""

    number: int
    max_mhz: float | None
    capacity: int | None
    governor: str | None


@dataclass(frozen=True)
class PhoneFacts:
    """abis: that it runs, best first. cores: those that are on. None and "": the phone does not tell.

    is_emulator: Android's emulator, whose times say nothing about a phone.
    """

    serial: str
    manufacturer: str
    model: str
    soc: str
    android: str
    sdk: int | None
    build: str
    kernel: str
    abis: tuple[str, ...]
    memory_mb: float | None
    cores: tuple[Core, ...]
    is_emulator: bool

    @property
    def name(self) -> str:
        return f"{self.manufacturer} {self.model}".strip() or self.serial


def read_facts(phone: Phone) -> PhoneFacts:
    """Ask the phone.

    Raises:
        UserError: it answers without saying how many cores it has.
        PhoneGone, PhoneSilent.
    """
    properties = parse_properties(run(phone, "getprop").output)
    files = read_files(phone, "/proc/meminfo", f"{_CPU}/online", *(f"{_CPU}/cpu[0-9]*/{name}" for name in _PER_CORE))
    kernel = run(phone, "uname -r").output.strip()
    online = sorted(set(parse_core_list(files.get(f"{_CPU}/online", ""))))
    if not online:
        raise UserError(f"phone {phone.serial} does not say which cores it has ({_CPU}/online)")
    return PhoneFacts(
        serial=phone.serial,
        manufacturer=properties.get("ro.product.manufacturer", ""),
        model=properties.get("ro.product.model", ""),
        soc=_soc(properties),
        android=properties.get("ro.build.version.release", ""),
        sdk=whole_number(properties.get("ro.build.version.sdk")),
        build=properties.get("ro.build.fingerprint", ""),
        kernel=kernel,
        abis=tuple(filter(None, properties.get("ro.product.cpu.abilist", "").split(","))),
        memory_mb=_memory_mb(files.get("/proc/meminfo", "")),
        cores=tuple(_core(files, number) for number in online),
        is_emulator="1" in (properties.get("ro.boot.qemu"), properties.get("ro.kernel.qemu")),
    )


def check_abi(facts: PhoneFacts, architecture: str) -> None:
    """Raises UserError unless the phone runs programs for the architecture ("aarch64", "x86_64")."""
    wanted = _ABIS.get(architecture)
    if wanted not in facts.abis:
        raise UserError(
            f"{facts.name} ({facts.serial}) runs {', '.join(facts.abis) or 'unknown ABIs'}; the artefact is for "
            f"{wanted or architecture}",
            "edgedeblur compile --target android, then edgedeblur bench --target android --adb"
            if _ABIS["aarch64"] in facts.abis
            else "a phone with 64-bit ARM Android is needed",
        )


def read_files(phone: Phone, *patterns: str) -> dict[str, str]:
    """{path: content} of the files that match and can be read; one process on the phone, however many files.

    Args:
        patterns: paths, with wildcards for the phone's shell; not quoted.
    """
    return parse_files(run(phone, f"grep -Hs '' {' '.join(patterns)}").output)


def parse_files(text: str) -> dict[str, str]:
    """What `grep -Hs ''` prints: "path:line" for each line of each file."""
    files: dict[str, list[str]] = {}
    for line in text.splitlines():
        path, colon, content = line.partition(":")
        if colon and path.startswith("/"):
            files.setdefault(path, []).append(content)
    return {path: "\n".join(lines).strip() for path, lines in files.items()}


def parse_properties(text: str) -> dict[str, str]:
    """What `getprop` prints: "[name]: [value]" lines; a value may go on over several. Longer ones are cut."""
    properties = {}
    name, lines = None, []
    for line in text.replace("\r", "").split("\n"):
        if name is None:
            found = _PROPERTY.match(line)
            if found is None:
                continue
            name, lines, line = found[1], [], line[found.end() :]
        lines.append(line.removesuffix("]"))
        if line.endswith("]"):
            properties[name] = "\n".join(lines)[:_PROPERTY_CHARACTERS]
            name = None
    return properties


def _soc(properties: dict[str, str]) -> str:
    maker, model = properties.get("ro.soc.manufacturer", ""), properties.get("ro.soc.model", "")  # Android 12 on
    platform = properties.get("ro.board.platform", "")
    if not model:
        return platform
    return f"{maker} {model}".strip() + (f" ({platform})" if platform and platform != model else "")


def _memory_mb(meminfo: str) -> float | None:
    found = re.search(r"^MemTotal:\s+(\d{1,15}) kB", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else None


def _core(files: dict[str, str], number: int) -> Core:
    max_khz, governor, capacity = (files.get(f"{_CPU}/cpu{number}/{name}") for name in _PER_CORE)
    khz = whole_number(max_khz)
    return Core(number, khz / 1e3 if khz else None, whole_number(capacity), governor)


def whole_number(text: str | None) -> int | None:
    """What a file of the kernel or a property counts; None where it is not there or no number."""
    return int(text) if text is not None and re.fullmatch(r"\s*-?[0-9]{1,15}\s*", text) else None


def decimal_number(text: str) -> float | None:
    """A number such as "-38.25"; None where it is none."""
    return float(text) if re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", text) else None


def parse_core_list(text: str) -> list[int]:
    """The kernel's lists: "0-3,6" to [0, 1, 2, 3, 6]; empty where it is not one."""
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        found = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", part)
        if found is None:
            return []
        numbers += range(int(found[1]), int(found[2] or found[1]) + 1)
        if len(numbers) > _MOST_CORES:
            return []
    return numbers
