"""`edgedeblur synth`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.interruption import goes_on_where
from edgedeblur.cli.output import tell
from edgedeblur.cli.progress import Progress
from edgedeblur.storage.locks import lock_of_folder, locked
from edgedeblur.workflow.workdir import WorkDir

_KINDS = ["shake", "linear", "turn", "defocus", "object", "scene", "recorded", "still"]


@click.command("synth", short_help="Blur/sharp pairs from photos or frames, in GoPro's layout.")
@click.argument("output", type=options.PATH, required=False)
@options.data
@click.option("--count", type=click.IntRange(1), default=20, show_default=True, help="Pairs.")
@click.option("--size", type=options.Size(), default="512x512", show_default=True, help="Height x width of each.")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(_KINDS),
    multiple=True,
    help="Model of blur; may be repeated, each is then equally frequent; default: all but still.",
)
@click.option("--recipe", type=options.PATH, help="TOML file whose [blur] table is taken, such as a training recipe.")
@options.shake
@click.option("--contact-sheet", type=options.PATH, help="Also write this picture of the first 30 pairs.")
@options.seed
@options.workdir
def command(
    output: Path | None,
    data: tuple[str, ...],
    count: int,
    size: tuple[int, int],
    kinds: tuple[str, ...],
    recipe: Path | None,
    shake: Path | None,
    contact_sheet: Path | None,
    seed: int,
    workdir: WorkDir,
) -> None:
    """Write blurred and sharp pictures to OUTPUT/blur and OUTPUT/sharp (default: pairs/ in the work directory).

    Photographs are blurred by models of camera shake, straight motion, a turning camera, defocus, moving objects, and
    of motion as gyroscopes record it, or by recordings themselves (--shake);
    frames:FOLDER averages high-frame-rate frames as GoPro does. OUTPUT/pairs.jsonl says how each pair was made. The
    same command resumes after an interruption; a larger --count adds to what is there.
    """
    from edgedeblur.data.synth import HEADER, RECORDS
    from edgedeblur.workflow.synth import synth_step

    folder = output or workdir.root / "pairs"
    goes_on_where((folder / RECORDS).exists)
    with Progress("synth") as progress, locked(lock_of_folder(folder), folder, "choose another folder"):
        records = synth_step(folder, data, recipe, kinds, count, size, seed, shake, contact_sheet, progress)
    tell(f"{folder}: {len(records)} pairs; {HEADER} and {RECORDS} say how they were made")
    if contact_sheet is not None:
        tell(contact_sheet)
