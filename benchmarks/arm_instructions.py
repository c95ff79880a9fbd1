"""Instructions that an image takes on an ARM core, counted by QEMU: networks side by side, other runtimes on the first.
Counts, and cycles by a model, never times.

    python benchmarks/arm_instructions.py [NETWORK.edq ...] [--size 512x512] [--isa sdot] [--against litert,mnn]
        [--cycles neoverse-n1]

Default: the shipped small. Quantise it with and without --no-winograd-form to compare the two. One thread. Products are
what was executed: `sdot` and `udot`, of 16 multiply-accumulates, or `smmla` and its like, of 32. Other runtimes run the
network in plain form with gates fixed, as in `bench --against`; Debian's Python and their wheels for ARM are fetched
into build/arm64.
"""

import argparse
import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from arm_peers import blocks, machine

from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.artefact.target import Target, load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.export.onnx import export_onnx
from edgedeblur.export.tflite import export_tflite
from edgedeblur.processes import run_to_end
from edgedeblur.quantize.edq import load_edq
from edgedeblur.quantize.interpreter import run, with_fixed_gates
from edgedeblur.quantize.network import QuantisedNetwork, in_plain_form
from edgedeblur.runtime.program import run_program, runner_for
from edgedeblur.workflow.shipped import shipped_network

PRODUCT = {"sdot": "dot", "i8mm": "mmla", "neon": "dot"}  # of kernels' instruction sets; neon's have no such one
FOLDER = Path("build/arm64")
GUEST = Path(machine.__file__).with_name("guest.py")

Row = tuple[str, blocks.Blocks]


def ours(networks: list[Path], target: Target, image: np.ndarray, plugin: Path) -> Iterator[Row]:
    """What each network's program executes for an image."""
    for network in networks:
        with TemporaryDirectory() as folder:
            artefact = compile_network(load_edq(network), target, *image.shape[:2], output=Path(folder) / "artefact")
            yield network.stem, blocks.blocks_of_an_image(partial(program, artefact, image, plugin))


def program(artefact: ArtefactInfo, image: np.ndarray, plugin: Path, out: Path, images: int) -> None:
    """The artefact's program in the simulator, counted into `out`."""
    emulator, *options = runner_for(artefact)
    counting = (emulator, "-plugin", f"{plugin},out={out}", *options)
    run_program(artefact, image, runs=images, warmup=0, threads=1, runner=counting)


def peers(
    names: list[str], network: QuantisedNetwork, target: Target, image: np.ndarray, plugin: Path
) -> Iterator[Row]:
    """What other runtimes execute for an image, and how far their picture is from the interpreter's."""
    arm = machine.prepare(FOLDER.absolute())
    plain = in_plain_form(with_fixed_gates(network, image))
    right = run(plain, image)
    with TemporaryDirectory() as folder:
        place = Path(folder)
        np.save(place / "image.npy", image)
        export_tflite(plain, place / "network.tflite", *image.shape[:2])
        export_onnx(plain, place / "network.onnx", *image.shape[:2], form="qlinear")
        for name in names:
            model = place / ("network.onnx" if name == "onnxruntime" else "network.tflite")
            words = arm.command(GUEST, name, model, place / "image.npy", place / "restored.npy")
            found = blocks.blocks_of_an_image(partial(guest, list(target.runner), plugin, words))
            off = np.abs(np.load(place / "restored.npy").astype(np.int16) - right).mean()
            yield f"{name} {arm.version(name)}, its picture {off:.2f} levels off", found


def guest(runner: list[str], plugin: Path, words: list[str], out: Path, images: int) -> None:
    """The script in the simulated machine, counted into `out`."""
    command = [runner[0], "-plugin", f"{plugin},out={out}", *runner[1:], *words, str(images)]
    done = run_to_end(command, timeout_s=1800)
    if done.returncode:
        raise SystemExit(f"{' '.join(words[-6:])} ended with {done.returncode}: {done.stderr.strip()[-500:]}")


def one_isa(target: Target, isa: str) -> Target:
    """The target with these kernels alone, run on a core that has just their instructions."""
    return next(dataclasses.replace(one, threads=1) for one in target.kernel_sets if one.isa == isa)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", type=Path)
    parser.add_argument("--target", default="linux-arm64")
    parser.add_argument("--isa", choices=sorted(PRODUCT), default="sdot")
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--against", default="", help=f"of {', '.join(machine.WHEELS)}; with commas")
    parser.add_argument("--cycles", metavar="CORE", help="also cycles by llvm-mca's model of it, such as neoverse-n1")
    chosen = parser.parse_args()
    target, kind = one_isa(load_target(chosen.target), chosen.isa), PRODUCT[chosen.isa]
    height, width = map(int, chosen.size.split("x"))
    image = np.random.default_rng(0).integers(64, 192, (height, width, 3)).astype(np.uint8)
    networks = chosen.networks or [shipped_network("small")]
    print(f"counted, {' '.join(target.runner)}, {chosen.size}, one thread; millions an image")
    core = f" cycles, {chosen.cycles}" if chosen.cycles else ""
    print(f"{'':50} instructions {kind:>8} {'other':>8}{core}", flush=True)
    with TemporaryDirectory() as folder:
        plugin = blocks.build_plugin(Path(folder))
        rows = [partial(ours, networks, target, image, plugin)]
        if chosen.against:
            names = chosen.against.split(",")
            rows.append(partial(peers, names, load_edq(networks[0]), target, image, plugin))
        for name, found in (row for rows_of in rows for row in rows_of()):
            counts = blocks.count(found)
            dots = counts.dots[kind]
            line = f"{name:50} {counts.total / 1e6:12.1f} {dots / 1e6:8.1f} {(counts.total - dots) / 1e6:8.1f}"
            simulated = f" {blocks.cycles(found, chosen.cycles) / 1e6:8.1f}" if chosen.cycles else ""
            print(line + simulated, flush=True)


if __name__ == "__main__":
    main()
