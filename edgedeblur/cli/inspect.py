"""`edgedeblur inspect`."""

from dataclasses import asdict
from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import show


@click.command("inspect")
@click.argument("model", type=options.PATH)
@options.json_file
def command(model: Path, json_path: Path | None) -> None:
    """Show what is in a MODEL file or artefact, and the proof that int8 is int8.

    For a quantised network: the types that are in the file, convolution by convolution. For an artefact also the int8
    dot-product instructions counted in the machine code of each kernel.
    """
    from edgedeblur.files import write_json
    from edgedeblur.restore.facts import model_facts
    from edgedeblur.restore.tables import facts_table, layer_facts_table

    facts = model_facts(model)
    if json_path is not None:
        write_json(json_path, asdict(facts))
    show(facts_table(facts), *([layer_facts_table(facts)] if facts.layers else []))
    for line in facts.proof:
        click.echo(line)
