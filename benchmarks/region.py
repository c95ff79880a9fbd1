"""What `deblur --roi auto` computes and what it keeps of the gain: the table of docs/deblur.md.

    python benchmarks/region.py MATERIAL/pairs [-m MODEL]

For every pair: the share of the pixels in the mask; what goes through the network, as a share of what the whole picture
takes there (more than its pixels, as tiles overlap); the gain in dB of the whole restoration and of the region's. Then
text is drawn into the sharp pictures and blurred: how much of it is in the mask. Last, the gain by --half-scale.
"""

import argparse
import dataclasses
from pathlib import Path

import cv2
import numpy as np

from edgedeblur.data.images import list_images, read_image
from edgedeblur.metrics import psnr
from edgedeblur.restore.half_scale import blend_scales, restore_at_half_scale
from edgedeblur.restore.open import Restorer, open_model
from edgedeblur.restore.regions.automatic import automatic
from edgedeblur.restore.tiling import blend
from edgedeblur.workflow.shipped import shipped_network

SHARES = (0, 0.15, 0.3, 0.5, 1)


def counted(restorer: Restorer, picture: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, int]:
    """The region restored (None: the whole), and how many pixels went through the network."""
    pixels = []

    def run(tile: np.ndarray) -> np.ndarray:
        pixels.append(tile.shape[0] * tile.shape[1])
        return restorer.run(tile)

    return dataclasses.replace(restorer, run=run).restore_region(picture, mask), sum(pixels)


def moving_object(blurred: np.ndarray, sharp: np.ndarray) -> np.ndarray:
    """The sharp picture, blurred in an ellipse that has 9 % of it: what a fixed camera sees."""
    height, width = sharp.shape[:2]
    ellipse = cv2.ellipse(
        np.zeros((height, width), np.uint8), ((width / 2, height / 2), (width / 3, height / 3), 0), 255, -1
    )
    return blend(sharp, blurred, cv2.GaussianBlur(ellipse, (0, 0), height / 90))


def measured(folder: Path, restorer: Restorer, fixed_camera: bool) -> list[float]:
    """Means over a folder's pairs: share of the mask, of computed pixels, gain of the whole and of the region."""
    rows = []
    for path in list_images(folder / "blur"):
        blurred, sharp = read_image(path), read_image(folder / "sharp" / path.name)
        if fixed_camera:
            blurred = moving_object(blurred, sharp)
        mask = automatic(blurred)
        (part, computed), (whole, of_whole) = (counted(restorer, blurred, each) for each in (mask, None))
        before, after, inside = (psnr(each, sharp) for each in (blurred, whole, part))
        rows.append(((mask > 0).mean(), computed / of_whole, after - before, inside - before))
        assert np.array_equal(part[mask == 0], blurred[mask == 0])
    return [float(mean) for mean in np.mean(rows, axis=0)]


def text_in_masks(folder: Path) -> tuple[float, float]:
    """Share of the area of blurred words that lies in the mask, and of all pixels, over a folder's sharp pictures."""
    rng, inside, whole = np.random.default_rng(0), [], []
    for path in list_images(folder / "sharp"):
        picture = read_image(path).copy()
        words = np.zeros(picture.shape[:2], np.uint8)
        for _ in range(6):
            place = (int(rng.integers(picture.shape[1] - 60)), int(rng.integers(30, picture.shape[0])))
            scale, level = rng.uniform(0.4, 1.2), int(rng.choice([20, 235]))
            for canvas, value in ((picture, (level,) * 3), (words, 255)):
                cv2.putText(canvas, "KA 2741", place, cv2.FONT_HERSHEY_SIMPLEX, scale, value, 2)
        blurred = cv2.blur(picture, (int(rng.integers(5, 16)), 1))
        mask = automatic(blurred) > 127
        inside.append(mask[words > 0].mean())
        whole.append(mask.mean())
    return float(np.mean(inside)), float(np.mean(whole))


def gains_by_share(folder: Path, restorer: Restorer) -> list[float]:
    """Mean gain in dB for each of `SHARES` of the half scale."""
    rows = []
    for path in list_images(folder / "blur"):
        blurred, sharp = read_image(path), read_image(folder / "sharp" / path.name)
        full, half = restorer.restore(blurred), restore_at_half_scale(blurred, restorer.restore)
        before = psnr(blurred, sharp)
        rows.append([psnr(blend_scales(full, half, share), sharp) - before for share in SHARES])
    return [float(mean) for mean in np.mean(rows, axis=0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("-m", "--model", type=Path, default=shipped_network("small"))
    given = parser.parse_args()
    restorer = open_model(given.model)
    headings = ("pairs", "pixels in the mask", "computed, of the whole", "gain of the whole", "gain of the region")
    print(f"| {' | '.join(headings)} |\n" + "|---" * len(headings) + "|")
    folders = sorted(folder for folder in given.pairs.iterdir() if folder.is_dir())
    for folder, fixed in [(folder, fixed) for fixed in (False, True) for folder in folders]:
        mask, computed, whole, part = measured(folder, restorer, fixed)
        name = f"{folder.name}, one moving object" if fixed else folder.name
        print(f"| {name} | {mask:.0%} | {computed:.0%} | {whole:+.2f} dB | {part:+.2f} dB |")
    for folder in folders:
        inside, share = text_in_masks(folder)
        print(f"{folder.name}: {inside:.0%} of blurred words are in the mask, which has {share:.0%} of the pixels")
    print("\n| pairs | " + " | ".join(f"{share:g} of the half scale" for share in SHARES) + " |\n" + "|---" * 6 + "|")
    for folder in folders:
        print(f"| {folder.name} | " + " | ".join(f"{gain:+.2f} dB" for gain in gains_by_share(folder, restorer)) + " |")


if __name__ == "__main__":
    main()
