"""The bench program for a phone's GPU, linked without an NDK: it starts as on a phone and loads OpenCL."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from artefacts import HEIGHT, WIDTH, compiled, expected, noise
from ndk import build_double
from networks import random_network, tiny_spec

from edgedeblur.artefact.self_test import fill_image, make_tile
from edgedeblur.compile.linking.bionic import PAGE_BYTES
from edgedeblur.compile.linking.elf import read_library
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter
from edgedeblur.runtime.program import NoRunner, run_program

needs_qemu = pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed")


def readelf(*options) -> str:
    command = ["readelf", "-W", *options, compiled("adreno").bench]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_program_is_one_of_android():
    assert "Requesting program interpreter: /system/bin/linker64" in readelf("-l")
    assert "Position-Independent Executable" in readelf("-h")
    assert re.search(r"Android\s+0x00000004\s.*18 00 00 00", readelf("-n")), "API level 24"
    assert set(re.findall(r"Shared library: \[(.*)\]", readelf("-d"))) == {"libc.so", "libdl.so"}
    assert {alignment for kind, alignment in read_library(compiled("adreno").bench).segments if kind == 1} == {
        PAGE_BYTES
    }


def test_the_library_for_apps_takes_the_loaders_functions_and_its_aar_names_the_driver():
    info = compiled("adreno")
    assert {"dlopen", "dlsym", "dlerror"} <= set(read_library(info.library).undefined)
    assert b'<uses-native-library android:name="libOpenCL.so"' in (info.path / "edgedeblur.aar").read_bytes()


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    """A folder with a double of Android, an image, and what the GPU's double answers: self-test, image."""
    folder, info = tmp_path_factory.mktemp("phone"), compiled("adreno")
    build_double(folder, info.path, info.bench, gpu=True)
    (folder / "in.rgb").write_bytes(noise().tobytes())
    proof = interpreter.run(random_network(tiny_spec()), fill_image(make_tile(), HEIGHT, WIDTH))
    (folder / "answer.rgb").write_bytes(proof.tobytes() + expected().tobytes())
    return folder


def bench(phone, *options, **environment):
    command = ["qemu-aarch64", "-cpu", "cortex-a76", phone / "bionic_double", "--program", compiled("adreno").bench]
    command += ["--input", phone / "in.rgb", "--output", phone / "out.rgb", "--runs", "2", "--warmup", "0", *options]
    told = {f"ED_DOUBLE_{name.upper()}": str(value) for name, value in environment.items()}
    return subprocess.run(
        ["env", *(f"{name}={value}" for name, value in told.items()), *command], capture_output=True, text=True
    )


@needs_qemu
@pytest.mark.parametrize(("driver", "unit"), [("right", "gpu"), ("wrong", "cpu")])
def test_it_restores_on_the_gpu_that_it_finds_and_on_the_cpu_where_that_is_wrong(phone, driver, unit):
    done = bench(phone, **({"answer": phone / "answer.rgb"} if driver == "right" else {}))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["unit"] == unit
    assert ("self-test" in done.stderr) == (driver == "wrong")
    np.testing.assert_array_equal(np.fromfile(phone / "out.rgb", np.uint8).reshape(HEIGHT, WIDTH, 3), expected())


@needs_qemu
def test_a_gpu_that_was_asked_for_and_is_wrong_is_an_error(phone):
    done = bench(phone, "--unit", "gpu")
    assert done.returncode == 1 and "self-test" in done.stderr


def test_this_machine_does_not_try_to_run_it():
    with pytest.raises(NoRunner, match="target adreno is for the GPU of a phone") as caught:
        run_program(compiled("adreno"), noise())
    assert isinstance(caught.value, UserError) and "bench --adb" in caught.value.fix
