"""`edgedeblur deblur`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgedeblur.cli import options
from edgedeblur.cli.interruption import goes_on_where
from edgedeblur.cli.output import tell, warn
from edgedeblur.cli.progress import Progress, say
from edgedeblur.workflow.workdir import WorkDir

if TYPE_CHECKING:
    from edgedeblur.restore.gate.gate import GateLimits
    from edgedeblur.restore.regions.region import Region


class Box(click.ParamType):
    """X,Y,WIDTH,HEIGHT in pixels, or auto."""

    name = "x,y,w,h|auto"

    def convert(self, value: object, parameter: click.Parameter | None, context: click.Context | None):
        if value == "auto" or isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if len(parts) == 4 and all(part.strip().lstrip("-").isdecimal() for part in parts):
            x, y, width, height = map(int, parts)
            if width > 0 and height > 0:
                return x, y, width, height
        self.fail(f"{value!r} is not a region; give x,y,width,height in pixels, such as 100,50,640,480, or auto")


@click.command("deblur", short_help="Restore images, folders or a video with any model.")
@click.argument("source", metavar="INPUT", type=options.PATH)
@click.argument("output", type=options.PATH, required=False)
@options.model
@options.threads
@options.interpreter
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
@click.option("--roi", type=Box(), help="Restore this rectangle only; auto: where there is blur and detail, and faces.")
@click.option("--roi-file", type=options.PATH, help="Restore where this grey picture is white; grey is blended.")
@click.option(
    "--half-scale",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of a restoration at half the scale, which reaches blur twice as long; try 0.3.",
)
@click.option("--realtime", is_flag=True, help="Take a video's frames at their times, as a camera's; drop late ones.")
@click.pass_context
def command(
    context: click.Context,
    source: Path,
    output: Path | None,
    model: Path | None,
    threads: int | None,
    interpreter: bool,
    teacher_options: dict,
    workdir: WorkDir,
    gate: bool,
    gate_log: Path | None,
    gate_blur: float | None,
    roi: "tuple[int, int, int, int] | str | None",
    roi_file: Path | None,
    half_scale: float,
    realtime: bool,
) -> None:
    """Restore an image, a folder of images or a video, of any size, with any model.

    OUTPUT is a file, or a folder for outputs of the inputs' names; default: deblurred/ in the work directory. The
    input is never overwritten. EXIF, GPS, colour profile, XMP and resolution are kept, grey stays grey, alpha and 16
    bits stay; what a format cannot hold is reported. Every file that was not restored is listed at the end with
    the reason; the exit code is then 1.

    A video keeps its timestamps, sound, subtitles, rotation and colour tags (with PyAV, the extra `video`; else its
    size and frame rate alone). Interrupted, the same command goes on from the finished parts beside OUTPUT.

    With --gate, frames that are sharp, blank, dark, overexposed, torn or damaged pass as they are, and a frozen one
    gets the output of the frame before it.

    With --roi or --roi-file the pixels outside of the region stay as they are, and tiles outside are not computed.

    Without --model: the work directory's artefact for this machine, else its int8 network, else its student, else the
    shipped int8 network. An int8 network runs in the work directory's artefact that was compiled from it, where a
    picture or tile has its size; else, where there is much to restore, it is compiled first, once, and kept in the
    user's cache; a little runs in NumPy or PyTorch, exactly and more slowly.
    """
    from edgedeblur.restore.deblur import DeblurOptions, closing_lines, deblur, grouped, kept_parts
    from edgedeblur.restore.open import open_model
    from edgedeblur.workflow.choose_model import default_model

    limits = gate_limits(gate, gate_log, gate_blur)
    chosen = DeblurOptions(limits, gate_log, region_of(roi, roi_file), half_scale, realtime)
    quantised = options.of_quantised(workdir, interpreter, compiles=not realtime)
    restorer = open_model(model or default_model(workdir, interpreter), threads=threads, **quantised, **teacher_options)
    say(f"model: {restorer.path} ({restorer.kind}), in {restorer.runs_in}")
    for note in restorer.notes:
        say(f"note: {note}")
    destination = output or workdir.root / "deblurred"
    goes_on_where(lambda: not realtime and kept_parts(source, destination))
    with Progress("deblur") as progress:
        result = deblur(source, destination, restorer, progress, chosen)
    for note in grouped(result.notes):
        say(f"note: {note}")
    tell(result.written[0] if len(result.written) == 1 else f"{len(result.written)} images in {destination}")
    for line in closing_lines(result, restorer, chosen):
        say(line)
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


def region_of(box: "tuple[int, int, int, int] | str | None", file: Path | None) -> "Region | None":
    """What the options of the region say; None for the whole picture.

    Raises:
        click.UsageError: two of them.
    """
    from edgedeblur.restore.regions.automatic import AUTOMATIC, finds_faces
    from edgedeblur.restore.regions.region import mask_file, rectangle

    if box is not None and file is not None:
        raise click.UsageError("--roi and --roi-file contradict each other; give either")
    if box == "auto":
        if not finds_faces():
            say("note: --roi auto looks for blur and detail only; the installed OpenCV has no detector of faces")
        return AUTOMATIC
    if box is not None:
        return rectangle(*box)
    return None if file is None else mask_file(file)
