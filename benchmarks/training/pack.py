"""Packs training data into few megabytes, for a GPU that is reached over a slow or limited line.

    python benchmarks/training/pack.py ../shared/material build/gpu-data --limit-mib 32

Every picture is stored as WebP, at the highest quality of a short list at which the whole fits. Photographs are all
taken; of ready pairs and video frames, which are nearly the same picture many times over, an even choice, or with
--every-pair all pairs.
"""

import argparse
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

QUALITIES = (95, 92, 88, 84, 80, 75)
RUN = 13  # consecutive frames, the most that one blurred picture is the mean of
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class Part:
    """A folder of the material. every: one of so many of its pairs is taken. runs: so many runs of video frames are."""

    folder: str
    every: int = 1
    runs: int = 0


TRAINING = (
    Part("photos/cid22"),
    Part("photos/clic2025_half"),
    Part("photos/kodak"),
    Part("photos/elementary"),
    Part("photos/unsplash"),
    Part("gopro_video_240fps", runs=6),
    Part("pairs_train/gopro720_0372", every=3),
    Part("pairs_train/gopro256_half"),
    Part("pairs_train/reds720_hamam", every=2),
    Part("pairs_train/reds720_020", every=3),
)
VALIDATION = (Part("pairs/gopro720"), Part("pairs/gopro256"), Part("pairs/reds320", every=3))


def chosen(material: Path, part: Part, every_pair: bool) -> Iterator[Path]:
    """The files of a part, relative to the material; both sides of a pair, since their names are the same."""
    files = sorted(path for path in (material / part.folder).rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise SystemExit(f"no pictures in {material / part.folder}")
    if part.runs:
        starts = [round(index * (len(files) - RUN) / max(1, part.runs - 1)) for index in range(part.runs)]
        files = [path for start in starts for path in files[start : start + RUN]]
    names = {name: index for index, name in enumerate(sorted({path.stem for path in files}))}
    for path in files:
        if every_pair or names[path.stem] % part.every == 0:
            yield path.relative_to(material)


def pack(material: Path, output: Path, quality: int, every_pair: bool) -> int:
    """Writes everything at one quality; the bytes that it takes. A run of frames becomes a folder, since frames of one
    folder count as consecutive."""
    shutil.rmtree(output, ignore_errors=True)

    def store(source: Path, folder: Path) -> int:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{source.stem}.webp"
        Image.open(source).convert("RGB").save(path, quality=quality, method=4)
        return path.stat().st_size

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sizes = [
            pool.submit(store, material / inside, output / inside.parent / (f"run{index // RUN}" if part.runs else ""))
            for part in (*TRAINING, *VALIDATION)
            for index, inside in enumerate(chosen(material, part, every_pair and part in TRAINING))
        ]
        return sum(size.result() for size in sizes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("material", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--limit-mib", type=float, default=32)
    parser.add_argument("--every-pair", action="store_true", help="all ready pairs, at a lower quality of the files")
    parser.add_argument("--quality", type=int, default=QUALITIES[0], help="the highest that is tried")
    options = parser.parse_args()
    for quality in (quality for quality in QUALITIES if quality <= options.quality):
        size = pack(options.material, options.output, quality, options.every_pair)
        print(f"quality {quality}: {size / 2**20:.1f} MiB in {options.output}", flush=True)
        if size <= options.limit_mib * 2**20:
            return
    raise SystemExit(f"{size / 2**20:.1f} MiB at quality {quality}; --limit-mib is {options.limit_mib}")


if __name__ == "__main__":
    main()
