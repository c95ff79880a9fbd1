"""Recipes as tables: nested TOML or JSON values to frozen dataclasses and back, every key and type checked."""

import dataclasses
import typing
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from edgedeblur.train.networks import NAMED_FIELDS, NETWORKS, NetworkConfig, configured, network_name

T = TypeVar("T")
_LARGEST = 1e30


def from_table(table: dict[str, Any], recipe_type: type[T], where: str = "") -> T:
    """A dataclass from nested tables; ValueError names the key that does not fit."""
    types = typing.get_type_hints(recipe_type)
    _check_keys(table, types, where)
    return recipe_type(**{name: _value(value, types[name], f"{where}{name}") for name, value in table.items()})


def to_table(recipe: Any) -> dict[str, Any]:
    """The recipe as JSON values, for a model card."""
    values = {part.name: _plain(getattr(recipe, part.name)) for part in dataclasses.fields(recipe)}
    if isinstance(recipe, NetworkConfig):
        named = {"name": network_name(recipe)}
        return named | {key: value for key, value in values.items() if key not in NAMED_FIELDS}
    return values


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_table(value)
    return list(value) if isinstance(value, tuple) else value


def _value(value: Any, wanted: Any, where: str) -> Any:
    if wanted == NetworkConfig or dataclasses.is_dataclass(wanted):
        if not isinstance(value, dict):
            raise ValueError(f"{where} must be a table")
        return _network(value) if wanted == NetworkConfig else from_table(value, wanted, f"{where}.")
    if typing.get_origin(wanted) is tuple and isinstance(value, list):
        element = typing.get_args(wanted)[0]
        return tuple(_value(item, element, where) for item in value)
    if wanted is float and type(value) in (int, float):
        if not abs(value) < _LARGEST:  # NaN too
            raise ValueError(f"{where} is {value!r}; it must be a finite number")
        return float(value)
    if type(value) is not wanted:
        raise ValueError(f"{where} is {value!r}; it must be a {getattr(wanted, '__name__', wanted)}")
    return value


def _network(table: dict[str, Any]) -> NetworkConfig:
    """`name`, and the fields of that network; ValueError names what does not fit."""
    name = table.get("name", "unet")
    check_choice("network.name", name, tuple(NETWORKS))
    types = typing.get_type_hints(type(NETWORKS[name]))
    changed = {key: value for key, value in table.items() if key != "name"}
    _check_keys(changed, [key for key in types if key not in NAMED_FIELDS], "network.")
    values = {}
    for key, value in changed.items():
        if typing.get_origin(types[key]) is typing.Literal:
            check_choice(f"network.{key}", value, typing.get_args(types[key]))
            values[key] = value
        else:
            values[key] = _value(value, types[key], f"network.{key}")
    return configured(name, values)


def _check_keys(table: dict[str, Any], known: Iterable[str], where: str) -> None:
    for name in table:
        if name not in known:
            raise ValueError(f"unknown key {where}{name}; there are {', '.join(known)}")


def check_choice(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raises ValueError that names the value and what there is."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; there are {', '.join(allowed)}")
