"""`edgedeblur deblur`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import tell, warn
from edgedeblur.cli.progress import Progress, say
from edgedeblur.workflow.workdir import WorkDir

if TYPE_CHECKING:
    from edgedeblur.restore.gate.gate import GateLimits


@click.command("deblur", short_help="Restore images, folders or a video with any model.")
@click.argument("source", metavar="INPUT", type=options.PATH)
@click.argument("output", type=options.PATH, required=False)
@options.model
@options.threads
@options.teacher_options
@options.workdir
@click.option(
    "--gate", is_flag=True, help="Restore only frames that need it and can be restored; a line of JSON for each frame."
)
@click.option("--gate-log", type=options.PATH, help="Where --gate writes; default: OUTPUT.gate.jsonl, or gate.jsonl.")
@click.option(
    "--gate-blur",
    type=click.FloatRange(0, 1),
    help="--gate passes frames whose blur score is below this; default: 0.3 (docs/frame-gate.md has the ROC).",
)
@click.pass_context
def command(
    context: click.Context,
    source: Path,
    output: Path | None,
    model: Path | None,
    threads: int | None,
    teacher_options: dict,
    workdir: WorkDir,
    gate: bool,
    gate_log: Path | None,
    gate_blur: float | None,
) -> None:
    """Restore an image, a folder of images or a video, of any size, with any model.

    OUTPUT is a file, or a folder for outputs of the inputs' names; default: deblurred/ in the work directory. The
    input is never overwritten. EXIF, GPS, colour profile, XMP and resolution are kept, grey stays grey, alpha and 16
    bits stay; what a format cannot hold is reported. Every file that was not restored is listed at the end with
    the reason; the exit code is then 1. A video keeps its size and frame rate and loses its audio.

    With --gate, frames that are sharp, blank, dark, overexposed, torn or damaged pass as they are, and a frozen one
    gets the output of the frame before it.

    Without --model: the work directory's artefact for this machine, else its int8 network, else its student, else the
    shipped int8 network, run by the integer interpreter: slow; compile makes it fast.
    """
    from edgedeblur.restore.deblur import DeblurOptions, deblur, grouped, speed_sentence
    from edgedeblur.restore.open import open_model
    from edgedeblur.workflow.choose_model import default_model

    chosen = DeblurOptions(gate_limits(gate, gate_log, gate_blur), gate_log)
    restorer = open_model(model or default_model(workdir), threads=threads, **teacher_options)
    say(f"model: {restorer.path} ({restorer.kind}), in {restorer.runs_in}")
    for note in restorer.notes:
        say(f"note: {note}")
    destination = output or workdir.root / "deblurred"
    with Progress("deblur") as progress:
        result = deblur(source, destination, restorer, progress, chosen)
    for note in grouped(result.notes):
        say(f"note: {note}")
    tell(result.written[0] if len(result.written) == 1 else f"{len(result.written)} images in {destination}")
    if result.images:
        say(speed_sentence(result, restorer))
    if result.gate:
        say(f"{result.gate}; log: {result.gate_log}")
    for line in grouped(result.left_out):
        say(f"left out {line}")
    for path, why in result.failed:
        warn(f"skipped {path}: {why}")  # with -q too: it is why the exit code is 1
    context.exit(1 if result.failed else 0)


def gate_limits(gate: bool, log: Path | None, blur: float | None) -> "GateLimits | None":
    """What the options of the gate say; None without --gate.

    Raises:
        click.UsageError: one of them without --gate.
    """
    from edgedeblur.restore.gate.gate import GateLimits

    if not gate:
        if log is not None or blur is not None:
            raise click.UsageError("--gate-log and --gate-blur are for --gate; give it too")
        return None
    return GateLimits() if blur is None else GateLimits(blur=blur)
