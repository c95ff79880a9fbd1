"""Exported files in other runtimes against the interpreter's bytes, on all pictures of folders, each at its full size.

    PYTHONPATH=. python benchmarks/exports_on_pairs.py FOLDER ... [--network FILE.edq]

Default: the shipped small. ONNX Runtime gets QDQ (optimised), LiteRT int8 with XNNPACK. Sides that are no multiples of
the network's are mirrored up to them. `edgedeblur export --check` does the same for eight pictures of one size.
"""

import argparse
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgedeblur.data.images import list_images, read_image
from edgedeblur.export.check import to_size
from edgedeblur.export.onnx import export_onnx
from edgedeblur.export.runtimes import Loaded, open_litert, open_onnx
from edgedeblur.export.tflite import export_tflite
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.edq import load_edq
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.simulate import exact_in_torch, run_simulated
from edgedeblur.workflow.shipped import shipped_network


def pictures_of(folders: list[Path], multiple: int) -> dict[tuple[int, int], list[np.ndarray]]:
    """Blurred pictures, uint8 [H, W, 3], by their size."""
    found: dict[tuple[int, int], list[np.ndarray]] = {}
    for folder in folders:
        inside = folder / "blur" if (folder / "blur").is_dir() else folder
        for path in list_images(inside):
            picture = read_image(path)
            size = tuple(-(-side // multiple) * multiple for side in picture.shape[:2])
            found.setdefault(size, []).append(to_size(picture, *size))
    return found


def runtimes(network: QuantisedNetwork, size: tuple[int, int], folder: Path) -> list[Loaded]:
    export_onnx(network, folder / "network.onnx", *size, form="qdq")
    export_tflite(network, folder / "network.tflite", *size)
    return [open_onnx(folder / "network.onnx"), open_litert(folder / "network.tflite")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--network", type=Path, default=shipped_network("small"))
    chosen = parser.parse_args()
    network = load_edq(chosen.network)
    restore = run_simulated if exact_in_torch(network) else interpreter.run
    total, counts = 0, {}
    for size, pictures in pictures_of(chosen.folders, network.spec.multiple).items():
        with TemporaryDirectory() as folder:
            loaded = runtimes(network, size, Path(folder))
            for picture in pictures:
                expected = restore(network, picture).astype(np.int16)
                total += expected.size
                for one in loaded:
                    levels, times = np.unique(np.abs(one.run(picture) - expected), return_counts=True)
                    counts.setdefault(one.runtime, Counter()).update(
                        dict(zip(levels.tolist(), times.tolist(), strict=True))
                    )
        print(f"{size[0]}x{size[1]}: {len(pictures)} pictures", flush=True)
    for runtime, by_level in counts.items():
        differing, one = total - by_level[0], by_level[1]
        squares = sum(level**2 * times for level, times in by_level.items())
        db = f"{10 * np.log10(255**2 * total / squares):.1f} dB" if squares else "equal"
        print(
            f"{runtime}: {100 * differing / total:.3f} % of the bytes differ, {100 * one / total:.3f} % by 1, "
            f"by at most {max(by_level)}; {db}"
        )


if __name__ == "__main__":
    main()
