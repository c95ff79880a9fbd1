"""`edgedeblur report`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import json_option, show_result
from edgedeblur.workflow.workdir import WorkDir


@click.command("report", short_help="HTML page from report.json.")
@click.argument("report", type=options.PATH, required=False)
@click.option("-o", "--output", type=options.PATH, help="The page; default: the report's name with .html.")
@json_option
@options.workdir
def command(report: Path | None, output: Path | None, workdir: WorkDir) -> None:
    """Make an HTML page of a REPORT (default: report.json in the work directory), and show its summary.

    The page needs no other file; the before/after picture of the work directory is inside it, and the plot that
    `quantize --sensitivity` left there.
    """
    from edgedeblur.report.html import write_html
    from edgedeblur.report.schema import read_report, report_json
    from edgedeblur.report.tables import summary_table

    source = report or workdir.report
    destination = output or source.with_suffix(".html")
    pictures = [source.parent / path.name for path in (workdir.before_after, workdir.sensitivity)]
    found = read_report(source)
    write_html(found, destination, *(path if path.is_file() else None for path in pictures))
    show_result({"page": str(destination), "report": report_json(found)}, summary_table(found), str(destination))
