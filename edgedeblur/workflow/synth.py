"""Photographs or frames to pairs."""

from pathlib import Path

from edgedeblur.data.blur.recipe import BlurRecipe
from edgedeblur.data.contact_sheet import write_contact_sheet
from edgedeblur.data.synth import EVERY_MODEL, SynthOptions, write_pairs
from edgedeblur.errors import UserError
from edgedeblur.progress import Progress
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_toml
from edgedeblur.storage.records import read_record


def synth_step(
    output: Path,
    data: tuple[str, ...],
    recipe: Path | None,
    kinds: tuple[str, ...],
    count: int,
    size: tuple[int, int],
    seed: int,
    shake: Path | None,
    contact_sheet: Path | None,
    progress: Progress,
) -> list[dict]:
    """Photographs or frames to pairs in GoPro's layout, and a picture of them where asked for; the pairs' records.

    Args:
        recipe: TOML file with a [blur] table; None: every model equally often. The others: fields of SynthOptions.

    Raises:
        UserError: no such recipe or data, or a folder that holds other pairs.
    """
    blur = EVERY_MODEL if recipe is None else read_blur_table(recipe)
    records = write_pairs(SynthOptions(output, data, blur, kinds, count, size, seed, shake), progress)
    if contact_sheet is not None:
        write_contact_sheet(output, records, contact_sheet)
    return records


def read_blur_table(path: Path) -> BlurRecipe:
    """The [blur] table of a TOML file, whatever else is in it.

    Raises:
        UserError: no such file, no such table, or a key or value in it that is not allowed.
    """
    if not path.exists():
        raise UserError(f"no recipe {path}", "check the path")
    origin = Origin(f"recipe {path}", "docs/blur-synthesis.md lists the keys")
    table = read_toml(path, origin).get("blur")
    if table is None:
        raise origin.error("it has no table [blur]")
    return read_record(BlurRecipe, table, origin, "blur")
