"""What tuning found, as tables for a terminal."""

from rich.table import Table

from edgedeblur.tune.network import Comparison
from edgedeblur.tune.tuning import TunedShape, Tuning

_SAID = {
    "tuned": "tuned",
    "default": "rule's: none was faster",
    "before": "tuned before",
    "reverted": "rule's: slower in the network",
    "left": "left: time over",
}


def tuning_table(tuning: Tuning) -> Table:
    """A row per shape: its layers, and a typical time by the rule's and by the tuned schedule."""
    provenance = next((shape.entry.provenance for shape in tuning.shapes if shape.entry), "measured")
    table = Table("layers", "schedule", title=f"schedules by layer shape ({provenance})", title_justify="left")
    for heading in ("tried", "default ms", "tuned ms", "gain"):
        table.add_column(heading, justify="right")
    for shape in tuning.shapes:
        table.add_row(_names(shape), _SAID[shape.status], *_cells(shape))
    return table


def comparison_sentence(comparison: Comparison) -> str:
    """The whole network by both, as one line."""
    gain = 1 - comparison.tuned_ms / comparison.default_ms
    return (
        f"whole network, in turns: {comparison.default_ms:.2f} ms by default, {comparison.tuned_ms:.2f} ms tuned "
        f"({gain:+.1%})"
    )


def _names(shape: TunedShape) -> str:
    first, *others = shape.names
    return f"{first} and {len(others)} more" if others else first


def _cells(shape: TunedShape) -> tuple[str, ...]:
    entry = shape.entry
    if entry is None:
        return "-", "-", "-", "-"
    gain = 1 - entry.tuned_ms / entry.default_ms
    return str(entry.trials), f"{entry.default_ms:.3f}", f"{entry.tuned_ms:.3f}", f"{gain:.1%}"
