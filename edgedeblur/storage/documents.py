"""JSON and TOML text to plain values, within bounds: depth, length of integers, finite numbers, encodable text."""

import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any

from edgedeblur.storage.contents import Origin, read_contents

MAX_DEPTH = 64  # of lists and tables inside each other
MAX_DIGITS = 100  # of an integer; a seed may be longer than 64 bits
_LARGEST_INT = 10**MAX_DIGITS
_HARMLESS = {float, bool, type(None)}  # of these every value is allowed; text that is no finite float was refused
JSON_LIMIT = 64 << 20  # bytes; the report of a sustained run has tens of thousands of samples
TOML_LIMIT = 4 << 20  # bytes; the largest that ships has 16,000

# tomllib takes time by the square of a dotted key's parts. Every part is matched once, from its own start.
_PART = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MAX_DEPTH}}}")


def read_json(path: Path, origin: Origin, limit: int = JSON_LIMIT) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UserError: it cannot be read, or is not such a file; the message says what is not allowed.
    """
    return parse_json(read_contents(path, limit, origin), origin)


def parse_json(text: str | bytes, origin: Origin) -> dict[str, Any]:
    """The same from text that is there already, or its UTF-8 bytes."""
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(decoded, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise origin.error(f"not valid JSON: {_reason(error)}") from None
    if not isinstance(value, dict):
        raise origin.error("not a JSON object")
    _check(value, origin)
    return value


def read_toml(path: Path, origin: Origin) -> dict[str, Any]:
    """The table in a TOML file.

    Raises:
        UserError: it cannot be read, or is not such a file; the message says what is not allowed.
    """
    try:
        text = read_contents(path, TOML_LIMIT, origin).decode("utf-8")
        if _LONG_KEY.search(text):
            raise ValueError(f"a dotted key has more than {MAX_DEPTH} parts")
        table = tomllib.loads(text, parse_float=_any_float)
    except (ValueError, RecursionError, OverflowError) as error:  # TOML's and Unicode's errors are ValueErrors
        raise origin.error(f"not TOML: {_reason(error)}") from None
    _check(table, origin)
    return table


def shown(value: Any) -> str:
    """A value as a message shows it: one line, at most about 80 characters."""
    if isinstance(value, dict | list | tuple) and len(value) > 8:
        return f"{type(value).__name__} of {len(value):,} values"
    text = repr(value if not isinstance(value, str) else value[:100])
    return text if len(text) <= 80 else f"{text[:76]} ..."


def _check(value: Any, origin: Origin) -> None:
    """Raises UserError for what a file's syntax allows and its readers do not."""
    level, depth = [value], 0
    while level:
        if depth >= MAX_DEPTH and any(type(each) in (dict, list) for each in level):
            raise origin.error(f"lists and tables are nested more than {MAX_DEPTH} deep")
        below: list[Any] = []
        for each in level:
            kind = type(each)
            if kind is dict:
                below.extend(each.keys())
                below.extend(each.values())
            elif kind is list:
                if not set(map(type, each)) <= _HARMLESS:  # long lists of numbers are at once done with
                    below.extend(each)
            elif kind is str:
                _check_text(each, origin)
            elif kind is int and not -_LARGEST_INT < each < _LARGEST_INT:
                raise origin.error(f"an integer has more than {MAX_DIGITS} digits")
        level, depth = below, depth + 1


def _check_text(text: str, origin: Origin) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise origin.error(f"half a surrogate pair in {shown(text)}, which is not a character") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is not a finite number")
    return value


def _any_float(text: str) -> float:
    """TOML has nan and inf; whoever takes a number refuses them with the key's name. 1e999 is neither."""
    value = float(text)
    if math.isinf(value) and "inf" not in text:
        raise ValueError(f"{text[:40]} is beyond the largest number")
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"lists and tables are nested more than {MAX_DEPTH} deep"
    return " ".join(str(error).split())[:200]
