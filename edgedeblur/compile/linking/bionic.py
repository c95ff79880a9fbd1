"""Bionic, Android's C library, as facts: libraries to link against without an NDK, and whether phones could load a
library that was linked.

bionic_symbols.toml has what it exports, by API level. What is not there is refused, as a phone's loader would.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgedeblur.compile.linking.elf import PT_LOAD, PT_TLS, Library, read_library
from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_toml

SYMBOLS = Path(__file__).with_name("bionic_symbols.toml")
PAGE_BYTES = 16384  # Android 15 has pages of 16 KiB
ELF_TLS_API, _RELR_API = 29, 30
_PLAIN_RELOCATIONS = {257: "ABS64", 1025: "GLOB_DAT", 1026: "JUMP_SLOT", 1027: "RELATIVE"}  # AArch64's psABI
_TLS_RELOCATIONS = {1028: "TLS_DTPMOD", 1029: "TLS_DTPREL", 1030: "TLS_TPREL", 1031: "TLSDESC"}
_DT_RELR = 36


@dataclass(frozen=True)
class Bionic:
    """levels: by symbol, the API level from which on the library named exports it. differs: why a symbol is no good for
    code that was compiled with other headers than bionic's."""

    levels: dict[str, int]
    libraries: dict[str, str]
    differs: dict[str, str]


@cache
def bionic() -> Bionic:
    """What bionic_symbols.toml says."""
    table = read_toml(SYMBOLS, Origin(str(SYMBOLS)))
    differs = table.pop("differs")
    levels, libraries = {}, {}
    for library, by_level in table.items():
        for level, names in by_level.items():
            levels |= dict.fromkeys(names, int(level.removeprefix("api_")))
            libraries |= dict.fromkeys(names, f"{library}.so")
    return Bionic(levels, libraries, differs)


def stub_sources(api: int) -> dict[str, str]:
    """By the name of a library of bionic, assembly that defines what it exports at the API level to code that was
    compiled without bionic's headers. For the linker, which looks at names only."""
    known = bionic()
    sources = dict.fromkeys(sorted(set(known.libraries.values())), "")
    for name, library in sorted(known.libraries.items()):
        if known.levels[name] <= api and name not in known.differs:
            sources[library] += f".globl {name}\n.type {name}, %function\n{name}: .xword 0\n.size {name}, 8\n"
    return sources


def check_bionic(path: Path, api: int, bionics_headers: bool) -> None:
    """Raises UserError where phones at that API level would refuse the library or it would misread bionic's data.

    Args:
        bionics_headers: whether it was compiled with bionic's own headers, which an NDK has.
    """
    library = read_library(path)
    missing = missing_symbols(library.undefined, api)
    faults = [f"bionic there has no {', '.join(missing)}"] if missing else []
    faults += loader_faults(library, api)
    if not bionics_headers:
        faults += [f"{name} needs bionic's headers: {bionic().differs[name]}" for name in differing(library.undefined)]
    if faults:
        raise UserError(
            f"{path.name} would not work on Android API {api}: {'; '.join(faults)}",
            "where an API level is named, raise android_api in the target's TOML to it; a symbol that is unknown here, "
            f"but is in bionic's libc.map.txt, goes into {SYMBOLS.name} with its level",
        )


def missing_symbols(symbols: Sequence[str], api: int) -> list[str]:
    """Those that bionic does not export at the API level, each with the level that has it, where one is known."""
    levels = bionic().levels
    return [
        f"{name} (from API {levels[name]} on)" if name in levels else f"{name} (unknown)"
        for name in symbols
        if levels.get(name, api + 1) > api
    ]


def differing(symbols: Sequence[str]) -> list[str]:
    """Those that only code compiled with bionic's own headers may use."""
    return [name for name in symbols if name in bionic().differs]


def loader_faults(library: Library, api: int) -> list[str]:
    """What the library needs of the loader that Android does not have at the API level, in words."""
    faults = [f"{name} is no library of bionic" for name in library.needed if name not in bionic().libraries.values()]
    later = f"which the loader has from API {ELF_TLS_API} on"
    for number in library.relocations:
        if number in _TLS_RELOCATIONS and api < ELF_TLS_API:
            faults.append(f"it has thread-local relocations ({_TLS_RELOCATIONS[number]}), {later}")
        elif number not in _TLS_RELOCATIONS | _PLAIN_RELOCATIONS:
            faults.append(f"it has relocations of type {number}, which the loader lacks")
    if api < ELF_TLS_API and any(kind == PT_TLS for kind, _ in library.segments):
        faults.append(f"it has a thread-local segment, {later}")
    if api < _RELR_API and _DT_RELR in library.dynamic:
        faults.append(f"it has packed relocations (DT_RELR), which the loader has from API {_RELR_API} on")
    for alignment in sorted({alignment for kind, alignment in library.segments if kind == PT_LOAD}):
        if alignment % PAGE_BYTES:
            faults.append(f"its segments are aligned to {alignment} bytes; phones with 16 KiB pages need {PAGE_BYTES}")
    return faults
