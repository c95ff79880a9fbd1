"""The one strict reader of records: plain values of JSON or TOML to frozen dataclasses, every key and type checked.

A field's declared type is the rule: bool, int, float, str, dict, list, Literal, another dataclass, `list[T]`,
`tuple[T, ...]`, `tuple[T, T]`, `dict[str, T]`, `T | None`. An integer may stand for a float; true and false are no
numbers; integers have at most 64 bits; floats are finite. Fields without a default must be there. A dataclass that
checks itself in __post_init__ raises ValueError, which becomes the same kind of message.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from typing import Any, Literal, TypeVar

from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import shown

T = TypeVar("T")
Reader = Callable[[Any, str, "Rules"], Any]
LARGEST = 1e30  # of a float: nothing that is measured, trained or configured here comes near
_MAX_INT = 2**63 - 1
_NAMES = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    dict: "a table",
    list: "a list",
}


@dataclass(frozen=True)
class Rules:
    """How records are read.

    origin: the file, for messages. further_keys: keys without a field are ignored instead of refused, at every depth.
    complete: a field's default does not stand in for a missing key. readers: of types that are no dataclasses, such as
    a union told by a name, by type; each takes the value, its key and the rules.
    """

    origin: Origin
    further_keys: bool = False
    complete: bool = False
    readers: Mapping[Any, Reader] = field(default_factory=dict)


def read_record(kind: type[T], values: Any, rules: Rules | Origin, key: str = "") -> T:
    """A dataclass from a table.

    Args:
        key: where the table stands in the file, "" for the whole of it.

    Raises:
        UserError: not a table; an unknown or missing key; a value that is not of its field's type, or that the
            dataclass refuses. The message names file, key, value and what is allowed.
    """
    rules = Rules(rules) if isinstance(rules, Origin) else rules
    found = read_fields(_hints(kind), values, rules, key, _required(kind, rules.complete))
    try:
        return kind(**found)
    except ValueError as error:
        raise rules.origin.error(f"{key}: {error}" if key else str(error)) from None


def read_fields(
    hints: Mapping[str, Any], values: Any, rules: Rules, key: str = "", required: Sequence[str] = ()
) -> dict[str, Any]:
    """The values of a table by key, each of its type.

    Raises:
        UserError: as `read_record`.
    """
    if not isinstance(values, dict):
        raise _wrong(key, values, "a table", rules)
    prefix = f"{key}." if key else ""
    for name in values:
        if name not in hints and not rules.further_keys:
            allowed = ", ".join(hints)
            raise rules.origin.error(f"unknown key {prefix}{str(name)[:80]}; allowed are {allowed}")
    for name in required:
        if name not in values:
            raise rules.origin.error(f"key {prefix}{name} is missing; needed are {', '.join(required)}")
    return {
        name: read_value(hint, values[name], rules, f"{prefix}{name}") for name, hint in hints.items() if name in values
    }


def read_value(kind: Any, value: Any, rules: Rules, key: str) -> Any:
    """One value of a declared type; `key` is where it stands.

    Raises:
        UserError: it is not of that type.
    """
    if kind in rules.readers:
        return rules.readers[kind](value, key, rules)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _optional(inner, value, rules, key)
    if origin is Literal:
        check_choice(key, value, inner, rules)
        return value
    if origin in (list, tuple):
        return _sequence(origin, inner, value, rules, key)
    if origin is dict:
        _plain(dict, value, rules, key)
        return {name: read_value(inner[1], item, rules, f"{key}.{str(name)[:80]}") for name, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return read_record(kind, value, rules, key)
    return _plain(kind, value, rules, key)


def check_choice(key: str, value: Any, allowed: Iterable[Any], rules: Rules | Origin) -> None:
    """Raises UserError that names the value and what is allowed."""
    choices = list(allowed)
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        origin = rules if isinstance(rules, Origin) else rules.origin
        raise origin.error(f"{key} = {shown(value)}; allowed are {', '.join(map(str, choices))}")


def _plain(kind: Any, value: Any, rules: Rules, key: str) -> Any:
    if kind is Any:
        return value
    if kind is float and type(value) is int:
        value = float(value) if abs(value) < LARGEST else LARGEST
    if type(value) is not kind:
        raise _wrong(key, value, _NAMES[kind], rules)
    if kind is int and abs(value) > _MAX_INT:
        raise _wrong(key, value, "an integer of at most 64 bits", rules)
    if kind is float and not abs(value) < LARGEST:  # NaN too
        raise _wrong(key, value, f"a finite number below {LARGEST:g}", rules)
    return value


def _optional(members: tuple[Any, ...], value: Any, rules: Rules, key: str) -> Any:
    if value is None and type(None) in members:
        return None
    (kind,) = (member for member in members if member is not type(None))
    return read_value(kind, value, rules, key)


def _sequence(kind: type, inner: tuple[Any, ...], value: Any, rules: Rules, key: str) -> Any:
    _plain(list, value, rules, key)
    if kind is list or inner[-1] is Ellipsis:
        if (plain := _all_of(inner[0], value)) is not None:
            return kind(plain)
        return kind(read_value(inner[0], item, rules, f"{key}[{index}]") for index, item in enumerate(value))
    if len(value) != len(inner):
        raise _wrong(key, value, f"a list of {len(inner)} values", rules)
    return tuple(
        read_value(each, item, rules, f"{key}[{index}]")
        for index, (each, item) in enumerate(zip(inner, value, strict=True))
    )


def _all_of(kind: Any, values: list) -> list | None:
    """A list of numbers or strings all of which fit, without a look at each one's key; None where it is not that."""
    if kind is float and all(type(each) in (int, float) and abs(each) < LARGEST for each in values):
        return [float(each) for each in values]
    if kind is int and all(type(each) is int and abs(each) <= _MAX_INT for each in values):
        return values
    return values if kind is str and all(type(each) is str for each in values) else None


def _wrong(key: str, value: Any, needed: str, rules: Rules) -> UserError:
    return rules.origin.error(f"{key} = {shown(value)}; {needed} is needed" if key else f"not {needed}")


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {each.name: hints[each.name] for each in dataclasses.fields(kind)}


@functools.cache
def _required(kind: type, complete: bool) -> tuple[str, ...]:
    return tuple(
        each.name
        for each in dataclasses.fields(kind)
        if complete or (each.default is MISSING and each.default_factory is MISSING)
    )
