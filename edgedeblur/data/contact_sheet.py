"""Made pairs at a glance: one picture with sharp and blurred side by side and the model's name above."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from edgedeblur.data.images import read_image
from edgedeblur.storage.files import atomic_path

_SIDE, _GAP, _LABEL, _COLUMNS, _MOST = 240, 6, 22, 3, 30


def write_contact_sheet(folder: Path, records: Sequence[dict], destination: Path) -> None:
    """Write a picture of the first 30 pairs of a folder in GoPro's layout.

    Args:
        records: of each pair its `name`, `model` and parameters, as `write_pairs` gives them.
        destination: its suffix is the format.
    """
    shown = records[:_MOST]
    columns = min(_COLUMNS, len(shown))
    cell_width, cell_height = 2 * _SIDE + 3 * _GAP, _SIDE + _LABEL + _GAP
    sheet = Image.new("RGB", (columns * cell_width, -(-len(shown) // columns) * cell_height + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for index, record in enumerate(shown):
        left, top = index % columns * cell_width + _GAP, index // columns * cell_height
        draw.text((left, top + 3), _label(record), fill="black", font=font)
        for side, name in enumerate(("sharp", "blur")):
            image = Image.fromarray(read_image(folder / name / record["name"]))
            image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
            sheet.paste(image, (left + side * (_SIDE + _GAP), top + _LABEL))
    with atomic_path(destination) as path:
        sheet.save(path, quality=92)


def _label(record: dict) -> str:
    numbers = [
        f"{name} {record[name]:.3g}" for name in ("length", "radius", "turn_degrees", "frames") if name in record
    ]
    return f"{record['name']}: {record['model']}, {', '.join(numbers)}"
