"""Damage to files, drawn from a random generator: bytes, and the values inside PNG, JSON, TOML, zip and safetensors."""

import copy
import io
import json
import struct
import zipfile
from collections.abc import Callable
from random import Random
from zlib import crc32

Mutate = Callable[[Random, bytes], bytes]

_DEEP, _LONG_INT, _HUGE_FLOAT = "@deep@", "@long integer@", "@huge float@"
_HOSTILE_TEXT = {  # what json.dumps cannot write
    json.dumps(_DEEP): "[" * 20_000 + "]" * 20_000,
    json.dumps(_LONG_INT): "9" * 5_000,
    json.dumps(_HUGE_FLOAT): "1e999",
}
_VALUES = (
    *(None, True, False, -1, 0, 1, 7, 255, 2**31, 2**32, 2**63, 10**99, -(10**30), 0.5, -0.0, 1e300, float("nan")),
    *(float("-inf"), "", "x", "image", "../x", "a\0b", "\ud800", "\x1b[31m", "x" * 3_000, [], {}, [[]], [1, "x"]),
    *({"": 0}, {"name": None}, [0] * 300, _DEEP, _LONG_INT, _HUGE_FLOAT),
)
_TOML_VALUES = (
    *("-1", "0", "1", "65536", "99999999999999999999", "9" * 5_000, "1e999", "nan", "-inf", "true", '""', "'x'", "[]"),
    *("{}", "[[]]", "[1, 'x']", "1979-05-27", '"\\u0000"', "[" * 5_000 + "]" * 5_000, "{a=" * 500 + "1" + "}" * 500),
)


def raw(rng: Random, data: bytes) -> bytes:
    """One to four changes of bytes anywhere, more often near either end, where headers and directories are."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = _place(rng, len(changed))
        change = rng.randrange(7)
        if change == 0:
            changed[place : place + 1] = bytes([rng.randrange(256)])
        elif change == 1 and changed:
            changed[place % len(changed)] ^= 1 << rng.randrange(8)
        elif change == 2:
            del changed[place:]
        elif change == 3:
            del changed[place : place + rng.randint(1, 64)]
        elif change == 4:
            changed[place:place] = rng.randbytes(rng.randint(1, 64))
        elif change == 5:
            other = _place(rng, len(changed))
            changed[place : place + 32] = changed[other : other + 32]
        else:
            number = rng.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, rng.randrange(2**32)))
            changed[place : place + 4] = struct.pack(rng.choice("<>") + "I", number)
    return bytes(changed)


def png_chunks(rng: Random, data: bytes) -> bytes:
    """One or two chunks' contents or types, dropped or repeated ones, with lengths and checksums right again."""
    if rng.random() < 0.2:
        return raw(rng, data)
    chunks, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    for _ in range(rng.randint(1, 2)):
        index, change = rng.randrange(len(chunks)), rng.randrange(8)
        kind, content = chunks[index]
        if change == 0 and len(chunks) > 1:
            del chunks[index]
        elif change == 1:
            chunks.insert(rng.randrange(len(chunks)), chunks[index])
        elif change == 2:
            chunks[index] = (rng.choice(chunks)[0], content)
        else:
            chunks[index] = (kind, raw(rng, content))
    parts = [
        struct.pack(">I", len(rest)) + kind + rest + struct.pack(">I", crc32(kind + rest)) for kind, rest in chunks
    ]
    return data[:8] + b"".join(parts)


def json_values(rng: Random, data: bytes) -> bytes:
    """Values, keys and entries of a JSON document; sometimes its bytes."""
    if rng.random() < 0.2:
        return raw(rng, data)
    document = json.loads(data)
    for _ in range(rng.randint(1, 3)):
        document = _changed(rng, document)
    text = json.dumps(document)
    for placeholder, hostile in _HOSTILE_TEXT.items():
        text = text.replace(placeholder, hostile)
    return text.encode()


def json_lines(rng: Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    index = rng.randrange(len(lines))
    lines[index] = json_values(rng, lines[index]) + rng.choice((b"", b"\n"))
    return b"".join(lines)


def toml_lines(rng: Random, data: bytes) -> bytes:
    """Values, keys and lines of a TOML document; sometimes its bytes."""
    if rng.random() < 0.2:
        return raw(rng, data)
    lines = data.decode().splitlines()
    for _ in range(rng.randint(1, 3)):
        index, change = rng.randrange(len(lines)), rng.randrange(6)
        key, equals, _ = lines[index].partition("=")
        if change <= 2 and equals:
            lines[index] = f"{key}= {rng.choice(_TOML_VALUES)}"
        elif change == 3:
            del lines[index]
        elif change == 4:
            lines.insert(rng.randrange(len(lines)), lines[index])
        else:
            added = ("x = 1", "[x]", "[[x]]", "budget = 3", "a." * rng.choice((3, 5_000)) + "a = 1", "\ufeff", "x")
            lines.insert(index, rng.choice(added))
        lines = lines or [""]
    return "\n".join(lines).encode()


def zip_members(rng: Random, data: bytes) -> bytes:
    """A member's content, by what it is, or the list of members, in an archive whose checksums are right again."""
    if rng.random() < 0.35:
        return raw(rng, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    index, change = rng.randrange(len(members)), rng.randrange(8)
    name, content = members[index]
    if change == 0:
        del members[index]
    elif change == 1:
        members.append((rng.choice((name, "../x", "\xff", "x" * 300)), content))
    elif change == 2:
        members[index] = (rng.choice(members)[0], content)
    else:
        members[index] = (name, _member(rng, name, content))
    stream = io.BytesIO()
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, kind)
    return stream.getvalue()


def _member(rng: Random, name: str, content: bytes) -> bytes:
    if name.endswith(".json") and content[:1] in b"{[":
        return json_values(rng, content)
    return raw(rng, content[:128]) + content[128:] if rng.random() < 0.5 else raw(rng, content)


def safetensors(rng: Random, data: bytes) -> bytes:
    """The header's values, the JSON inside its metadata, or bytes."""
    if rng.random() < 0.3:
        return raw(rng, data)
    length = int.from_bytes(data[:8], "little")
    header, tensors = json.loads(data[8 : 8 + length]), data[8 + length :]
    own = header.get("__metadata__", {})
    if own and rng.random() < 0.6:
        key = rng.choice(sorted(own))
        own[key] = json_values(rng, own[key].encode()).decode("utf-8", "surrogateescape")
        text = json.dumps(header).encode()
    else:
        text = json_values(rng, json.dumps(header).encode())
    if rng.random() < 0.2:
        tensors = raw(rng, tensors)
    return struct.pack("<Q", len(text)) + text + tensors


def _place(rng: Random, size: int) -> int:
    near = rng.randrange(3)
    if near == 0:
        return rng.randrange(min(size, 200) + 1)
    return max(0, size - rng.randrange(400)) if near == 1 else rng.randrange(size + 1)


def _changed(rng: Random, document: object) -> object:
    """The document with one change at a random place; a place deep inside is as likely as one at the top."""
    if not isinstance(document, dict | list) or not document or rng.random() < 0.15:
        return copy.deepcopy(rng.choice(_VALUES))
    key = rng.choice(sorted(document)) if isinstance(document, dict) else rng.randrange(len(document))
    change = rng.random()
    if change < 0.08:
        document.pop(key)
    elif change < 0.12 and isinstance(document, dict):
        document[rng.choice(("x", "", "name", "\ud800", "format"))] = document.pop(key)
    elif change < 0.16 and isinstance(document, list):
        document.append(copy.deepcopy(document[key]))
    else:
        document[key] = _changed(rng, document[key])
    return document
