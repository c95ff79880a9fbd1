"""docs/contact-sheet.jpg: parts of real blurred pictures, restored by the three int8 networks that ship.

    python benchmarks/contact_sheet.py ../shared/material/pairs docs/contact-sheet.jpg

Whole pictures are restored as `edgedeblur evaluate` does; what is shown and measured is the part. Columns: blurred,
nano, small, large, sharp.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage.metrics import peak_signal_noise_ratio

from edgedeblur.data.images import read_image
from edgedeblur.restore.open import open_model
from edgedeblur.student import TIERS
from edgedeblur.workflow.shipped import shipped_network

SIDE, GAP, LINE = 256, 6, 22


@dataclass(frozen=True)
class Part:
    """A part of SIDE x SIDE, or the whole picture where it is no larger. sharp: the sharp picture is the input too."""

    pair: str
    top: int = 0
    left: int = 0
    sharp: bool = False


PARTS = (
    Part("gopro720/dh_00_istanbul-square.png", 300, 480),
    Part("gopro720/dh_02_woods.png", 200, 500),
    Part("gopro720/dh_04_stone-figures.png", 200, 500),
    Part("gopro720avg/GOPR0410", 330, 420),
    Part("gopro256/z213_istanbul-square.png"),
    Part("reds320/test000_00000013.png", 0, 30),
    Part("gopro720/dh_00_istanbul-square.png", 300, 480, sharp=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    networks = [open_model(shipped_network(tier), load_torch=True) for tier in TIERS]
    rows = [row(part, given.pairs, networks) for part in PARTS]
    sheet = np.concatenate(rows)
    Image.fromarray(sheet).save(given.output, quality=88)
    print(given.output)


def row(part: Part, pairs: Path, networks: list) -> np.ndarray:
    """Labels over five pictures beside each other, uint8 [H, W, 3]."""
    group, _, name = part.pair.partition("/")
    (path, *_) = sorted((pairs / group / "blur").glob(f"{name}*"))
    sharp = read_image(pairs / group / "sharp" / path.name)
    blurred = sharp if part.sharp else read_image(path)
    pictures = [blurred, *(network.restore(blurred) for network in networks), sharp]
    shown = [cut(picture, part) for picture in pictures]
    headings = ["sharp input" if part.sharp else "blurred", *TIERS, "sharp"]
    tiles = [labelled(picture, heading, shown[-1]) for picture, heading in zip(shown, headings, strict=True)]
    return np.concatenate(tiles, axis=1)


def cut(picture: np.ndarray, part: Part) -> np.ndarray:
    return picture[part.top : part.top + SIDE, part.left : part.left + SIDE]


def labelled(picture: np.ndarray, heading: str, sharp: np.ndarray) -> np.ndarray:
    tile = Image.new("RGB", (SIDE + GAP, LINE + len(picture) + GAP), "white")
    tile.paste(Image.fromarray(picture), (0, LINE))
    if not np.array_equal(picture, sharp):
        heading += f", {peak_signal_noise_ratio(sharp, picture):.1f} dB"
    ImageDraw.Draw(tile).text((2, 3), heading, fill="black", font=ImageFont.load_default(15))
    return np.asarray(tile)


if __name__ == "__main__":
    main()
