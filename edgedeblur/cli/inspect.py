"""`edgedeblur inspect`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import json_option, show_result
from edgedeblur.workflow.workdir import WorkDir


@click.command("inspect", short_help="What is in a model, and the proof that int8 is int8.")
@click.argument("model", type=options.PATH, required=False)
@click.option("--loops", is_flag=True, help="Of an artefact: cycles of each kernel's inner loop by llvm-mca.")
@options.teacher_options
@json_option
@options.workdir
def command(model: Path | None, loops: bool, teacher_options: dict, workdir: WorkDir) -> None:
    """Show what is in a MODEL file or artefact, and the proof that int8 is int8.

    Default: the work directory's artefact, else its quantised network, else its student.

    For a teacher: which generator it is, what was told from the file, parameters, multiply-accumulates, and what it
    expects of its input. A file that is no known generator gets a table of what was looked for and what was found.

    For a quantised network: the types that are in the file, convolution by convolution. For an artefact also the int8
    dot-product instructions counted in the machine code of each kernel; with --loops only what a round of each inner
    loop takes on the target's cores.
    """
    from edgedeblur.artefact.folder import load_artefact
    from edgedeblur.estimate.latency import artefact_loops, loops_json
    from edgedeblur.estimate.tables import loops_table
    from edgedeblur.restore.evaluation.tables import facts_table, layer_facts_table
    from edgedeblur.restore.facts import facts_json, model_facts
    from edgedeblur.workflow.choose_model import default_model

    path = model or default_model(workdir)
    if loops:
        processor, rows = artefact_loops(load_artefact(path))
        show_result(loops_json(processor, rows), loops_table(processor, rows))
        return
    facts = model_facts(path, **teacher_options)
    layers = [layer_facts_table(facts)] if facts.layers else []
    show_result(facts_json(facts), facts_table(facts), *layers, *facts.proof)
