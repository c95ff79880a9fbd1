"""`--size` offers what was meant, in every command that takes one; `compile --threads` is the artefact's own number."""

import dataclasses

import pytest
from artefacts import noise
from click.testing import CliRunner
from networks import random_network, single_layer_spec, tiny_spec

from edgedeblur.cli.main import cli
from edgedeblur.quantize.edq import save_edq
from edgedeblur.runtime.program import run_program
from edgedeblur.sizes import offered_sizes


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = dataclasses.replace(tiny_spec(), multiple=16)  # as the tiers have it
    save_edq(random_network(spec), tmp_path / "edgedeblur-work" / "quantised.edq")
    return tmp_path / "edgedeblur-work"


def run(*words, code):
    result = CliRunner().invoke(cli, list(words))
    assert result.exit_code == code, result.output
    return result


@pytest.mark.parametrize("command", ["compile", "tune", "export --format onnx", "export --format tflite", "run"])
def test_a_size_as_cameras_write_it_is_answered_with_the_one_that_was_meant(work, command):
    stderr = run(*command.split(), "--size", "1920x1080", code=2).stderr
    assert "no 1920x1080 images; height and width must be positive multiples of 16" in stderr
    assert "--size 1088x1920 for a picture 1920 wide and 1080 high" in stderr
    assert "--size 1920x1088 for one 1080 wide and 1920 high" in stderr
    assert not list(work.glob("*.safetensors")), "`run` says so before it distils"


@pytest.mark.parametrize(
    ("size", "offered"),
    [((1080, 1920), "--size 1088x1920 (height x width)"), ((500, 500), "--size 512x512 (height x width)")],
)
def test_a_size_in_the_right_order_is_rounded_up(size, offered):
    assert offered_sizes(*size, 16) == offered


def test_the_offered_size_is_taken(work):
    offered = offered_sizes(30, 50, 16).split()[1]
    run("export", "--format", "onnx", "--size", offered, code=0)


def test_an_artefact_runs_with_the_threads_that_it_was_compiled_for_unless_told_otherwise(work):
    save_edq(random_network(single_layer_spec()), work / "quantised.edq")
    run("compile", "--size", "64x96", "--threads", "3", code=0)
    assert run_program(work / "artefact-host", noise(), runs=1, warmup=0).result.threads == 3
    assert run_program(work / "artefact-host", noise(), runs=1, warmup=0, threads=2).result.threads == 2
    assert "is not in the range 1<=x<=64" in run("compile", "--threads", "65", code=2).stderr
