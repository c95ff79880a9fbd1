"""What a 64-bit little-endian ELF library says of itself: symbols, segments, relocations, dynamic entries."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgedeblur.errors import UserError

PT_LOAD, PT_TLS = 1, 7
_SHT_RELA, _SHT_DYNAMIC, _SHT_DYNSYM = 4, 6, 11
_DT_NEEDED = 1
_SHN_UNDEF, _STB_WEAK = 0, 2


@dataclass(frozen=True)
class Library:
    """A shared library's facts, each sorted or in the file's order.

    needed: libraries that it asks for. defined, undefined: dynamic symbols that it offers and takes, without weak
    undefined ones, which may be absent. segments: of each program header its type and its alignment in bytes.
    relocations: the types that occur, as the psABI numbers them. dynamic: the tags that occur. sections: bytes by name.
    """

    needed: tuple[str, ...]
    defined: tuple[str, ...]
    undefined: tuple[str, ...]
    segments: tuple[tuple[int, int], ...]
    relocations: tuple[int, ...]
    dynamic: tuple[int, ...]
    sections: dict[str, int]


def read_library(path: Path) -> Library:
    """Reads the headers by the System V ABI; stripping keeps all of these sections.

    Raises:
        UserError: not a 64-bit little-endian ELF file with dynamic symbols.
    """
    data = path.read_bytes()
    try:
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError
        return _read(data)
    except (ValueError, IndexError, StopIteration, struct.error):
        raise UserError(f"{path} is not a 64-bit ELF library with dynamic symbols") from None


@dataclass(frozen=True)
class _Section:
    name: int
    type: int
    offset: int
    size: int
    link: int


def _read(data: bytes) -> Library:
    sections, names = _sections(data)
    symbols = next(section for section in sections if section.type == _SHT_DYNSYM)
    strings = sections[symbols.link].offset
    defined, undefined = [], []
    for name, info, _, section, _, _ in _entries(data, symbols, "<IBBHQQ"):
        if name and section != _SHN_UNDEF:
            defined.append(_string(data, strings + name))
        elif name and info >> 4 != _STB_WEAK:
            undefined.append(_string(data, strings + name))
    dynamic = [entry for part in sections if part.type == _SHT_DYNAMIC for entry in _entries(data, part, "<QQ")]
    relocations = (
        info & 0xFFFFFFFF for part in sections if part.type == _SHT_RELA for _, info, _ in _entries(data, part, "<QQq")
    )
    return Library(
        tuple(_string(data, strings + value) for tag, value in dynamic if tag == _DT_NEEDED),
        tuple(sorted(defined)),
        tuple(sorted(undefined)),
        tuple(_segments(data)),
        tuple(sorted(set(relocations))),
        tuple(sorted({tag for tag, _ in dynamic})),
        {_string(data, names + section.name): section.size for section in sections if section.name},
    )


def _sections(data: bytes) -> tuple[list[_Section], int]:
    """All sections, and where their names begin."""
    (start,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    headers = (struct.unpack_from("<IIQQQQI", data, start + index * size) for index in range(count))
    sections = [_Section(header[0], header[1], header[4], header[5], header[6]) for header in headers]
    return sections, sections[names].offset


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    (start,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    for index in range(count):
        header = struct.unpack_from("<IIQQQQQQ", data, start + index * size)
        yield header[0], header[7]


def _entries(data: bytes, section: _Section, form: str) -> Iterator[tuple[int, ...]]:
    return struct.iter_unpack(form, data[section.offset : section.offset + section.size])


def _string(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()
