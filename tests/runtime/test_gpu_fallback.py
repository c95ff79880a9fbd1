"""A GPU that is wrong, missing or fails: the CPU gives the same bytes and the program says why; --unit gpu is an error.

The driver is a double (support/opencl_double.c) whose kernels do nothing and whose every function can fail.
"""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from artefacts import HEIGHT, WIDTH, compiled, expected, noise
from gpu_bench import Outcome, check_cpu, run_with
from networks import random_network, tiny_spec

from edgedeblur.artefact import cpu, names
from edgedeblur.artefact.self_test import fill_image, make_tile
from edgedeblur.compile.linking import link
from edgedeblur.quantize import interpreter

DOUBLE = Path(__file__).parents[1] / "support" / "opencl_double.c"
CALLS = [
    "clGetPlatformIDs",
    "clGetDeviceIDs",
    "clGetDeviceInfo",
    "clCreateContext",
    "clCreateCommandQueue",
    "clCreateProgramWithSource",
    "clBuildProgram",
    "clCreateKernel",
    "clCreateBuffer",
    "clSetKernelArg",
    "clEnqueueNDRangeKernel",
    "clEnqueueMapBuffer",
    "clEnqueueUnmapMemObject",
    "clFinish",
]
IN_A_RUN = CALLS[-4:]
NOT_TOLD = {"clGetDeviceIDs": "there is no device", "clGetDeviceInfo": "there is no device"}  # such are passed over


@pytest.fixture(scope="module")
def double(tmp_path_factory):
    """The double's library, and what it answers: the right restoration of the self-test's image."""
    folder = tmp_path_factory.mktemp("double")
    compiler = link.zig_cc(f"{cpu.architecture()}-linux-gnu.2.17")
    headers = f"-I{compiled('opencl').path / names.RUNTIME_FOLDER}"
    subprocess.run([*compiler, "-O1", "-shared", "-fPIC", headers, DOUBLE, "-o", folder / "cl.so"], check=True)
    right = interpreter.run(random_network(tiny_spec()), fill_image(make_tile(), HEIGHT, WIDTH))
    (folder / "answer.rgb").write_bytes(right.tobytes())
    (folder / "in.rgb").write_bytes(noise().tobytes())
    return folder


def bench(double: Path, *options: str, **environment: str) -> Outcome:
    """One image after the self-test."""
    return run_with(compiled("opencl"), double / "cl.so", double, *options, **environment)


def test_a_gpu_that_passes_the_self_test_computes(double):
    outcome = bench(double, answer=str(double / "answer.rgb"))
    assert (outcome.result["unit"], outcome.result["threads"], outcome.said) == ("gpu", 1, "")
    gpu = outcome.result["gpu"]
    assert (gpu["name"], gpu["driver"], gpu["is_gpu"]) == ("a double", "1.0", True)
    described = compiled("opencl").manifest["gpu"]
    planned = described["arena_bytes"] + described["weights_bytes"] + 2 * HEIGHT * WIDTH * 4
    assert planned - 64 * 40 < gpu["bytes"] <= planned, "constants lie on cache lines of their own in the file"


WRONG = "self-test: a double restores the artefact's tile to other bytes"


def test_a_wrong_answer_leaves_it_to_the_cpu_and_is_an_error_where_the_gpu_was_asked_for(double):
    check_cpu(bench(double), WRONG)
    asked = bench(double, "--unit", "gpu")
    assert asked.result is None and WRONG in asked.said


@pytest.mark.parametrize("call", CALLS)
def test_every_call_that_fails_at_the_start_leaves_it_to_the_cpu(double, call):
    answer = str(double / "answer.rgb")
    message = NOT_TOLD.get(call, f"OpenCL: {call} failed with -99")
    check_cpu(bench(double, fail=call, answer=answer), message)
    asked = bench(double, "--unit", "gpu", fail=call, answer=answer)
    assert asked.result is None and re.search(message, asked.said)


@pytest.mark.parametrize("call", IN_A_RUN)
def test_every_call_that_fails_in_a_run_moves_that_image_to_the_cpu(double, call):
    calls = {"clEnqueueNDRangeKernel": len(compiled("opencl").manifest["gpu"]["kernels"]), "clFinish": 1}
    environment = {"fail": call, "at": str(calls.get(call, 2)), "answer": str(double / "answer.rgb")}
    check_cpu(bench(double, **environment), f"OpenCL: {call} failed with -99")
    asked = bench(double, "--unit", "gpu", **environment)
    assert asked.result is None and f"{call} failed with -99" in asked.said


def test_a_canary_that_fails_moves_its_image_to_the_cpu(double):
    answer = str(double / "answer.rgb")
    unnoticed = bench(double, answer=answer, wrong_from="1")
    assert unnoticed.result["unit"] == "gpu"
    check_cpu(bench(double, "--canary", "1", answer=answer, wrong_from="1"), WRONG)
    asked = bench(double, "--canary", "1", "--unit", "gpu", answer=answer, wrong_from="1")
    assert asked.result is None and WRONG in asked.said


def test_the_cpu_is_used_without_asking_the_gpu_where_it_is_asked_for(double):
    outcome = bench(double, "--unit", "cpu", fail="clGetPlatformIDs")
    assert outcome.result["unit"] == "cpu" and outcome.said == ""
    np.testing.assert_array_equal(outcome.output, expected())


@pytest.mark.parametrize(
    ("library", "message"),
    [
        ("/no/such.so", "OpenCL: /no/such.so cannot be loaded"),
        ("libm.so.6", "its library has no function clGetPlatformIDs"),
    ],
)
def test_a_driver_that_is_missing_or_is_none_leaves_it_to_the_cpu(double, library, message):
    check_cpu(bench(double, "--gpu-library", library), message)
    asked = bench(double, "--unit", "gpu", "--gpu-library", library)
    assert asked.result is None and message in asked.said


def on_gpu(double: Path, folder: Path, *options: str, **environment: str) -> bool:
    """Whether the GPU computes, with this folder for what the driver has compiled."""
    answer = str(double / "answer.rgb")
    return bench(double, "--cache", str(folder), *options, answer=answer, **environment).result["unit"] == "gpu"


NO_TEXT = {"fail": "clCreateProgramWithSource"}  # a driver that cannot compile has to find what it compiled before


def test_what_the_driver_compiled_is_found_again_by_its_version(double, tmp_path):
    assert not on_gpu(double, tmp_path, **NO_TEXT)
    assert on_gpu(double, tmp_path) and on_gpu(double, tmp_path, **NO_TEXT)
    (kept,) = tmp_path.iterdir()
    assert re.fullmatch(r"edgedeblur-[0-9a-f]{32}\.cl-binary", kept.name)
    assert not on_gpu(double, tmp_path, driver="1.1", **NO_TEXT)
    assert on_gpu(double, tmp_path, driver="1.1") and on_gpu(double, tmp_path, driver="1.1", **NO_TEXT)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:-1] + b"?", lambda data: b"", lambda data: b"x" * 99]
)
def test_a_damaged_file_of_the_cache_is_compiled_again(double, tmp_path, damage):
    assert on_gpu(double, tmp_path)
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    assert not on_gpu(double, tmp_path, **NO_TEXT)
    assert on_gpu(double, tmp_path) and kept.read_bytes() == whole


def test_what_the_driver_no_longer_takes_is_compiled_again(double, tmp_path):
    assert on_gpu(double, tmp_path)
    assert on_gpu(double, tmp_path, fail="clCreateProgramWithBinary")


def test_a_cache_that_cannot_be_written_or_asked_for_stops_nothing(double, tmp_path):
    assert on_gpu(double, tmp_path / "none") and on_gpu(double, tmp_path, fail="clGetProgramInfo")
    assert on_gpu(double, Path("/" + "x" * 2000)) and not list(tmp_path.iterdir())
