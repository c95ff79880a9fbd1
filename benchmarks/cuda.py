"""Target `cuda` on a GPU: its bytes beside the interpreter's, and its time beside torch's in float16. Two commands:

    PYTHONPATH=. python benchmarks/cuda.py prepare build/cuda     # anywhere, without a GPU: what the other one needs
    PYTHONPATH=. python benchmarks/cuda.py measure build/cuda     # where the GPU is: with NumPy and torch, and no TVM

`prepare` compiles the shipped networks for images of --size and restores two pictures with the integer interpreter; the
folder and the repository are all that has to be on the GPU's machine. `measure` prints a table, and writes
build/cuda/measured.json.

Times are of one image from this process's memory to this process's memory, by turns, medians of all rounds; "network"
is torch's without the copies and conversions. torch: float16, channels_last, cuDNN's own choice of algorithms, one CUDA
graph. Students and generators there have fresh weights, of which times do not depend.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgedeblur.artefact.folder import ArtefactInfo, load_artefact
from edgedeblur.quantize.edq import load_edq
from edgedeblur.runtime.program import run_program
from edgedeblur.runtime.session import Session
from edgedeblur.workflow.shipped import shipped_network

TIERS = ("nano", "small", "large")
GENERATORS = ("fpn_mobilenet", "resnet_9blocks")  # DeblurGAN-v2's light one and DeblurGAN's, as they are published
MEASURED = "measured.json"


@dataclass(frozen=True)
class Row:
    """network_ms: without copies and conversions, where that was measured. equal: to the interpreter's bytes."""

    what: str
    ms: float
    network_ms: float | None = None
    equal: bool | None = None

    @property
    def frames_per_second(self) -> float:
        return 1e3 / self.ms


def prepare(folder: Path, size: int, tiers: Sequence[str]) -> None:
    from edgedeblur.artefact.target import load_target
    from edgedeblur.compile.artefact import compile_network
    from edgedeblur.quantize import interpreter

    pictures = np.stack([_scene(size), np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)])
    folder.mkdir(parents=True, exist_ok=True)
    for tier in tiers:
        network = load_edq(shipped_network(tier))
        compile_network(network, load_target("cuda"), size, size, folder / tier, log=lambda line: print(f"  {line}"))
        expected = np.stack([interpreter.run(network, picture) for picture in pictures])
        np.savez_compressed(_pictures(folder, tier), pictures=pictures, expected=expected)
        print(f"{tier}: compiled, and {len(pictures)} pictures restored with the interpreter", flush=True)


def _pictures(folder: Path, tier: str) -> Path:
    return folder / f"{tier}-pictures.npz"


def _scene(size: int) -> np.ndarray:
    """Edges, ramps and flat areas, moved along a line."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    bars = np.sin(40 * (x + 0.3 * y)) > 0
    scene = np.stack([255 * x, 200 * bars, 255 * (np.hypot(x - 0.5, y - 0.5) < 0.3)], axis=-1)
    return np.mean([np.roll(scene, step, axis=1) for step in range(9)], axis=0).round().astype(np.uint8)


def measure(folder: Path, rounds: int, images: int) -> None:
    tiers = [tier for tier in TIERS if _pictures(folder, tier).is_file()]
    if not tiers:
        raise SystemExit(f"nothing is prepared in {folder}: python benchmarks/cuda.py prepare {folder}")
    data = {tier: dict(np.load(_pictures(folder, tier))) for tier in tiers}
    picture = data[tiers[0]]["pictures"][0]
    sessions = {tier: Session(load_artefact(folder / tier), unit="gpu") for tier in tiers}
    equal = {tier: _equal(session, **data[tier]) for tier, session in sessions.items()}
    for tier, one in equal.items():
        print(f"{tier}: bytes {'equal' if one else 'DIFFER FROM'} the interpreter's", flush=True)
    calls: dict[str, Callable[[], object]] = {
        f"edgedeblur {tier}, int8": lambda session=session: session.run(picture) for tier, session in sessions.items()
    }
    gpu, networks = _torch_calls(picture, tiers)
    calls |= gpu
    times = _take_turns(calls | networks, rounds, images)
    rows = []
    for what in calls:
        tier = what.split()[1].rstrip(",")
        network_ms = times.get(f"{what}: network")
        rows.append(Row(what, times[what], network_ms, equal[tier] if what.startswith("edgedeblur") else None))
    _report(folder, load_artefact(folder / tiers[0]), rows, picture)
    if not all(equal.values()):
        raise SystemExit("bytes differ from the integer interpreter's")


def _equal(session: Session, pictures: np.ndarray, expected: np.ndarray) -> bool:
    return all(np.array_equal(session.run(picture), right) for picture, right in zip(pictures, expected, strict=True))


def _torch_calls(picture: np.ndarray, tiers: Sequence[str]) -> tuple[dict[str, Callable], dict[str, Callable]]:
    """Each network from image to image, and each alone; none where torch has no GPU."""
    import torch

    from edgedeblur.generators.trainable import NETWORKS, build_network
    from edgedeblur.student.module import Student

    if not torch.cuda.is_available():
        print("torch has no GPU here: not compared")
        return {}, {}
    torch.backends.cudnn.benchmark = True
    modules = {f"torch student {tier}, float16": Student(load_edq(shipped_network(tier)).spec) for tier in tiers}
    modules |= {f"torch {name}, float16": build_network(NETWORKS[name], 0) for name in GENERATORS}
    whole, alone = {}, {}
    for what, module in modules.items():
        whole[what], alone[f"{what}: network"] = _graphs(module, picture)
    return whole, alone


def _half(module):
    """In float16, but for a student's gates: they multiply a mean that is taken in float32."""
    import torch

    network = module.eval().half().to(memory_format=torch.channels_last)
    for child in network.modules():
        if isinstance(child, torch.nn.Linear):
            child.float()
    return network


def _graphs(module, picture: np.ndarray) -> tuple[Callable, Callable]:
    """A CUDA graph from pinned memory to pinned memory, and one of the network alone."""
    import torch

    network = _half(module).cuda()
    host = torch.from_numpy(picture).pin_memory()
    back = torch.empty_like(host).pin_memory()
    device = host.cuda()
    values = torch.zeros((1, 3, *picture.shape[:2]), dtype=torch.half, device="cuda")
    values = values.to(memory_format=torch.channels_last)

    def alone():
        return network(values)

    def whole():
        device.copy_(host, non_blocking=True)
        values.copy_(device.permute(2, 0, 1).unsqueeze(0).half() / 127.5 - 1)
        restored = ((network(values)[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        back.copy_(restored.permute(1, 2, 0), non_blocking=True)

    return _graph(whole), _graph(alone)


def _graph(work: Callable) -> Callable:
    import torch

    with torch.inference_mode():
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()

    def replay() -> None:
        graph.replay()
        torch.cuda.synchronize()

    return replay


def _take_turns(calls: dict[str, Callable], rounds: int, images: int) -> dict[str, float]:
    """Milliseconds of one call, the median of all rounds; the first round only warms up."""
    taken: dict[str, list[float]] = {what: [] for what in calls}
    for turn in range(rounds + 1):
        for what, call in calls.items():
            for _ in range(images):
                begun = time.perf_counter()
                call()
                if turn:
                    taken[what].append(1e3 * (time.perf_counter() - begun))
    return {what: statistics.median(samples) for what, samples in taken.items()}


def _report(folder: Path, artefact: ArtefactInfo, rows: list[Row], picture: np.ndarray) -> None:
    gpu = run_program(artefact, picture, runs=1, warmup=0, unit="gpu").result.gpu
    height, width, _ = picture.shape
    print(f"\n{gpu.name}, driver {gpu.driver}, images of {height}x{width}")
    print("| | ms | frames per second | network ms | bytes |\n|---|---|---|---|---|")
    for row in rows:
        network = "" if row.network_ms is None else f"{row.network_ms:.3f}"
        told = {None: "", True: "the interpreter's", False: "others"}[row.equal]
        print(f"| {row.what} | {row.ms:.3f} | {row.frames_per_second:.0f} | {network} | {told} |")
    written = {"gpu": gpu.name, "driver": gpu.driver, "size": [height, width], "rows": [asdict(row) for row in rows]}
    (folder / MEASURED).write_text(json.dumps(written, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["prepare", "measure"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=512, help="of the images that `prepare` compiles for")
    parser.add_argument("--tier", choices=TIERS, action="append", help="that `prepare` compiles; may be repeated (all)")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--images", type=int, default=50, help="of one network in one round")
    options = parser.parse_args()
    if options.command == "prepare":
        prepare(options.folder, options.size, options.tier or TIERS)
    else:
        measure(options.folder, options.rounds, options.images)


if __name__ == "__main__":
    main()
