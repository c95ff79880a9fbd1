"""One artefact with several sets of kernels: each processor runs the best that it has, all read the same weights."""

import dataclasses
import re
import shutil
import subprocess

import numpy as np
import pytest
from artefacts import compiled, expected, noise, probe_plan

from edgedeblur.artefact.names import CONSTANTS
from edgedeblur.bench.gpu import patches_and_noise
from edgedeblur.bench.measure import BenchOptions, bench
from edgedeblur.bench.quality import UNKNOWN
from edgedeblur.compile.emit import ModelFacts, emit_model_c, join_constants
from edgedeblur.errors import UserError
from edgedeblur.runtime.instructions import count_instructions
from edgedeblur.runtime.program import run_program

needs_qemu = pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed")

SDOT_CORE = ("qemu-aarch64", "-cpu", "cortex-a76")


@needs_qemu
@pytest.mark.parametrize(("core", "isa"), [("cortex-a53", "neon"), ("cortex-a76", "sdot"), ("max", "i8mm")])
def test_each_processor_runs_the_best_kernels_that_it_has_and_gives_the_interpreters_bytes(core, isa):
    artefact = compiled("android-arm64")
    done = run_program(artefact, noise(), runs=1, warmup=0, threads=3, runner=("qemu-aarch64", "-cpu", core))
    assert done.result.isa == isa
    np.testing.assert_array_equal(done.output, expected())


def test_the_weights_are_there_once_however_many_kernels_read_them():
    alone, all_sets = compiled("android"), compiled("android-arm64")
    assert (all_sets.path / CONSTANTS).read_bytes() == (alone.path / CONSTANTS).read_bytes()
    assert all_sets.manifest["weights_bytes"] == alone.manifest["weights_bytes"]


def test_the_manifest_proves_int8_for_every_set():
    manifest = compiled("android-arm64").manifest
    assert [entry["isa"] for entry in manifest["fallbacks"]] == ["sdot", "neon"]
    for entry in (manifest, *manifest["fallbacks"]):
        assert entry["int8"]["int8_convolutions"] == entry["int8"]["convolutions"] == 8
        assert entry["int8"]["dot_instructions"] == sum(layer["dot_instructions"] for layer in entry["layers"])


@needs_qemu
def test_a_simulated_bench_checks_every_set_of_kernels():
    said = []
    assert bench(compiled("android-arm64"), BenchOptions(), UNKNOWN, said.append).provenance == "simulated"
    assert [line.split()[0] for line in said if "kernels in qemu-aarch64" in line] == ["sdot", "neon"]


def test_sets_with_weights_of_their_own_find_them_behind_one_another():
    first = probe_plan()
    other = type(first)(first.calls, first.height, first.width, 0, 0, bytes(192))
    blob, starts = join_constants([first, other, first])
    assert starts == [0, 128, 0]
    assert blob == first.constants + other.constants
    text = emit_model_c(first, ModelFacts("probe", "1", "vnni", 1), [("avx2", other)])
    assert re.findall(r"constants = ed_constants \+ (\d+)", text) == ["0", "128"]


def test_no_symbol_of_one_set_is_taken_for_that_of_another():
    artefact = compiled("android-arm64")
    entries = (artefact.manifest, *artefact.manifest["fallbacks"])
    symbols = [layer["kernel"] for entry in entries for layer in entry["layers"]]
    assert len(set(symbols)) == len(symbols) == 24
    defined = subprocess.run(["nm", artefact.path / "model.o"], capture_output=True, text=True, check=True).stdout
    assert all(re.search(rf" T {symbol}$", defined, re.MULTILINE) for symbol in symbols)


@needs_qemu
def test_a_report_is_of_the_kernels_that_ran():
    artefact = compiled("android-arm64")
    slower = dataclasses.replace(artefact, target=dataclasses.replace(artefact.target, runner=SDOT_CORE))
    report = bench(slower, BenchOptions(), UNKNOWN, lambda line: None)
    assert (report.target.cpu, report.target.features) == ("cortex-a76", ["+neon", "+dotprod"])
    assert report.int8.dot_instructions == artefact.manifest["fallbacks"][0]["int8"]["dot_instructions"]


@needs_qemu
def test_a_core_that_does_not_run_the_kernels_that_it_should_check_is_named():
    artefact = compiled("android-arm64")
    sdot, neon = artefact.target.fallbacks
    fallbacks = (sdot, dataclasses.replace(neon, runner=SDOT_CORE))
    wrong = dataclasses.replace(artefact, target=dataclasses.replace(artefact.target, fallbacks=fallbacks))
    with pytest.raises(UserError, match="-cpu cortex-a76 ran the sdot kernels, not neon"):
        bench(wrong, BenchOptions(), UNKNOWN, lambda line: None)


@needs_qemu
def test_instructions_of_the_simulated_processor_are_counted_in_qemu():
    report = bench(compiled("android"), BenchOptions(count_instructions=True), UNKNOWN, lambda line: None)
    dots = report.model.macs / 16  # an sdot does 16 products, and most of a kernel is sdot
    assert dots < report.instructions < 6 * dots
    again = count_instructions(compiled("android"), patches_and_noise(64, 96))
    assert again == pytest.approx(report.instructions, rel=0.01)


def test_instructions_of_a_native_program_are_not_counted():
    with pytest.raises(UserError, match="runs natively here") as caught:
        count_instructions(compiled("host"), noise())
    assert caught.value.exit_code == 2


@needs_qemu
def test_memory_in_the_simulation_is_the_programs_own_and_not_qemus():
    artefact = compiled("android-arm64")
    result = run_program(artefact, noise(), runs=1, warmup=0, threads=3).result
    assert result.peak_rss_source == "mincore"
    images = 2 * noise().nbytes
    touched = result.arena_bytes + images
    assert (
        touched
        < result.peak_rss_kb * 1024
        < touched + artefact.bench.stat().st_size + 3 * result.workspace_bytes + 2**19
    )
