"""`edgedeblur view`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import tell
from edgedeblur.cli.progress import say
from edgedeblur.workflow.workdir import WorkDir


@click.command("view", short_help="A page to compare before and after, and to correct by hand.")
@click.argument("source", metavar="INPUT", type=options.PATH)
@click.argument("output", type=options.PATH, required=False)
@click.option("--in-page", is_flag=True, help="The page also restores by itself, any picture, by WebGPU.")
@options.model
@options.threads
@options.teacher_options
@options.workdir
@click.pass_context
def command(
    context: click.Context,
    source: Path,
    output: Path | None,
    in_page: bool,
    model: Path | None,
    threads: int | None,
    teacher_options: dict,
    workdir: WorkDir,
) -> None:
    """Restore a picture and write a page (default: INPUT's name with .html, in the work directory).

    The page needs no other file and no network. A slider compares before and after; a brush says where, and how
    strongly, the picture is restored; a second scale can be mixed in. It saves a mask, and shows the `deblur` command
    that restores with it. With --in-page it holds the int8 network too.
    """
    from edgedeblur.restore.open import open_model
    from edgedeblur.workflow.choose_model import default_model
    from edgedeblur.workflow.view import TILE, deblur_command, view_step

    quantised = options.of_quantised(workdir)
    restorer = open_model(model or default_model(workdir), threads=threads, **quantised, **teacher_options)
    say(f"model: {restorer.path} ({restorer.kind}), in {restorer.runs_in}")
    page = output or workdir.root / f"{source.stem}.html"
    view_step(source, page, restorer, deblur_command(source, _given_options(context)), TILE if in_page else None)
    tell(page)


def _given_options(context: click.Context) -> list[str]:
    """The options of this command line, which `deblur` has too."""
    words = []
    for parameter in context.command.params:
        value = context.params.get(parameter.name)
        given = context.get_parameter_source(parameter.name) is click.core.ParameterSource.COMMANDLINE
        if not isinstance(parameter, click.Option) or not given or not parameter.expose_value:
            continue
        if parameter.name == "in_page":
            continue
        if parameter.is_flag:
            words.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            words += [parameter.opts[0], str(value.root if isinstance(value, WorkDir) else value)]
    return words
