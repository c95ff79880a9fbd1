"""The README's first chain where there is nothing but Python and make: no qemu, no llvm-mca, no adb."""

import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from artefacts import compiled
from click.testing import CliRunner
from model_files import write_student

from edgedeblur.artefact import cpu
from edgedeblur.cli.main import cli
from edgedeblur.data.images import write_image
from edgedeblur.estimate import mca
from edgedeblur.report.schema import read_report

pytestmark = pytest.mark.skipif(cpu.architecture() == "aarch64", reason="the artefact is native here")

# Answers as LLVM's llvm-mca with -json: each region takes a cycle per line and iteration.
FAKE_MCA = """\
#!{python}
import json, re, sys
if "--version" in sys.argv:
    print("LLVM version 22.1.0\\n  Host CPU: generic")
    sys.exit()
rounds = int(next(word for word in sys.argv if word.startswith("-iterations=")).partition("=")[2])
regions = re.findall(r"# LLVM-MCA-BEGIN (\\S+)\\n(.*?)# LLVM-MCA-END", sys.stdin.read(), re.DOTALL)
cycles = [dict(Name=name, SummaryView=dict(TotalCycles=rounds * len(text.splitlines()))) for name, text in regions]
print(json.dumps(dict(CodeRegions=cycles)))
"""


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A work directory of such a machine; its $PATH is an empty folder."""
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(mca, "_PROGRAMS", ("llvm-mca",))
    assert shutil.which("qemu-aarch64") is None and mca.find_mca() is None
    return tmp_path / "edgedeblur-work"


def run(*words, code=0):
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def check_html(work):
    run("report")
    page = (work / "report.html").read_text()
    assert "nothing on this machine runs this artefact" in page and "apt-get install qemu-user" in page
    assert "ran in a simulation" not in page and "None" not in page


def test_the_first_chain_ends_well_with_an_honest_report(bare):
    """From a small student on, as `distill` alone would take minutes; it starts no program."""
    write_student(bare / "student.safetensors")
    rng = np.random.default_rng(0)
    for index in range(2):
        write_image(Path("photos") / f"{index}.png", rng.integers(0, 256, (64, 64, 3), np.uint8))
    run("quantize", "--calibration", "photos", "--finetune-steps", "0")
    run("compile", "--target", "android", "--size", "64x64")
    result = run("bench")
    assert "not running edgedeblur-work/artefact-android: qemu-aarch64 is not installed" in result.stderr
    lines = result.stdout.splitlines()
    assert f"report: {Path('edgedeblur-work/report-android.json')}" in lines
    for said in (
        "output not checked, peak memory unknown: qemu-aarch64 is",
        "latency not estimated: llvm-mca 19 or",
    ):
        assert any(line.startswith(said) and ": apt-get install " in line for line in lines), result.stdout
    assert lines[-1] == "verdict: unknown (latency unknown (nothing was run); memory unknown; estimated)"
    report = read_report(bare / "report-android.json")
    assert (report.provenance, report.estimate, report.memory_mb.peak_rss) == ("estimated", None, None)
    assert report.memory_mb.weights > 0 and report.int8.dot_instructions > 0 and len(report.unknown) == 2
    assert {layer.ms for layer in report.layers} == {None} and report.latency_ms.samples == []
    check_html(bare)


def test_with_llvm_mca_the_estimate_is_given_and_labelled_as_one(bare, tmp_path, monkeypatch):
    import sys

    cache = tmp_path / "cycles.sqlite"
    monkeypatch.setattr(mca, "default_cache", lambda: cache)
    program = tmp_path / "bin" / "llvm-mca"
    program.write_text(FAKE_MCA.replace("{python}", sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    result = run("bench", compiled("android").path)
    report = read_report(bare / "report-android.json")
    assert report.provenance == "estimated" and report.budget.verdict == "unknown" and len(report.unknown) == 1
    assert report.estimate.simulator == "llvm-mca 22.1.0" and report.estimate.latency_ms > 0
    assert "estimated, not measured" in result.stdout and report.latency_ms.p90 is None
    check_html(bare)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--count-instructions"], 1, "apt-get install qemu-user"),
        (["--against", "onnxruntime"], 2, "peers cannot be timed"),
        (["--estimate"], 1, "apt-get install llvm-22"),
    ],
)
def test_what_needs_a_tool_and_was_asked_for_is_an_error_with_its_package(bare, words, code, message):
    assert message in run("bench", compiled("android").path, *words, code=code).stderr
    assert not bare.exists()


def test_targets_does_not_promise_what_cannot_run(bare, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = run("targets").stdout
    assert "in qemu-aarch64" not in shown
    missing = "android, android-arm64, linux-arm64, snapdragon-865: qemu-aarch64 is not installed"
    assert missing in shown and "apt-get install qemu-user" in shown
    program = Path(os.environ["PATH"]) / "qemu-aarch64"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    shown = run("targets").stdout
    assert "in qemu-aarch64" in shown and "not installed" not in shown


def test_the_report_that_is_named_is_this_targets_whatever_was_benched_last(bare):
    bare.mkdir()
    shutil.copytree(compiled("android").path, bare / "artefact-android")
    shutil.copytree(compiled("host").path, bare / "artefact-host")
    for target in ("host", "android"):
        quick = ["--runs", "50", "--warmup", "0", "--no-profile"]
        result = CliRunner().invoke(cli, ["bench", "--target", target, *quick])
        named = next(line for line in result.stdout.splitlines() if line.startswith("report: ")).split(": ")[1]
        assert json.loads(Path(named).read_text())["target"]["name"] == target
    assert json.loads((bare / "report.json").read_text())["target"]["name"] == "android"
    assert json.loads((bare / "report-host.json").read_text())["target"]["name"] == "host"
