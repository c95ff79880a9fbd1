"""Networks from papers (tests/support/paper_networks.py, random weights) beside our tiers: cost, time, bytes.

    PYTHONPATH=.:tests/support python benchmarks/networks_from_papers.py [--size 512] [--bytes] [NAME ...]

The estimate is of the target `android`, by llvm-mca, as `edgedeblur bench` makes it. CPU time is of one thread of this
machine, the least of three runs, so that other work on the machine counts for little; the artefact is the host's.
With --bytes each network's artefacts are held against the interpreter, here and in qemu on three ARM cores.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from paper_networks import NETWORKS, paper_network

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.build import layer_kernels
from edgedeblur.estimate.candidates import kernel_code
from edgedeblur.estimate.kernel_cost import kernel_costs
from edgedeblur.estimate.machine import target_machine
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.edq import load_edq
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise_student
from edgedeblur.runtime.program import run_program
from edgedeblur.runtime.session import Session
from edgedeblur.student import TIERS
from edgedeblur.student.importing.importer import import_module
from edgedeblur.workflow.shipped import shipped_network

CORES = ("max", "cortex-a76", "cortex-a53")  # of qemu, with the kernels i8mm, sdot and neon


def network_of(name: str) -> QuantisedNetwork:
    """A tier as it ships, or a paper's network, quantised with noise."""
    if name in TIERS:
        return load_edq(shipped_network(name))
    student = import_module(paper_network(name), f"papers:{name}")
    side, random = max(64, 2 * student.spec.multiple), np.random.default_rng(0)
    pictures = [random.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(2)]
    return quantise_student(student, pictures, QuantiseOptions("min-max", equalise=False, bias_correction=False))


def estimated_ms(network: QuantisedNetwork, side: int) -> float:
    """On the big cores of the phone that the target `android` describes."""
    target = load_target("android")
    kernels = layer_kernels(network, side, side, target, {})
    machine = target_machine(target, target.threads)
    return sum(cost.ms for cost in kernel_costs(kernels, kernel_code(kernels, target), machine, 4 * side * side * 100))


def cpu_ms(network: QuantisedNetwork, side: int, folder: Path) -> float:
    """Of one thread here, the least of three."""
    info = compile_network(network, load_target("host"), side, side, folder / "host")
    image, times = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8), []
    with Session(info, 1) as session:
        for _ in range(3):
            started = time.process_time()
            session.run(image)
            times.append(time.process_time() - started)
    return 1000 * min(times)


def equal_bytes(network: QuantisedNetwork, folder: Path) -> str:
    """Where an artefact gives the interpreter's bytes for 64x96."""
    image = np.random.default_rng(2).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    expected, equal = interpreter.run(network, image), []
    info = compile_network(network, load_target("host"), 64, 96, folder / "here")
    with Session(info, 2) as session:
        equal.append(("here", np.array_equal(session.run(image), expected)))
    info = compile_network(network, load_target("android-arm64"), 64, 96, folder / "arm")
    for core in CORES:
        done = run_program(info, image, runs=1, warmup=0, threads=2, runner=("qemu-aarch64", "-cpu", core))
        equal.append((done.result.isa, np.array_equal(done.output, expected)))
    return ", ".join(f"{place} {'equal' if same else 'DIFFERENT'}" for place, same in equal)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=["small", *NETWORKS])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--bytes", action="store_true")
    options = parser.parse_args()
    for name in options.names:
        network = network_of(name)
        spec = network.spec
        row = f"{name}: {spec.parameters:,} parameters, {spec.macs(options.size, options.size) / 1e9:.2f} GMAC, "
        row += f"{len(spec.convolutions)} convolutions, {len(spec.operations)} layers without weights"
        print(row, flush=True)
        print(f"  estimated {estimated_ms(network, options.size):.1f} ms", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            print(f"  {cpu_ms(network, options.size, Path(folder)):.0f} ms of one thread's CPU time here", flush=True)
            if options.bytes:
                print(f"  {equal_bytes(network, Path(folder))}", flush=True)


if __name__ == "__main__":
    main()
