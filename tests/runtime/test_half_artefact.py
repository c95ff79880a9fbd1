"""An artefact whose GPU computes in float16: its self-test has a tolerance, the CPU that takes over is exact, and
everything says which of the two ran.

The GPU is a double of the driver (support/opencl_double.c) whose answers are given.
"""

import dataclasses
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from artefacts import HEIGHT, WIDTH, noise
from click.testing import CliRunner
from gpu_bench import Outcome, run_with
from half_students import random_student
from networks import random_network, single_layer_spec

from edgedeblur.artefact import cpu, manifest, names
from edgedeblur.artefact.self_test import fill_image, make_tile
from edgedeblur.artefact.target import load_target
from edgedeblur.bench.gpu import bench_image, check_output, gpu_facts, what_is_compared
from edgedeblur.cli.main import cli
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.linking import link
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.edq import save_edq
from edgedeblur.restore.facts import model_facts
from edgedeblur.runtime.program import parse_bench_output
from edgedeblur.runtime.session import Session
from edgedeblur.student.model_file import save_student

SPEC = single_layer_spec(3, fold=2, residual="image")  # its kernels are compiled in a moment
NETWORK = random_network(SPEC)


@pytest.fixture(scope="module")
def artefact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("half") / "artefact"
    return compile_network(NETWORK, load_target("opencl"), HEIGHT, WIDTH, folder, student=random_student(SPEC))


@pytest.fixture(scope="module")
def double(artefact, tmp_path_factory):
    folder = tmp_path_factory.mktemp("double")
    compiler = link.zig_cc(f"{cpu.architecture()}-linux-gnu.2.17")
    source = Path(__file__).parents[1] / "support" / "opencl_double.c"
    headers = f"-I{artefact.path / names.RUNTIME_FOLDER}"
    subprocess.run([*compiler, "-O1", "-shared", "-fPIC", headers, source, "-o", folder / "cl.so"], check=True)
    (folder / "in.rgb").write_bytes(noise().tobytes())
    return folder


def reference(artefact) -> np.ndarray:
    found = np.frombuffer((artefact.path / names.GPU_REFERENCE).read_bytes(), np.uint8)
    return found.reshape(HEIGHT, WIDTH, 3)


def answer(artefact, double: Path, off: int, *options: str) -> Outcome:
    """What the program does where one byte of the GPU's answer is so far from float32's."""
    given = reference(artefact).astype(int)
    given[5, 7, 1] += off if given[5, 7, 1] < 128 else -off
    (double / "answer.rgb").write_bytes(given.astype(np.uint8).tobytes())
    return run_with(artefact, double / "cl.so", double, *options, answer=str(double / "answer.rgb"))


def test_a_gpu_within_the_tolerance_computes_and_says_that_it_is_fp16(artefact, double):
    allowed = artefact.manifest["gpu"]["tolerance_levels"]
    outcome = answer(artefact, double, allowed)
    assert (outcome.result["unit"], outcome.result["precision"]) == ("gpu", "fp16")
    assert "the GPU computes in fp16: not the integer interpreter's bytes" in outcome.said


def test_one_byte_beyond_it_leaves_everything_to_the_exact_cpu(artefact, double):
    allowed = artefact.manifest["gpu"]["tolerance_levels"]
    said = f"in fp16 a double restores the artefact's tile up to {allowed + 1} levels from float32's"
    outcome = answer(artefact, double, allowed + 1)
    assert outcome.result["unit"] == "cpu" and f"the CPU computes: self-test: {said}" in outcome.said
    np.testing.assert_array_equal(outcome.output, interpreter.run(NETWORK, noise()))
    assert outcome.result["precision"] == "int8"
    asked = answer(artefact, double, allowed + 1, "--unit", "gpu")
    assert asked.result is None and said in asked.said


def test_on_the_cpu_the_library_says_int8_and_gives_the_interpreters_bytes(artefact):
    with Session(artefact, unit="cpu") as session:
        assert (session.unit, session.precision) == ("cpu", "int8")
        np.testing.assert_array_equal(session.run(noise()), interpreter.run(NETWORK, noise()))


def test_manifest_and_inspect_say_it_plainly(artefact):
    described = artefact.manifest["gpu"]
    assert described["precision"] == "fp16" and described["levels"] < described["tolerance_levels"]
    (fact,) = (fact for fact in model_facts(artefact.path).known if fact.label == "GPU")
    assert "fp16 (float16 in memory, float32 sums), not the interpreter's bytes" in fact.text
    assert "on the CPU int8" in fact.text and fact.values["gpu"]["precision"] == "fp16"


def test_bench_checks_fp16_by_the_float32_picture_and_int8_by_the_interpreter(artefact):
    image, right = bench_image(artefact), reference(artefact)
    np.testing.assert_array_equal(image, fill_image(make_tile(), HEIGHT, WIDTH))
    assert what_is_compared(artefact) == "the float32 picture, as the GPU's form is fp16"
    allowed = artefact.manifest["gpu"]["tolerance_levels"]
    near = np.where(right < 128, right + allowed, right - allowed).astype(np.uint8)
    check_output(artefact, near, "fp16")
    check_output(artefact, interpreter.run(NETWORK, image), "int8")
    with pytest.raises(
        UserError, match=f"fp16 output is up to {allowed + 1} levels from float32's; {allowed} are allowed"
    ):
        check_output(artefact, np.where(right < 128, near + 1, near - 1).astype(np.uint8), "fp16")
    with pytest.raises(UserError, match="not the integer interpreter's"):
        check_output(artefact, right, "int8")


def test_the_report_has_the_precision(artefact, double):
    result = parse_bench_output(json.dumps(answer(artefact, double, 0).result))
    assert gpu_facts(result).precision == "fp16"


def compile_words(folder: Path, *words: str):
    return CliRunner().invoke(cli, ["compile", *words, "--workdir", str(folder), "--size", "16x16"])


def test_the_student_must_be_the_one_that_was_quantised(tmp_path):
    save_student(tmp_path / "student.safetensors", random_student(SPEC), {})
    save_edq(NETWORK, tmp_path / "unknown.edq")
    other = tmp_path / "other.edq"
    save_edq(dataclasses.replace(NETWORK, provenance={"student_sha256": "ab" * 32}), other)
    half = ("--precision", "fp16")
    for words, said in (
        (
            (str(tmp_path / "unknown.edq"), "--target", "opencl", *half),
            "does not say which student it was quantised from",
        ),
        ((str(other), "--target", "opencl", *half), "is another one"),
        ((str(other), "--target", "host", *half), "--precision fp16 is for a GPU, and target host has none"),
        ((str(other), "--student", str(other)), "without --precision fp16"),
    ):
        result = compile_words(tmp_path, *words)
        assert result.exit_code == 2 and said in " ".join(result.output.split()), result.output


def test_older_artefacts_are_described_as_int8(artefact):
    values, text = manifest.gpu_facts(
        {key: value for key, value in artefact.manifest["gpu"].items() if key != "precision"}
    )
    assert values["gpu"]["precision"] == "int8" and "fp16" not in text
