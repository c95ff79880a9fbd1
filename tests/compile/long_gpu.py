"""`make gpu`: the shipped networks at 512x512 and many drawn layers on every OpenCL of this machine, and on Intel's for
CPUs where pip has it installed (extra intel-opencl), byte for byte; the drawn layers and the networks at 96x96 as PTX
too, by an interpreter of it; the float16 form at 128x128, near torch's.

`make test` has a few of the same; software OpenCL takes minutes for all of these.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).parent))
from gpu_layers import LayerCase, layer_plans
from opencl import builds, devices, run_on
from ptx import run_ptx, run_ptx_plan
from test_gpu_kernels import check, check_layers, layers, picture

from edgedeblur.compile.gpu.build import build_gpu_plan
from edgedeblur.compile.gpu.half.network import half_network
from edgedeblur.compile.gpu.half.reference import restore_in_float16
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.edq import load_edq
from edgedeblur.student.model_file import load_student
from edgedeblur.workflow.shipped import shipped_network, shipped_student

BATCH = 10  # layers with one text: the driver and TVM start once for them
PTX_SIDE = 96
HALF_SIDE = 128
VENDORS = "OCL_ICD_VENDORS"  # OpenCL's loader: a folder with a file for each driver, which names its library
SYSTEM_VENDORS = Path("/etc/OpenCL/vendors")
INTEL = Path(sys.prefix) / "lib" / "libintelocl.so"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", type=int, default=200, help="drawn layers")
    parser.add_argument("--size", type=int, default=512, help="of the shipped networks' images")
    options = parser.parse_args()
    if INTEL.exists() and VENDORS not in os.environ:
        sys.exit(with_intel())
    if not devices():
        raise SystemExit("no OpenCL driver, or no pyopencl; nothing was checked: apt-get install pocl-opencl-icd")
    for device, words in builds():
        said = f"{device.platform.name}, {device.platform.version}, driver {device.driver_version}"
        print(f"OpenCL: {said} on {device.name}, built with {' '.join(words)}")
    for name, install in missing().items():
        print(f"note: without {name}, which is checked too where it is installed: {install}", flush=True)
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
        check(network, options.size, options.size)
        print(f"{tier} at {options.size}x{options.size}, OpenCL: equal, {time.monotonic() - begun:.0f} s", flush=True)
        check_half(tier)


def with_intel() -> int:
    """This program again in an environment in which OpenCL's loader finds Intel's driver beside the system's, and that
    driver its libraries; its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "intel.icd").write_text(f"{INTEL}\n")
        for found in SYSTEM_VENDORS.glob("*.icd"):
            (Path(folder) / found.name).write_bytes(found.read_bytes())
        told = {VENDORS: folder, "LD_LIBRARY_PATH": f"{INTEL.parent}:{os.environ.get('LD_LIBRARY_PATH', '')}"}
        return subprocess.run([sys.executable, *sys.argv], env=os.environ | told).returncode


def missing() -> dict[str, str]:
    """What this was meant to run on too and is not here, and how it is installed."""
    wanted = {
        "Portable Computing Language": ("PoCL", "apt-get install pocl-opencl-icd"),
        "Intel(R) OpenCL": ("Intel's OpenCL for CPUs", "pip install 'edgedeblur[intel-opencl]'"),
    }
    here = {one.platform.name for one in devices()}
    return dict(found for platform, found in wanted.items() if platform not in here)


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


def check_half(tier: str) -> None:
    """The float16 form on every OpenCL is within a level of torch with float16 in memory."""
    student, _ = load_student(shipped_student(tier))
    image, plan = picture(HALF_SIDE, HALF_SIDE), build_gpu_plan(half_network(student), HALF_SIDE, HALF_SIDE)
    expected = restore_in_float16(student, image).astype(int)
    for device, words in builds():
        if "-DED_PLAIN_DOT" in words:
            continue  # which is about integers
        levels = np.abs(run_on(device, plan, image, words) - expected)
        assert levels.max() <= 1, f"{device.platform.name}: {levels.max()} levels"
        share = f"{(levels > 0).mean():.2%} of the bytes by one level"
        print(f"{tier} at {HALF_SIDE}x{HALF_SIDE}, fp16 on {device.platform.name}: {share}", flush=True)


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
