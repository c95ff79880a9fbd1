"""The estimate of an artefact: labelled as one, beside a simulation or a measurement, and never in their place."""

import dataclasses
import shutil

import pytest
from artefacts import compiled
from click.testing import CliRunner
from needs import needs_mca

from edgedeblur.bench import measure
from edgedeblur.bench.latency import UNKNOWN, summarise
from edgedeblur.bench.measure import BenchOptions, bench
from edgedeblur.bench.quality import UNKNOWN as NO_QUALITY
from edgedeblur.cli.main import cli
from edgedeblur.compile.linking import host_probe
from edgedeblur.errors import UserError
from edgedeblur.estimate import host_machine, mca
from edgedeblur.estimate.latency import artefact_loops, estimate, outcome, with_error
from edgedeblur.report.schema import read_report, write_report
from edgedeblur.report.verdict import estimate_sentence

needs_qemu = pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="needs qemu-aarch64")


@pytest.fixture(scope="module")
def estimated():
    return estimate(compiled("android"))


@pytest.fixture(scope="module")
def host():
    return host_machine.measure_host()


@pytest.fixture
def no_mca(monkeypatch):
    monkeypatch.setattr(mca, "find_mca", lambda: None)


@needs_mca
def test_the_layers_make_up_the_whole_and_the_band_lies_around_it(estimated):
    found, artefact = estimated, compiled("android")
    assert found.provenance == "estimated" and (found.threads, found.processor) == (4, "cortex-a77")
    assert [layer.name for layer in found.layers] == [layer.spec.name for layer in artefact.network().layers]
    assert sum(layer.ms for layer in found.layers) == pytest.approx(found.latency_ms)
    assert sum(layer.share for layer in found.layers) == pytest.approx(1)
    for layer in found.layers:
        parts = (layer.products, layer.tiles, layer.copies, layer.branches, layer.memory, layer.idle)
        assert sum(parts) == pytest.approx(1)
    assert found.low_ms == pytest.approx(0.75 * found.latency_ms)
    assert found.high_ms == pytest.approx(1.25 * found.latency_ms)


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(10, 30, "pass"), (10, 35, "pass"), (30, 40, "unknown"), (35.1, 40, "fail")]
)
def test_a_budget_inside_the_band_is_neither_kept_nor_broken(low, high, expected):
    assert outcome(low, high, 35.0) == expected


@needs_mca
def test_the_sentence_says_that_nothing_was_measured(estimated):
    said = estimate_sentence(estimated, 35.0)
    assert said.startswith("estimated, not measured") and said.endswith(f"4 x cortex-a77: {estimated.latency}")


@needs_mca
def test_the_error_is_against_the_measured_median(estimated):
    measured = summarise([estimated.latency_ms / 1.2] * 50)
    assert with_error(estimated, measured).error == pytest.approx(0.2, abs=1e-3)
    assert with_error(estimated, UNKNOWN).error is None


@needs_mca
def test_a_measured_report_has_an_estimate_where_it_is_asked_for(tmp_path, monkeypatch, host):
    """Of this machine as it was probed once for this module."""
    probed = []
    monkeypatch.setattr(measure, "measure_host", lambda: probed.append(1) or host)
    report = bench(compiled("host"), BenchOptions(runs=50, warmup=2, profile=False, estimate=True), NO_QUALITY, print)
    assert report.provenance == "measured" and report.estimate.provenance == "estimated"
    assert report.estimate.error == pytest.approx(report.estimate.latency_ms / report.latency_ms.p50 - 1)
    assert report.estimate.threads == report.target.threads and probed == [1]
    write_report(report, tmp_path / "report.json")
    assert read_report(tmp_path / "report.json").estimate == report.estimate


@needs_mca
@needs_qemu
def test_bench_of_a_phones_artefact_prints_the_check_and_the_estimate(tmp_path):
    result = CliRunner().invoke(cli, ["bench", str(compiled("android").path), "--workdir", str(tmp_path)])
    assert result.exit_code == 0, result.output
    report = read_report(tmp_path / "report.json")
    assert report.provenance == "simulated" and report.budget.verdict == "unknown"
    assert report.latency_ms.p50 is None and report.estimate.latency_ms > 0
    assert "estimated, not measured" in result.output and "verdict: unknown" in result.output


@needs_qemu
def test_without_llvm_mca_a_simulation_has_no_estimate_and_says_what_is_missing(no_mca):
    report = bench(compiled("android"), BenchOptions(), NO_QUALITY, print)
    assert report.provenance == "simulated" and report.estimate is None
    (reason,) = report.unknown
    assert reason.startswith("latency not estimated: llvm-mca") and ": apt-get install llvm-22" in reason


def test_an_estimate_that_was_asked_for_and_cannot_be_made_is_an_error_before_anything_is_timed(no_mca, monkeypatch):
    monkeypatch.setattr(measure, "run_program", lambda *arguments: pytest.fail("timed"))
    with pytest.raises(UserError, match="llvm-mca"):
        bench(compiled("host"), BenchOptions(runs=50, warmup=1, profile=False, estimate=True), NO_QUALITY, print)


@needs_mca
def test_inspect_shows_a_round_of_each_inner_loop():
    artefact = compiled("android")
    processor, rows = artefact_loops(artefact)
    assert processor == "cortex-a77" and len(rows) == len(artefact.network().layers)
    assert all(0 < row.loop.mac_per_cycle <= 32.1 and row.loop.dots < row.loop.instructions for row in rows)
    result = CliRunner().invoke(cli, ["inspect", "--loops", str(artefact.path)])
    assert result.exit_code == 0 and "cortex-a77" in result.output
    assert all(row.layer in result.output for row in rows)


def test_loops_are_an_artefacts(tmp_path):
    result = CliRunner().invoke(cli, ["inspect", "--loops", str(tmp_path / "nothing")])
    assert result.exit_code == 1 and "nothing" in result.stderr and "Traceback" not in result.output


@needs_mca
def test_the_probe_finds_a_machine_that_can_be_estimated(host):
    found = dataclasses.asdict(host.core)
    assert all(value for key, value in found.items() if key not in ("foreseen_trips", "handoff_ns"))
    assert host.ghz > 0 and host.dots_per_cycle > 0
    machine = host.machine(compiled("host").target, 2)
    assert machine.clocks_ghz == (host.ghz, host.ghz) and machine.processor.cpu == host.core.cpu


def test_cache_sizes_are_the_systems_and_have_defaults(tmp_path):
    files = {"index0": ("1", "Data", "48K"), "index1": ("1", "Instruction", "32K"), "index2": ("2", "Unified", "2048K")}
    for name, (level, kind, size) in files.items():
        (tmp_path / name).mkdir()
        for file, text in (("level", level), ("type", kind), ("size", size)):
            (tmp_path / name / file).write_text(f"{text}\n")
    (tmp_path / "index3").mkdir()
    assert host_probe.cache_kib(tmp_path) == {1: 48, 2: 2048, 3: 8192}
