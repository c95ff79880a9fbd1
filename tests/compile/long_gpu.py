"""`make gpu`: the shipped networks at 512x512 and many drawn layers on every OpenCL of this machine, byte for byte.

`make test` has a few of the same; software OpenCL takes minutes for all of these.
"""

import argparse
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).parent))
from opencl import QUICK, devices
from test_gpu_kernels import check, check_layer, layers

from edgedeblur.quantize.edq import load_edq
from edgedeblur.workflow.shipped import shipped_network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", type=int, default=200, help="drawn layers")
    parser.add_argument("--size", type=int, default=512, help="of the shipped networks' images")
    options = parser.parse_args()
    if not devices():
        raise SystemExit("no OpenCL driver, or no pyopencl; nothing was checked: apt-get install pocl-opencl-icd")
    print(f"devices: {', '.join(f'{one.name} ({one.platform.version})' for one in devices())}")
    draw_layers(options.shapes)
    for tier in ("nano", "small", "large"):
        begun = time.monotonic()
        check(load_edq(shipped_network(tier)), options.size, options.size, options=QUICK)
        print(f"{tier} at {options.size}x{options.size}: equal, {time.monotonic() - begun:.0f} s", flush=True)


def draw_layers(count: int) -> None:
    drawn = []

    @settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(layers())
    def run(layer) -> None:
        check_layer(layer)
        drawn.append(layer)

    run()
    print(f"{len(drawn)} drawn layers: equal", flush=True)


if __name__ == "__main__":
    main()
