"""An artefact with kernels for OpenCL, run by its own program and library on software that simulates a GPU."""

import numpy as np
import pytest
from artefacts import HEIGHT, WIDTH, compiled, expected, noise
from networks import random_network, tiny_spec
from opencl import needs_opencl

from edgedeblur.artefact import names
from edgedeblur.artefact.target import load_target
from edgedeblur.bench.gpu_devices import opencl_devices
from edgedeblur.bench.measure import BenchOptions, bench
from edgedeblur.bench.quality import UNKNOWN
from edgedeblur.compile.artefact import compile_network
from edgedeblur.errors import UserError
from edgedeblur.report.tables import report_tables
from edgedeblur.restore.facts import model_facts
from edgedeblur.runtime.session import Session


@needs_opencl
def test_the_library_gives_the_interpreters_bytes_on_the_gpu():
    with Session(compiled("opencl"), unit="gpu") as session:
        assert session.unit == "gpu"
        for seed in (0, 1):
            np.testing.assert_array_equal(session.run(noise(seed)), expected(seed))


@needs_opencl
def test_bench_of_a_simulated_gpu_checks_both_units_and_reports_no_time():
    said = []
    report = bench(compiled("opencl"), BenchOptions(), UNKNOWN, said.append)
    assert report.provenance == "simulated"
    assert report.latency_ms.p90 is None and report.memory_mb.peak_rss is None
    assert not report.gpu.is_gpu and 0 < report.gpu.memory_mb < 1
    assert report.budget.verdict == "unknown" and "software simulates the GPU" in report.unknown[0]
    assert "running the same on the CPU, which takes over where there is no GPU" in said
    assert report.gpu.name in [one.name for one in opencl_devices() if not one.is_gpu]
    assert any("software, no GPU" in str(cell) for cell in report_tables(report)[0].columns[0].cells)


def test_the_artefact_has_the_kernels_as_text_and_those_for_the_cpu():
    artefact = compiled("opencl")
    manifest = artefact.manifest
    assert load_target("opencl").gpu == artefact.target.gpu == manifest["gpu"]["language"] == "opencl"
    for name in (names.GPU_C, names.GPU_TEXT, names.GPU_CONSTANTS, names.OBJECT):
        assert name in manifest["files"]
    kernels = manifest["gpu"]["kernels"]
    macs = {layer["name"]: layer["macs"] for layer in manifest["layers"]}
    assert sum(kernel["macs"] for kernel in kernels) == sum(macs.values())
    assert manifest["input_shape"] == [HEIGHT, WIDTH, 3]
    text = (artefact.path / names.GPU_TEXT).read_text()
    assert all(f"__kernel void {kernel['kernel']}(" in text for kernel in kernels)
    assert len({kernel["kernel"] for kernel in kernels}) <= len(kernels)


def test_the_manifest_and_inspect_say_where_the_gpus_schedules_are_from():
    artefact = compiled("opencl")
    schedules = artefact.manifest["gpu"]["schedules"]
    assert [one["layer"] for one in schedules] == [layer["name"] for layer in artefact.manifest["layers"]]
    assert {one["schedule_source"] for one in schedules} == {"default"}
    assert all(one["schedule"]["group"][0] > 0 for one in schedules)
    (fact,) = (fact for fact in model_facts(artefact.path).known if fact.label == "GPU")
    assert fact.text.startswith("opencl, ") and fact.text.endswith(f"schedules: {len(schedules)} default")
    assert len(fact.values["gpu"]["schedules"]) == len(schedules)


def test_a_gpu_takes_one_size(tmp_path):
    with pytest.raises(UserError, match="2 sizes for target opencl, whose kernels for a GPU are for one size"):
        compile_network(
            random_network(tiny_spec()), load_target("opencl"), 64, 96, tmp_path / "a", more_sizes=[(32, 32)]
        )
    assert not (tmp_path / "a").exists()


def test_other_targets_have_no_gpu():
    assert all(load_target(name).gpu is None for name in ("host", "android", "linux-arm64"))
