"""Whether a library for Android asks bionic, Android's C library, only for what it has at the lowest API level."""

import struct
from pathlib import Path

from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_toml

_SYMBOLS = Path(__file__).with_name("bionic_symbols.toml")
_SHT_DYNSYM = 11
_SHN_UNDEF, _STB_WEAK = 0, 2


def check_bionic(library: Path, api: int) -> None:
    """Raises UserError where the library needs symbols that bionic does not export at that API level."""
    missing = missing_symbols(undefined_symbols(library), api)
    if missing:
        raise UserError(
            f"{library.name} would not load on Android API {api}: bionic there has no {', '.join(missing)}",
            "raise android_api in the target's TOML to the level named, or use an NDK r23 or later without extra flags",
        )


def missing_symbols(symbols: list[str], api: int) -> list[str]:
    """Those that bionic does not export at the API level, each with the level that has it, where one is known."""
    table = read_toml(_SYMBOLS, Origin(str(_SYMBOLS)))
    levels = {name: int(key.removeprefix("api_")) for key, names in table.items() for name in names}
    return [
        f"{name} (from API {levels[name]} on)" if name in levels else f"{name} (unknown)"
        for name in symbols
        if levels.get(name, api + 1) > api
    ]


def undefined_symbols(library: Path) -> list[str]:
    """Names that a 64-bit little-endian ELF library takes from others, sorted; weak ones, which may be absent, not.

    By the System V ABI's section headers, which stripping keeps for dynamic symbols.

    Raises:
        UserError: not such a file.
    """
    data = library.read_bytes()
    try:
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError
        sections = _sections(data)
        symbols = next(section for section in sections if section["type"] == _SHT_DYNSYM)
        names = sections[symbols["link"]]["offset"]
        entries = struct.iter_unpack("<IBBHQQ", data[symbols["offset"] : symbols["offset"] + symbols["size"]])
        undefined = [
            data[names + name : data.index(b"\0", names + name)].decode()
            for name, info, _, section, _, _ in entries
            if name and section == _SHN_UNDEF and info >> 4 != _STB_WEAK
        ]
    except (ValueError, IndexError, StopIteration, struct.error):
        raise UserError(f"{library} is not a 64-bit ELF library with dynamic symbols") from None
    return sorted(undefined)


def _sections(data: bytes) -> list[dict[str, int]]:
    (start,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    headers = (struct.unpack_from("<IIQQQQI", data, start + index * size) for index in range(count))
    return [{"type": header[1], "offset": header[4], "size": header[5], "link": header[6]} for header in headers]
