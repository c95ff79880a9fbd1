"""Numbers as they are shown: in tables, pages and messages."""


def number(value: float | None, digits: int, unit: str = "") -> str:
    """A number for a cell; an unknown one is a dash."""
    return "-" if value is None else f"{value:,.{digits}f}{unit}"


def milliseconds(value: float | None) -> str:
    """Milliseconds with as many digits as matter against a budget of tens."""
    return number(value, 1 if value is None or value >= 10 else 3)
