"""What tuning found, as tables for a terminal."""

from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from edgedeblur.compile.schedules.tuned import TunedLayer
from edgedeblur.tune.tuning import TunedShape, Tuning

_SAID = {
    "tuned": "tuned",
    "default": "default: none was faster",
    "before": "tuned before",
    "reverted": "default: slower in the network",
    "left": "left: time over",
}


def tuning_table(tuning: Tuning) -> Table:
    """A row per shape: its layers, and a typical time with the default and with the tuned schedule."""
    provenance = next((shape.entry.provenance for shape in tuning.shapes if shape.entry), "measured")
    table = Table("layers", "schedule", title=f"schedules by layer shape ({provenance})", title_justify="left")
    for heading in ("tried", "default ms", "tuned ms", "gain"):
        table.add_column(heading, justify="right")
    for shape in tuning.shapes:
        table.add_row(_names(shape), _SAID[shape.status], *_cells(shape))
    return table


def tuning_json(tuning: Tuning, database: Path) -> dict:
    """The outcome as JSON values; `schedule` is null where the default one is kept."""
    shapes = [
        {
            "layers": list(shape.names),
            "status": shape.status,
            **({} if shape.entry is None else _entry_json(shape.entry)),
        }
        for shape in tuning.shapes
    ]
    comparison = tuning.comparison and {
        "default_ms": tuning.comparison.default_ms,
        "tuned_ms": tuning.comparison.tuned_ms,
    }
    return {"database": str(database), "shapes": shapes, "network": comparison}


def _entry_json(entry: TunedLayer) -> dict:
    names = ("provenance", "measured_by", "default_ms", "tuned_ms", "trials")
    schedule = None if entry.schedule is None else asdict(entry.schedule)
    return {"schedule": schedule, **{name: getattr(entry, name) for name in names}}


def comparison_sentence(tuning: Tuning) -> str:
    """The whole network by both in one line, or that there was nothing to compare or no clock to do it with."""
    kept = any(shape.entry is not None and shape.entry.schedule is not None for shape in tuning.shapes)
    comparison = tuning.comparison
    if comparison is None:
        return "whole network: not compared" if kept else "whole network: every layer keeps the default schedule"
    gain = 1 - comparison.tuned_ms / comparison.default_ms
    outcome = "" if kept else "; every layer keeps the default schedule"
    return (
        f"whole network, in turns: {comparison.default_ms:.2f} ms by default, {comparison.tuned_ms:.2f} ms tuned "
        f"({gain:+.1%}){outcome}"
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
