"""Instructions that an image takes on an ARM core, counted by QEMU: networks side by side. Counts, never times.

    python benchmarks/arm_instructions.py [NETWORK.edq ...] [--target linux-arm64] [--size 512x512]

Default: the shipped small. Quantise it with and without --no-winograd-form to compare the two. One thread; dot
products are those that the kernels' machine code executes, as the artefact's manifest has them.
"""

import argparse
import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgedeblur.artefact.target import Target, load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.quantize.edq import load_edq
from edgedeblur.runtime.instructions import count_instructions
from edgedeblur.workflow.shipped import shipped_network

PRODUCTS = {"sdot": 16, "i8mm": 32, "neon": 8}  # of an instruction


def count(network: Path, target: Target, size: tuple[int, int]) -> tuple[float, float]:
    """Millions of instructions for one image, and of dot products among them."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    with TemporaryDirectory() as folder:
        artefact = compile_network(load_edq(network), target, *size, output=Path(folder) / "artefact")
        products = sum(layer["int8"]["products"] for layer in artefact.manifest["layers"] if "int8" in layer)
        return count_instructions(artefact, image) / 1e6, products / PRODUCTS[target.isa] / 1e6


def one_isa(target: Target, isa: str) -> Target:
    """The target with these kernels alone, run on a core that has just their instructions."""
    return next(dataclasses.replace(one, threads=1) for one in target.kernel_sets if one.isa == isa)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", type=Path)
    parser.add_argument("--target", default="linux-arm64")
    parser.add_argument("--isa", choices=sorted(PRODUCTS), default="sdot")
    parser.add_argument("--size", default="512x512")
    chosen = parser.parse_args()
    target = one_isa(load_target(chosen.target), chosen.isa)
    height, width = map(int, chosen.size.split("x"))
    print(f"counted, {target.runner}, {chosen.size}, one thread; millions an image")
    print(f"{'network':40} {'instructions':>12} {chosen.isa:>8} {'other':>8}")
    for network in chosen.networks or [shipped_network("small")]:
        total, dots = count(network, target, (height, width))
        print(f"{network.stem:40} {total:12.1f} {dots:8.1f} {total - dots:8.1f}")


if __name__ == "__main__":
    main()
