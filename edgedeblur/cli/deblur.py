"""`edgedeblur deblur`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.progress import Progress, say
from edgedeblur.workdir import WorkDir


@click.command("deblur", short_help="Restore images, folders or a video with any model.")
@click.argument("source", metavar="INPUT", type=options.PATH)
@click.argument("output", type=options.PATH, required=False)
@options.model
@options.threads
@options.teacher_options
@options.workdir
@click.pass_context
def command(
    context: click.Context,
    source: Path,
    output: Path | None,
    model: Path | None,
    threads: int | None,
    teacher_options: dict,
    workdir: WorkDir,
) -> None:
    """Restore an image, a folder of images or a video, of any size, with any model.

    OUTPUT is a file, or a folder for outputs of the inputs' names; default: deblurred/ in the work directory. The
    input is never overwritten. Files that cannot be read are skipped, listed at the end, and make the exit code 1.
    A video keeps its size and frame rate and loses its audio.
    """
    from edgedeblur.restore.choose import default_model
    from edgedeblur.restore.deblur import deblur
    from edgedeblur.restore.open import open_model

    restorer = open_model(model or default_model(workdir), threads=threads, **teacher_options)
    say(f"model: {restorer.path} ({restorer.kind})")
    for note in restorer.notes:
        say(f"note: {note}")
    destination = output or workdir.root / "deblurred"
    with Progress("deblur") as progress:
        result = deblur(source, destination, restorer, progress)
    for note in result.notes:
        say(f"note: {note}")
    click.echo(result.written[0] if len(result.written) == 1 else f"{len(result.written)} images in {destination}")
    for path, why in result.failed:
        click.echo(f"skipped {path}: {why}", err=True)  # with -q too: it is why the exit code is 1
    context.exit(1 if result.failed else 0)
