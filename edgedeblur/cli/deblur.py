"""`edgedeblur deblur`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import tell, warn
from edgedeblur.cli.progress import Progress, say
from edgedeblur.workflow.workdir import WorkDir


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
    input is never overwritten. EXIF, GPS, colour profile, XMP and resolution are kept, grey stays grey, alpha and 16
    bits stay; what a format cannot hold is reported. Every file that was not restored is listed at the end with
    the reason; the exit code is then 1. A video keeps its size and frame rate and loses its audio.

    Without --model: the work directory's artefact for this machine, else its int8 network, else its student, else the
    shipped int8 network, run by the integer interpreter: slow; compile makes it fast.
    """
    from edgedeblur.restore.deblur import deblur, grouped, speed_sentence
    from edgedeblur.restore.open import open_model
    from edgedeblur.workflow.choose_model import default_model

    restorer = open_model(model or default_model(workdir), threads=threads, **teacher_options)
    say(f"model: {restorer.path} ({restorer.kind}), in {restorer.runs_in}")
    for note in restorer.notes:
        say(f"note: {note}")
    destination = output or workdir.root / "deblurred"
    with Progress("deblur") as progress:
        result = deblur(source, destination, restorer, progress)
    for note in grouped(result.notes):
        say(f"note: {note}")
    tell(result.written[0] if len(result.written) == 1 else f"{len(result.written)} images in {destination}")
    if result.images:
        say(speed_sentence(result, restorer))
    for line in grouped(result.left_out):
        say(f"left out {line}")
    for path, why in result.failed:
        warn(f"skipped {path}: {why}")  # with -q too: it is why the exit code is 1
    context.exit(1 if result.failed else 0)
