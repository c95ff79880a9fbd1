"""`tune` as it is typed: on a tiny network within seconds, and compile and inspect with what it found."""

import json
import shlex
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from model_files import write_quantised
from networks import random_network

from edgedeblur.artefact import cpu
from edgedeblur.cli.main import cli
from edgedeblur.compile.schedules.tuned import read_database
from edgedeblur.quantize.edq import save_edq
from edgedeblur.student import IMAGE, ConvSpec, StudentSpec
from edgedeblur.tune import network

TUNE = ["tune", "--target", "x86-64-v3", "--size", "32x48", "--trials", "3"]
needs_avx2 = pytest.mark.skipif(not cpu.runs_here("avx2"), reason="runs AVX2 kernels")


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(network, "TURNS", 2)
    folder = tmp_path / "edgedeblur-work"
    folder.mkdir()
    write_quantised(folder / "quantised.edq")
    return folder


@pytest.fixture
def four_layers(work):
    """In place of the network of other tests: as many layers as there are tuned ones and others."""
    layers = (
        ConvSpec("stem", IMAGE, 48, 8, space_to_depth=4),
        ConvSpec("enc0.0.b", "stem", 8, 8, residual="stem"),
        ConvSpec("up0", "enc0.0.b", 8, 32, kernel=1, depth_to_space=2),
        ConvSpec("head", "up0", 8, 12, depth_to_space=2, residual=IMAGE),
    )
    save_edq(random_network(StudentSpec("four", layers, "enc0.0.b", multiple=8)), work / "quantised.edq")
    return work


def run(*words, code=0):
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == code, result.output
    assert "unexpected" not in result.stderr
    return result


@needs_avx2
def test_tune_then_compile_then_inspect(four_layers):
    work = four_layers
    result = run(*TUNE, "--layers", "enc0.?.b", "--layers", "up0")
    database = read_database(work / "tuned" / "x86-64-v3.toml")
    assert [entry.provenance for entry in database.layers] == ["measured"] * 2
    assert {entry.measured_by for entry in database.layers} == {cpu.cpu_model()}
    for name in ("enc0.0.b", "up0", "default ms", "tuned ms", "gain", "x86-64-v3.toml"):
        assert name in result.stdout
    again = run(*TUNE, "--layers", "up0", "--json", "again.json")
    assert json.loads((work.parent / "again.json").read_text())["shapes"][0]["layers"] == ["up0"]
    assert again.stdout.count("tuned before") + again.stdout.count("slower in the network") == 1
    compiled = run("compile", "--target", "x86-64-v3", "--size", "32x48")
    assert "schedules: 2 default, 2 tuned" in compiled.stdout
    inspected = run("inspect", "--json", "facts.json").stdout
    assert "2 default, 2 tuned" in inspected
    layers = {layer["name"]: layer for layer in json.loads((work.parent / "facts.json").read_text())["layers"]}
    assert layers["up0"]["schedule_source"] == "tuned" and "at 4 threads" in layers["up0"]["schedule_note"]
    assert layers["stem"]["schedule_source"] == "default"
    untuned = run("compile", "--target", "x86-64-v3", "--size", "32x48", "--no-tuned")
    assert "schedules: 4 default" in untuned.stdout


@needs_avx2
def test_ctrl_c_ends_it_with_a_message_and_keeps_what_is_finished(work):
    command = [sys.executable, "-m", "edgedeblur.cli.main", *TUNE]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    database, end = work / "tuned" / "x86-64-v3.toml", time.monotonic() + 120
    while not database.exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert (
        f"interrupted; what is finished is kept; to resume: {shlex.join(command)}" in stderr
        and "Traceback" not in stderr
    )
    assert read_database(database).layers


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--layers", "tail"], 2, "no layer 'tail'; there are stem, enc0.0.a"),
        (["--size", "50x60"], 2, "takes no 50x60 images"),
        (["--trials", "0"], 2, "--trials"),
        (["--minutes", "0"], 2, "--minutes"),
        (["--target", "nowhere"], 2, "no target 'nowhere'"),
        (["--database", "broken.toml"], 1, "broken.toml: not TOML"),
        (["missing.edq"], 1, "missing.edq"),
    ],
)
def test_mistakes_are_told(work, words, code, message):
    (work.parent / "broken.toml").write_text("= not toml")
    result = run(*TUNE, *words, code=code)
    assert message in result.stderr


def test_a_database_that_is_not_there_or_broken_is_told_by_compile(work):
    missing = run("compile", "--size", "32x48", "--database", "none.toml", code=1)
    assert "no none.toml" in missing.stderr and "edgedeblur tune --database none.toml" in missing.stderr
    (work / "tuned").mkdir()
    (work / "tuned" / "x86-64-v3.toml").write_text("schema_version = 7")
    broken = run("compile", "--target", "x86-64-v3", "--size", "32x48", code=1)
    assert "schema_version is 7" in broken.stderr and not (work / "artefact-x86-64-v3").exists()
