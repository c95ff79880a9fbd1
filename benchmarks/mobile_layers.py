"""Depthwise and 1x1 layers beside ONNX Runtime and LiteRT, on the same int8 network: who is how fast, in one run.

    PYTHONPATH=. python benchmarks/mobile_layers.py [--size 512] [--rounds 10] [--estimate] [NAME ...]

`mobile` is a student of MobileNetV2's inverted residuals; `depthwise` and `pointwise` are stacks of one kind of layer.
Random weights, ranges from two images of noise. CPU time of one thread, so that other work on the machine counts for
little; runtimes take turns, and medians are compared. `speed` is the time of the fastest other runtime over ours. On
processors without VNNI, ONNX Runtime runs with its exact kernels and with its own choice, which saturates in 16 bits.

--estimate: in place of that, what llvm-mca says of the target `android`, by kind of layer.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from edgedeblur.artefact.target import load_target
from edgedeblur.bench.peers import PEERS
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.build import layer_kernels
from edgedeblur.estimate.candidates import kernel_code
from edgedeblur.estimate.kernel_cost import kernel_costs
from edgedeblur.estimate.machine import target_machine
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise_student
from edgedeblur.runtime.session import Session
from edgedeblur.student import IMAGE, ConvSpec, StudentSpec
from edgedeblur.student.module import Student

RIVALS = ("onnxruntime", "litert")
AS_IT_COMES = "onnxruntime, its own choice of kernels"
WIDTHS = (16, 32, 64)  # at 1/2, 1/4 and 1/8 of the image's sides
EXPANSION = 4


def inverted_residual(name: str, source: str, channels: int, out: int, stride: int = 1) -> tuple[ConvSpec, ...]:
    """MobileNetV2's block (Sandler et al., CVPR 2018), normalisation folded."""
    wide, residual = EXPANSION * channels, source if (channels, stride) == (out, 1) else None
    return (
        ConvSpec(f"{name}.wide", source, channels, wide, kernel=1, relu=True, limit=6.0),
        ConvSpec(f"{name}.deep", f"{name}.wide", wide, wide, stride=stride, groups=wide, relu=True, limit=6.0),
        ConvSpec(f"{name}.narrow", f"{name}.deep", wide, out, kernel=1, residual=residual),
    )


def mobile(blocks: int = 3) -> StudentSpec:
    """A U-shape of inverted residuals; 1x1 and depth-to-space on the way up."""
    layers = [ConvSpec("stem", IMAGE, 12, WIDTHS[0], space_to_depth=2, relu=True)]
    skips = []
    for level, channels in enumerate(WIDTHS):
        for block in range(blocks):
            layers += inverted_residual(f"enc{level}.{block}", layers[-1].name, channels, channels)
        skips.append(layers[-1].name)
        if level + 1 < len(WIDTHS):
            layers += inverted_residual(f"down{level}", skips[-1], channels, WIDTHS[level + 1], stride=2)
    for level in (1, 0):
        up = ConvSpec(f"up{level}", layers[-1].name, WIDTHS[level + 1], 4 * WIDTHS[level], kernel=1, depth_to_space=2)
        layers.append(replace(up, residual=skips[level]))
        layers += inverted_residual(f"dec{level}", up.name, WIDTHS[level], WIDTHS[level])
    layers.append(ConvSpec("head", layers[-1].name, WIDTHS[0], 12, kernel=1, depth_to_space=2, residual=IMAGE))
    return StudentSpec("mobile", tuple(layers), skips[-1], multiple=8)


def stack(kind: str, count: int = 12, channels: int = 64) -> StudentSpec:
    """`count` layers of one kind at a quarter of the image's sides."""
    each = {"depthwise": {"groups": channels}, "pointwise": {"kernel": 1}}[kind]
    layers = [ConvSpec("stem", IMAGE, 48, channels, kernel=1, space_to_depth=4, relu=True)]
    for index in range(count):
        layers.append(ConvSpec(f"{kind}.{index}", layers[-1].name, channels, channels, relu=True, **each))
    layers.append(ConvSpec("head", layers[-1].name, channels, 48, kernel=1, depth_to_space=4, residual=IMAGE))
    return StudentSpec(kind, tuple(layers), layers[-2].name, multiple=4)


NETWORKS = {"mobile": mobile, "depthwise": lambda: stack("depthwise"), "pointwise": lambda: stack("pointwise")}


def network_of(name: str) -> QuantisedNetwork:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (128, 128, 3), dtype=np.uint8) for _ in range(2)]
    options = QuantiseOptions("min-max", equalise=False, bias_correction=False)
    return quantise_student(Student(NETWORKS[name]()), pictures, options)


def onnx_runtime_as_it_comes(path: Path) -> Callable[[np.ndarray], object]:
    """Without `session.x64quantprecision`, which the peer `onnxruntime` sets where sums would saturate."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": image[None]})


def times_beside_peers(network: QuantisedNetwork, side: int, rounds: int, folder: Path) -> dict[str, float]:
    """Median milliseconds of one thread's CPU time, of three runs in each round after one that is not counted."""
    image = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    info = compile_network(network, load_target("host"), side, side, folder / "host")
    with Session(info, 1) as session:
        runs = {"edgedeblur": session.run}
        runs |= {peer: PEERS[peer](network, (side, side), 1, folder).run for peer in RIVALS}
        runs[AS_IT_COMES] = onnx_runtime_as_it_comes(folder / "qlinear.onnx")
        times = {who: [] for who in runs}
        for _ in range(rounds):
            for who, run in runs.items():
                run(image)
                for _ in range(3):
                    start = time.process_time()
                    run(image)
                    times[who].append(1000 * (time.process_time() - start))
    return {who: float(np.median(each)) for who, each in times.items()}


def estimated_ms(network: QuantisedNetwork, side: int) -> Counter:
    """On the big cores of the phone that the target `android` describes, by kind of layer."""
    target = load_target("android")
    kernels = layer_kernels(network, side, side, target, {})
    machine = target_machine(target, target.threads)
    costs = kernel_costs(kernels, kernel_code(kernels, target), machine, 4 * side * side * 100)
    by_kind: Counter = Counter()
    for layer, cost in zip((kernel.layer for kernel in kernels), costs, strict=True):
        by_kind["depthwise" if layer.depthwise else f"{layer.kernel}x{layer.kernel}"] += cost.ms
    return by_kind


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(NETWORKS))
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--estimate", action="store_true")
    options = parser.parse_args()
    for name in options.names:
        network = network_of(name)
        print(f"{name}: {network.spec.macs(options.size, options.size) / 1e9:.2f} GMAC", flush=True)
        if options.estimate:
            by_kind = estimated_ms(network, options.size)
            parts = ", ".join(f"{kind} {ms:.1f}" for kind, ms in by_kind.items())
            print(f"  estimated for android: {by_kind.total():.1f} ms ({parts})", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            times = times_beside_peers(network, options.size, options.rounds, Path(folder))
        for who, each in times.items():
            print(f"  {who:40} {each:7.1f} ms")
        ours = times.pop("edgedeblur")
        print(f"  speed {min(times.values()) / ours:.2f}", flush=True)


if __name__ == "__main__":
    main()
