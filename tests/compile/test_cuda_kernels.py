"""PTX without a GPU: what it computes, by an interpreter of PTX (support/ptx.py); NVIDIA's assembler takes it."""

import functools
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from networks import gated_spec, in_winograd_form, mobile_spec, random_network, single_layer_spec
from ptx import run_ptx

from edgedeblur.compile.gpu.build import GpuPlan, build_gpu_plan
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter

HEIGHT, WIDTH = 16, 24
NETWORKS = {  # gates over many parts, channels that fill no word, layers in Winograd form; what mobile nets have
    "gated": functools.cache(lambda: in_winograd_form(random_network(gated_spec()))),
    "mobile": functools.cache(lambda: random_network(mobile_spec())),
}


@functools.cache
def plan(name: str) -> GpuPlan:
    return build_gpu_plan(NETWORKS[name](), HEIGHT, WIDTH, "cuda")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_ptx_gives_the_interpreters_bytes(name):
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    np.testing.assert_array_equal(run_ptx(plan(name), image), interpreter.run(NETWORKS[name](), image))


@pytest.mark.parametrize("name", NETWORKS)
def test_convolutions_multiply_by_dp4a_with_sums_in_registers_for_every_gpu_from_turing_on(name):
    ptx = plan(name).ptx
    assert ".target sm_75" in ptx and ".local" not in ptx and "call" not in re.findall(r"\b\w+\b", ptx)
    kernels = dict(re.findall(r"\.entry (\w+)\((.*?)\n\}", ptx, re.DOTALL))
    assert set(kernels) == {call.kernel for call in plan(name).calls}
    for kernel, code in kernels.items():
        assert ("dp4a.s32.s32" in code) == kernel.startswith("ed_conv"), kernel
        assert not re.search(r"\bfma\b|\.ftz|\.approx|div\.\w*\.?f32", code), "one rounding for each float operation"


def ptxas() -> str | None:
    """NVIDIA's assembler: the one of pip's nvidia-cuda-nvcc, or of a CUDA that is installed."""
    import importlib.util

    spec = importlib.util.find_spec("nvidia")
    places = [] if spec is None else [Path(place) for place in spec.submodule_search_locations]
    found = [path for place in places for path in sorted(place.glob("*/bin/ptxas"))]
    return str(found[0]) if found else shutil.which("ptxas")


def spills(ptx: str, folder: Path) -> int:
    """Kernels that NVIDIA's assembler cannot keep in registers."""
    (folder / "kernels.ptx").write_text(ptx)
    command = [ptxas(), "-arch=sm_75", "-v", "kernels.ptx", "-o", "kernels.cubin"]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stderr
    return ptx.count(".entry ") - said.count(" 0 bytes spill stores, 0 bytes spill loads")


@pytest.mark.skipif(ptxas() is None, reason="no ptxas (pip install 'edgedeblur[ptxas]')")
def test_nvidias_assembler_takes_the_ptx_and_keeps_all_in_registers(tmp_path):
    assert plan("gated").ptx.count(".entry ") == len({call.kernel for call in plan("gated").calls})
    assert spills(plan("gated").ptx, tmp_path) == 0


def test_an_image_with_more_work_groups_than_cuda_has_is_refused():
    with pytest.raises(UserError, match="262,144 rows of work groups; CUDA takes at most 65,535"):
        build_gpu_plan(random_network(single_layer_spec(1)), 1 << 20, 16, "cuda")
