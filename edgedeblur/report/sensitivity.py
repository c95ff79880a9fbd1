"""Which layers int8 costs the most: a table, and bars as a PNG beside the network, which the HTML report shows."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from edgedeblur.quantize.cost.bound import Attempt
from edgedeblur.quantize.cost.sensitivity import PartCost
from edgedeblur.report.numbers import number
from edgedeblur.storage.files import atomic_path

MOST_BARS = 30
_LAYER, _GATE = "#4878a8", "#c07830"


def sensitivity_table(costs: Sequence[PartCost]) -> Table:
    """One row per layer and gate, in the order given."""
    table = Table(title="each layer alone in int8, the dearest first", title_justify="left")
    table.add_column("layer")
    for heading in ("dB lost", "dB to float", "own error, dB", "of which weights", "clamped"):
        table.add_column(heading, justify="right")
    for cost in costs:
        table.add_row(
            cost.name,
            number(cost.lost_db, 4),
            number(cost.to_float_db, 2),
            number(cost.error_db, 1),
            number(None if cost.weights_share is None else 100 * cost.weights_share, 0, " %"),
            number(None if cost.clamped_share is None else 100 * cost.clamped_share, 3, " %"),
        )
    return table


def attempts_table(attempts: Sequence[Attempt]) -> Table:
    """What `quantize --max-drop` tried, in order."""
    table = Table(title="tried, each with all above it", title_justify="left")
    table.add_column("added")
    for heading in ("dB lost", "dB to float", "s"):
        table.add_column(heading, justify="right")
    for attempt in attempts:
        numbers = number(attempt.lost_db, 3), number(attempt.to_float_db, 2), number(attempt.seconds, 0)
        table.add_row(attempt.added, *numbers)
    return table


def write_sensitivity_png(costs: Sequence[PartCost], destination: Path) -> None:
    """Draw the parts in the order given, at most MOST_BARS of them: what each alone costs, and its own error."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = costs[:MOST_BARS]
    names = [cost.name for cost in shown]
    colours = [_GATE if cost.part == "gate" else _LAYER for cost in shown]
    figure = Figure(figsize=(9, 0.8 + 0.2 * len(shown)), layout="constrained")
    cost_axes, error_axes = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    if shown[0].lost_db is not None:
        cost_axes.barh(names, [cost.lost_db for cost in shown], color=colours)
        cost_axes.set(xlabel="dB lost to the sharp pictures, that part alone in int8")
    else:
        cost_axes.plot([cost.to_float_db for cost in shown], names, "o", color=_LAYER)
        cost_axes.set(xlabel="dB to the float output, that part alone in int8")
    error_axes.scatter([cost.error_db for cost in shown], names, color=colours)
    error_axes.set(xlabel="its own signal to noise, dB")
    cost_axes.invert_yaxis()
    for axes in (cost_axes, error_axes):
        axes.tick_params(labelsize=7)
        axes.grid(axis="x", linewidth=0.4)
    FigureCanvasAgg(figure)
    with atomic_path(destination) as path:
        figure.savefig(path, format="png", dpi=120, metadata={"Software": None})
