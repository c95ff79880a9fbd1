"""`make gpu`: the shipped networks at 512x512 and many drawn layers on every OpenCL of this machine, byte for byte; the
drawn layers and the networks at 96x96 as PTX too, by an interpreter of it.

`make test` has a few of the same; software OpenCL takes minutes for all of these.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).parent))
from gpu_layers import LayerCase, layer_plans
from opencl import QUICK, devices
from ptx import run_ptx, run_ptx_plan
from test_gpu_kernels import check, check_layers, layers, picture

from edgedeblur.compile.gpu.build import build_gpu_plan
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.edq import load_edq
from edgedeblur.workflow.shipped import shipped_network

BATCH = 10  # layers with one text: the driver and TVM start once for them
PTX_SIDE = 96


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", type=int, default=200, help="drawn layers")
    parser.add_argument("--size", type=int, default=512, help="of the shipped networks' images")
    options = parser.parse_args()
    if not devices():
        raise SystemExit("no OpenCL driver, or no pyopencl; nothing was checked: apt-get install pocl-opencl-icd")
    print(f"devices: {', '.join(f'{one.name} ({one.platform.version})' for one in devices())}")
    drawn = draw_layers(options.shapes)
    check_batches("OpenCL", drawn, check_layers)
    check_batches("PTX", drawn, check_ptx)
    for tier in ("nano", "small", "large"):
        network, begun = load_edq(shipped_network(tier)), time.monotonic()
        image = picture(PTX_SIDE, PTX_SIDE)
        restored = run_ptx(build_gpu_plan(network, PTX_SIDE, PTX_SIDE, "cuda"), image)
        np.testing.assert_array_equal(restored, interpreter.run(network, image))
        print(f"{tier} at {PTX_SIDE}x{PTX_SIDE}, PTX: equal, {time.monotonic() - begun:.0f} s", flush=True)
        begun = time.monotonic()
        check(network, options.size, options.size, options=QUICK)
        print(f"{tier} at {options.size}x{options.size}: equal, {time.monotonic() - begun:.0f} s", flush=True)


def draw_layers(count: int) -> list[LayerCase]:
    """The same ones each time. They are checked in batches, so Hypothesis only draws."""
    drawn = []

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(layers())
    def draw(case) -> None:
        drawn.append(case)

    draw()
    return drawn


def check_ptx(cases: list[LayerCase]) -> None:
    for one in layer_plans(cases, "cuda"):
        one.check(run_ptx_plan(one.plan, np.empty(0, np.uint32)))


def check_batches(what: str, drawn: list[LayerCase], check_batch: Callable) -> None:
    begun, busy = time.monotonic(), time.process_time()
    for number in range(-(-len(drawn) // BATCH)):
        check_batch(drawn[number * BATCH : (number + 1) * BATCH])
        took, spent = time.monotonic() - begun, time.process_time() - busy
        done = min((number + 1) * BATCH, len(drawn))
        print(f"{what}: {done} of {len(drawn)} drawn layers: equal, {took:.0f} s ({spent:.0f} s of CPU)", flush=True)


if __name__ == "__main__":
    main()
