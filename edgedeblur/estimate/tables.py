"""What was estimated of an artefact as a table for a terminal."""

from collections.abc import Sequence

from rich.table import Table

from edgedeblur.estimate.latency import LoopRow


def loops_table(processor: str, rows: Sequence[LoopRow]) -> Table:
    """The steady inner loop of each kernel, one round."""
    table = Table(
        "layer", "operation", title=f"inner loops, one round by llvm-mca for {processor}", title_justify="left"
    )
    for heading in ("dots", "instructions", "cycles", "MAC/cycle"):
        table.add_column(heading, justify="right")
    for row in rows:
        loop = row.loop
        table.add_row(
            row.layer, row.op, str(loop.dots), str(loop.instructions), f"{loop.cycles:.2f}", f"{loop.mac_per_cycle:.1f}"
        )
    return table
