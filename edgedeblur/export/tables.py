"""What the check of an exported file found, for a terminal and as JSON values."""

from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from edgedeblur.export.check import Checked
from edgedeblur.report.numbers import number


def checked_table(checked: Checked) -> Table:
    """One row per runtime."""
    title = f"against the interpreter, {checked.pictures} pictures"
    table = Table("runtime", "version", title=title, title_justify="left")
    for heading in ("bytes that differ", "by at most", "PSNR"):
        table.add_column(heading, justify="right")
    for one in checked.agreements:
        share = number(100 * one.differing, 4, " %")
        close = "equal" if one.psnr_db is None else number(one.psnr_db, 1, " dB")
        table.add_row(one.runtime, one.version, share, str(one.largest), close)
    return table


def saturation_sentence(checked: Checked) -> str | None:
    """Which layers' convolutions leave 8 bits before the residual is added; None where none does, or all bytes are
    equal nevertheless."""
    left = {name: count for name, (count, _) in checked.saturating.items() if count}
    if not left or all(one.psnr_db is None for one in checked.agreements):
        return None
    of = sum(total for _, total in checked.saturating.values())
    layers = ", ".join(f"{name} {count}" for name, count in sorted(left.items(), key=lambda item: -item[1]))
    return (
        f"{sum(left.values()):,} of {of:,} sums leave 8 bits before a residual is added, where a quantised convolution "
        f"of another runtime saturates: {layers}"
    )


def checked_json(destination: Path, checked: Checked | None) -> dict:
    """The same as JSON values; `check` is null where the file was not checked."""
    return {"file": str(destination), "check": None if checked is None else asdict(checked)}
