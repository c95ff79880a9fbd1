"""`edgedeblur doctor`."""

from dataclasses import asdict

import click
from rich.table import Table
from rich.text import Text

from edgedeblur.cli import options
from edgedeblur.cli.output import json_option, show_result
from edgedeblur.workflow.workdir import WorkDir

_COLOURS = {"ok": "green", "missing": "red", "optional": "yellow"}


@click.command("doctor", short_help="Check this machine, and say how to fix it.")
@json_option
@options.workdir
@click.pass_context
def command(context: click.Context, workdir: WorkDir) -> None:
    """Check this machine for what the commands need, and say how to fix what is missing.

    Exits with 1 when something that a command cannot do without is missing.
    """
    from edgedeblur.workflow.doctor import run_checks

    checks = run_checks(workdir.root)
    table = Table("", "what", "found", "fix")
    for check in checks:
        status = Text(check.status, style=_COLOURS[check.status])
        table.add_row(status, check.name, check.found, check.fix or "")
    show_result({"checks": [asdict(check) for check in checks]}, table)
    context.exit(1 if any(check.status == "missing" for check in checks) else 0)
