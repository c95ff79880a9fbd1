"""`edgedeblur inspect`."""

from dataclasses import asdict
from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import show, tell
from edgedeblur.workdir import WorkDir


@click.command("inspect", short_help="What is in a model, and the proof that int8 is int8.")
@click.argument("model", type=options.PATH, required=False)
@click.option("--loops", is_flag=True, help="Of an artefact: cycles of each kernel's inner loop by llvm-mca.")
@options.teacher_options
@options.json_file
@options.workdir
def command(model: Path | None, loops: bool, teacher_options: dict, json_path: Path | None, workdir: WorkDir) -> None:
    """Show what is in a MODEL file or artefact, and the proof that int8 is int8.

    Default: the work directory's artefact, else its quantised network, else its student.

    For a teacher: which generator it is, what was told from the file, parameters, multiply-accumulates, and what it
    expects of its input. A file that is no known generator gets a table of what was looked for and what was found.

    For a quantised network: the types that are in the file, convolution by convolution. For an artefact also the int8
    dot-product instructions counted in the machine code of each kernel; with --loops only what a round of each inner
    loop takes on the target's cores.
    """
    from edgedeblur.bench.estimate import artefact_loops
    from edgedeblur.bench.tables import loops_table
    from edgedeblur.compile.artefact import load_artefact
    from edgedeblur.files import write_json
    from edgedeblur.restore.choose import default_model
    from edgedeblur.restore.facts import model_facts
    from edgedeblur.restore.tables import facts_table, layer_facts_table

    path = model or default_model(workdir)
    if loops:
        show(loops_table(*artefact_loops(load_artefact(path))))
        return
    facts = model_facts(path, **teacher_options)
    if json_path is not None:
        write_json(json_path, asdict(facts))
    show(facts_table(facts), *([layer_facts_table(facts)] if facts.layers else []))
    for line in facts.proof:
        tell(line)
