"""Training recipes as tables, read and written: the network is one of several, told by its name."""

import dataclasses
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

from edgedeblur.generators.trainable import NAMED_FIELDS, NETWORKS, NetworkConfig, configured, network_name
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.records import Rules, check_choice, read_fields, read_record

T = TypeVar("T")


def read_recipe_table(recipe_type: type[T], table: Any, origin: Origin, key: str = "") -> T:
    """A recipe, or a part of one, from a table; keys that are left out keep their defaults.

    Raises:
        UserError: an unknown key, or a value of the wrong type or size; the message names it.
    """
    return read_record(recipe_type, table, Rules(origin, readers={NetworkConfig: _network}), key)


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


def _network(table: Any, key: str, rules: Rules) -> NetworkConfig:
    """`name`, and the fields of that network."""
    own = table if isinstance(table, dict) else {}
    name = own.get("name", "unet")
    check_choice(f"{key}.name", name, NETWORKS, rules)
    hints = typing.get_type_hints(type(NETWORKS[name]))
    known = {"name": str} | {field: kind for field, kind in hints.items() if field not in NAMED_FIELDS}
    changed = {field: value for field, value in read_fields(known, table, rules, key).items() if field != "name"}
    try:
        return configured(name, changed)
    except ValueError as error:
        raise rules.origin.error(str(error)) from None


def require_choice(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raises ValueError that names the value and what is allowed."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed are {', '.join(allowed)}")
