"""Values out of files (metadata, recipes, provenance) as rows of text: no Python or JSON syntax in them."""

from collections.abc import Iterator

Value = object  # what JSON has: None, bool, int, float, str, list, dict


def readable_rows(label: str, value: Value) -> Iterator[tuple[str, str]]:
    """(label, text): one row for a plain value, else a row for each entry, down to dicts without dicts in them."""
    if not isinstance(value, dict):
        yield label, readable(value)
        return
    for key, inner in value.items():
        name = f"{label}: {key}" if label else key
        if isinstance(inner, dict) and any(isinstance(one, dict) for one in inner.values()):
            yield from readable_rows(name, inner)
        else:
            yield name, readable(inner)


def readable(value: Value) -> str:
    """One value in a line: "yes", "1,122,236", "0.0003", "a, b", "observer mse, equalise no"."""
    if value is None:
        return "not recorded"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_inner(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(_inner(inner) for inner in value) or "none"
    return str(value)


def _inner(value: Value) -> str:
    """As part of a longer line: lists in brackets, so that their commas are told from the line's."""
    return f"({readable(value)})" if isinstance(value, (list, tuple, dict)) else readable(value)
