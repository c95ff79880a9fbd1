"""An artefact with kernels for CUDA: its own program with a double of NVIDIA's driver.

The double (support/cuda_double.c) computes what the artefact's kernels.cu says, so the self-test passes for the right
reason, and every one of its functions can fail. What the PTX computes: tests/compile/test_cuda_kernels.py.
"""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from artefacts import HEIGHT, WIDTH, compiled, expected, noise
from gpu_bench import Outcome, check_cpu, run_with

from edgedeblur.artefact import cpu, names
from edgedeblur.artefact.target import load_target, parse_target, target_table
from edgedeblur.bench import gpu_devices
from edgedeblur.bench.gpu import lacks_gpu
from edgedeblur.compile.linking import link
from edgedeblur.errors import UserError
from edgedeblur.workflow import doctor

SUPPORT = Path(__file__).parents[1] / "support"
AT_THE_START = [
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRetain",
    "cuModuleLoadDataEx",
    "cuStreamCreate",
    "cuMemAllocHost_v2",
    "cuMemAlloc_v2",
    "cuMemcpyHtoD_v2",
    "cuModuleGetFunction",
]
IN_A_RUN = [
    "cuCtxPushCurrent_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuLaunchKernel",
    "cuMemcpyDtoHAsync_v2",
    "cuStreamSynchronize",
]


@pytest.fixture(scope="module")
def double(tmp_path_factory) -> Path:
    """A folder with the double's library, whose kernels are this artefact's, and an image."""
    folder, artefact = tmp_path_factory.mktemp("double"), compiled("cuda").path
    compiler = [*link.zig_cc(f"{cpu.architecture()}-linux-gnu.2.17"), "-O1", "-fPIC", "-w"]
    kernels = ["-x", "c++", "-std=c++17", "-include", SUPPORT / "cuda_on_cpu.h", artefact / names.CUDA_TEXT]
    subprocess.run([*compiler, "-c", *kernels, "-o", folder / "kernels.o"], check=True)
    sources = [f"-I{artefact / names.RUNTIME_FOLDER}", SUPPORT / "cuda_double.c", folder / "kernels.o"]
    subprocess.run([*compiler, "-shared", *sources, "-ldl", "-lm", "-o", folder / "cuda.so"], check=True)
    (folder / "in.rgb").write_bytes(noise().tobytes())
    return folder


def bench(double: Path, *options: str, **environment: str) -> Outcome:
    return run_with(compiled("cuda"), double / "cuda.so", double, *options, **environment)


def test_the_kernels_text_gives_the_interpreters_bytes_and_passes_the_self_test(double):
    outcome = bench(double, "--unit", "gpu", "--canary", "1")
    assert outcome.result is not None, outcome.said
    assert (outcome.result["unit"], outcome.result["threads"], outcome.said) == ("gpu", 1, "")
    np.testing.assert_array_equal(outcome.output, expected())
    gpu = outcome.result["gpu"]
    assert (gpu["name"], gpu["driver"], gpu["is_gpu"]) == ("a double", "CUDA 12.4, sm_75", True)
    described = compiled("cuda").manifest["gpu"]
    planned = described["arena_bytes"] + described["weights_bytes"] + 2 * HEIGHT * WIDTH * 4
    assert planned - 64 * 40 < gpu["bytes"] <= planned, "constants lie on cache lines of their own in the file"


@pytest.mark.parametrize("call", [*AT_THE_START, *IN_A_RUN])
def test_every_call_that_fails_at_the_start_leaves_it_to_the_cpu(double, call):
    message = f"CUDA: {call} failed with 999" + ("" if call == "cuModuleLoadDataEx" else ", CUDA_ERROR_UNKNOWN")
    check_cpu(bench(double, fail=call), message)
    asked = bench(double, "--unit", "gpu", fail=call)
    assert asked.result is None and message in asked.said


@pytest.mark.parametrize("call", IN_A_RUN)
def test_every_call_that_fails_in_a_run_moves_that_image_to_the_cpu(double, call):
    of_the_start = {"cuCtxPushCurrent_v2": 2, "cuLaunchKernel": len(compiled("cuda").manifest["gpu"]["kernels"])}
    environment = {"fail": call, "at": str(of_the_start.get(call, 1))}
    check_cpu(bench(double, **environment), f"CUDA: {call} failed with 999, CUDA_ERROR_UNKNOWN")
    asked = bench(double, "--unit", "gpu", **environment)
    assert asked.result is None and f"CUDA: {call} failed with 999" in asked.said


def test_a_wrong_answer_or_canary_leaves_it_to_the_cpu_and_is_an_error_where_the_gpu_was_asked_for(double):
    wrong = "self-test: a double restores the artefact's tile to other bytes"
    check_cpu(bench(double, wrong_from="0"), wrong)
    assert bench(double, wrong_from="1").result["unit"] == "gpu"
    check_cpu(bench(double, "--canary", "1", wrong_from="1"), wrong)
    asked = bench(double, "--canary", "1", "--unit", "gpu", wrong_from="1")
    assert asked.result is None and wrong in asked.said


def test_a_gpu_that_is_too_old_no_driver_or_another_library_leaves_it_to_the_cpu(double):
    assert bench(double, capability="90").result["gpu"]["driver"] == "CUDA 12.4, sm_90"
    check_cpu(bench(double, capability="70"), "no GPU of compute capability 7.5 or later among 1")
    check_cpu(bench(double, "--gpu-library", "/no/such.so"), "CUDA: /no/such.so cannot be loaded")
    check_cpu(bench(double, "--gpu-library", "libm.so.6"), "CUDA: its library has no function cuInit")


def test_the_cpu_is_used_without_asking_the_gpu_where_it_is_asked_for(double):
    outcome = bench(double, "--unit", "cpu", fail="cuInit")
    assert outcome.result["unit"] == "cpu" and outcome.said == ""
    np.testing.assert_array_equal(outcome.output, expected())


def test_the_artefact_has_the_kernels_as_text_and_as_ptx_and_nothing_of_opencl():
    artefact = compiled("cuda")
    assert artefact.target.gpu == artefact.manifest["gpu"]["language"] == "cuda"
    ptx = (artefact.path / names.CUDA_PTX).read_text()
    entries = re.findall(r"\.entry (\w+)\(", ptx)
    assert set(entries) == {kernel["kernel"] for kernel in artefact.manifest["gpu"]["kernels"]}
    assert {names.CUDA_TEXT, names.CUDA_PTX, names.GPU_CONSTANTS} < set(artefact.manifest["files"])
    assert names.GPU_TEXT not in artefact.manifest["files"]
    assert not list((artefact.path / names.RUNTIME_FOLDER).glob("opencl*"))


@pytest.mark.parametrize(("capability", "status"), [("75", "ok"), ("70", "optional")])
def test_doctor_asks_the_driver_for_gpus_that_are_new_enough(double, monkeypatch, capability, status):
    monkeypatch.setattr(gpu_devices, "_CUDA_LIBRARY", str(double / "cuda.so"))
    monkeypatch.setenv("ED_DOUBLE_CAPABILITY", capability)
    check = doctor.check_cuda()
    assert (check.status, check.found) == (status, "a double")
    monkeypatch.setattr(gpu_devices, "_CUDA_LIBRARY", "/no/such.so")
    assert "libcuda.so.1 is not installed" in doctor.check_cuda().found


def test_bench_without_a_gpu_says_what_else_can_be_measured():
    if "not installed" not in doctor.check_cuda().found:
        pytest.skip("NVIDIA's driver is here")
    with pytest.raises(UserError, match="libcuda.so.1 cannot be loaded") as refused:
        lacks_gpu(compiled("cuda"))
    assert "edgedeblur doctor" in refused.value.fix and "edgedeblur bench --target host" in refused.value.fix


def test_phones_have_no_cuda(tmp_path):
    table = target_table(load_target("adreno")) | {"gpu": "cuda"}
    with pytest.raises(UserError, match="gpu = 'cuda'; no phone has NVIDIA's driver"):
        parse_target("phone", table, tmp_path / "phone.toml")
