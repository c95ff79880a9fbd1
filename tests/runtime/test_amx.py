"""An artefact with AMX's kernels and others beside them, on whatever this machine is."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kernels import one_layer_between
from networks import random_network

from edgedeblur.artefact.cpu import architecture, runs_here
from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter
from edgedeblur.runtime.program import run_program
from edgedeblur.student import ConvSpec

pytestmark = pytest.mark.skipif(architecture() != "x86_64", reason="needs an x86-64 processor")

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 48, 3), np.uint8)


@pytest.fixture(scope="module")
def artefact(tmp_path_factory):
    network = random_network(one_layer_between(16, ConvSpec("probe", "source", 16, 12)))
    return compile_network(network, load_target("x86-64-amx"), 16, 48, tmp_path_factory.mktemp("amx") / "artefact")


def run(artefact, runner=()):
    return run_program(artefact, IMAGE, runs=1, warmup=0, threads=2, runner=runner)


def test_the_manifest_proves_int8_by_products_of_matrices_and_of_the_fall_back(artefact):
    assert [entry["isa"] for entry in artefact.manifest["fallbacks"]] == ["vnni"]
    for entry in (artefact.manifest, *artefact.manifest["fallbacks"]):
        assert entry["int8"]["int8_convolutions"] == entry["int8"]["convolutions"] == 3
    assert {layer["schedule"]["method"] for layer in artefact.manifest["layers"]} == {"matrix"}


@pytest.mark.skipif(runs_here("vnni"), reason="this processor has AVX-512 VNNI")
def test_a_processor_without_either_is_told_what_the_last_set_needs(artefact):
    with pytest.raises(UserError, match="this processor has no AVX-512 VNNI"):
        run(artefact)


@pytest.mark.skipif(not runs_here("vnni"), reason="needs AVX-512 VNNI")
def test_the_best_kernels_that_there_are_give_the_interpreters_bytes(artefact):
    done = run(artefact)
    assert done.result.isa == "amx" if runs_here("amx") else "vnni"
    np.testing.assert_array_equal(done.output, interpreter.run(artefact.network(), IMAGE))


@pytest.mark.skipif(not runs_here("amx"), reason="needs a processor with AMX")
def test_where_the_system_refuses_amx_the_fall_back_runs_and_says_so(artefact, tmp_path):
    source, program = Path(__file__).parents[1] / "support" / "refuse_tiles.c", tmp_path / "refuse_tiles"
    subprocess.run([sys.executable, "-m", "ziglang", "cc", "-O2", str(source), "-o", str(program)], check=True)
    done = run(artefact, (str(program),))
    assert done.result.isa == "vnni"
    np.testing.assert_array_equal(done.output, interpreter.run(artefact.network(), IMAGE))
    said = subprocess.run([program, artefact.bench, "--runs", "1"], capture_output=True, text=True, check=True).stderr
    assert "the system refuses this process the amx instructions (Operation not permitted): it runs the vnni" in said
