"""TOML files read strictly: every key known, present and of its type, or an error that names what is allowed."""

import tomllib
from pathlib import Path

from edgedeblur.errors import UserError


def read_toml(path: Path) -> dict:
    """The file's table.

    Raises:
        UserError: it cannot be read or is not TOML.
    """
    try:
        with open(path, "rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "edgedeblur targets", exit_code=2) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise bad_file(path, f"not TOML: {error}") from None


def check_table(path: Path, prefix: str, table: object, keys: dict, optional: dict | None = None) -> dict:
    """The table, its integers made floats where a float is due.

    Args:
        prefix: where the table stands in the file ("budget."), for messages.
        keys, optional: type by key.

    Raises:
        UserError: not a table; a key is unknown, missing or of the wrong type.
    """
    if not isinstance(table, dict):
        raise bad_file(path, f"{prefix.rstrip('.')} = {table!r} is not a table")
    known = keys | (optional or {})
    for key in table:
        if key not in known:
            raise bad_file(path, f"unknown key {prefix}{key}; allowed are {', '.join(known)}")
    for key in keys:
        if key not in table:
            raise bad_file(path, f"key {prefix}{key} is missing; needed are {', '.join(keys)}")
    return {key: _typed(path, prefix + key, value, known[key]) for key, value in table.items()}


def strings(path: Path, key: str, values: list) -> tuple[str, ...]:
    """The values of a list of strings.

    Raises:
        UserError: one of them is not a string.
    """
    return tuple(_typed(path, f"{key}[{index}]", value, str) for index, value in enumerate(values))


def bad_file(path: Path, message: str) -> UserError:
    """The error for a target file that breaks a rule."""
    return UserError(f"{path}: {message}", "edgedeblur targets shows those that work", exit_code=2)


def _typed(path: Path, key: str, value: object, kind: type) -> object:
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise bad_file(path, f"{key} = {value!r} is a {type(value).__name__}; a {kind.__name__} is needed")
    return value
