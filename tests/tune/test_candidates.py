"""Candidates as they are measured: one program, the product's own runtime, and the interpreter's bytes or nothing."""

import dataclasses
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernels import has_avx2
from networks import random_network, tiny_spec

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.kernels import instruction_set
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.quantize import interpreter
from edgedeblur.student import IMAGE, ConvSpec, StudentSpec
from edgedeblur.tune.measure import check_outputs, measure_with, run_here
from edgedeblur.tune.space import schedule_space
from edgedeblur.tune.trial import layer_on_trial

pytestmark = pytest.mark.skipif(not has_avx2(), reason="runs AVX2 kernels")
needs_qemu = pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed")
HERE = dataclasses.replace(load_target("x86-64-v3"), threads=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where all programs are built, as a search builds its own: the runtime in them is compiled once."""
    return tmp_path_factory.mktemp("programs")


def on_trial(network, index: int, target, height: int, width: int, seed: int = 0):
    layer = conv_layers(network, height, width)[index]
    return layer_on_trial(network, network.layers[index], layer, instruction_set(target.isa), seed)


def some(trial, target, count: int, seed: int = 0):
    """Schedules from all over the space, the default schedule first."""
    space = schedule_space(trial.layer, trial.isa, target.threads)
    drawn = np.random.default_rng(seed).permutation(len(space) - 1)[: count - 1] + 1
    return [space[0], *(space[i] for i in drawn)]


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 30)).map(lambda s: (2 * s[0], 2 * s[1])),
    channels=st.tuples(st.integers(1, 3).map(lambda n: 16 * n), st.integers(1, 40)),
    shape=st.sampled_from([(3, 1, 1), (3, 2, 1), (1, 1, 2), (5, 1, 1)]),
    relu=st.booleans(),
    seed=st.integers(0, 99),
)
def test_every_candidate_of_any_shape_gives_the_interpreters_bytes(folder, size, channels, shape, relu, seed):
    (inputs, outputs), (kernel, stride, fold) = channels, shape
    probe = ConvSpec("probe", "source", inputs, outputs * fold**2, kernel, stride, 1, fold, None, relu)
    layers = (ConvSpec("source", IMAGE, 3, inputs, 1), probe, ConvSpec("last", "probe", outputs, 3, 1))
    network = random_network(StudentSpec("probe", layers, "probe", 1), seed)
    trial = on_trial(network, 1, HERE, *size, seed)
    checked = check_outputs(run_here(), trial, some(trial, HERE, 6, seed), HERE, folder)
    assert checked and all(checked)


@needs_qemu
@pytest.mark.parametrize("index", [0, 2, 3, 6, 7])
def test_candidates_for_a_phone_give_the_interpreters_bytes_in_its_simulator(folder, index):
    target = load_target("android")
    trial = on_trial(random_network(tiny_spec()), index, target, 16, 40)
    assert all(check_outputs(run_here(target.runner), trial, some(trial, target, 5), target, folder))


def test_the_expected_bytes_are_the_interpreters_of_the_whole_network():
    """A layer's own inputs in place of the random ones: `layer_on_trial` expects what `run_layer` gives."""
    network = random_network(tiny_spec())
    trial = on_trial(network, 7, HERE, 16, 40, seed=3)
    source = np.frombuffer(trial.source, np.int8).reshape(trial.layer.source)
    image = interpreter.from_image(np.frombuffer(trial.residual, np.uint8).reshape(trial.layer.out))
    output = interpreter.run_layer(network, network.layers[7], {"up0": source, IMAGE: image})
    assert interpreter.to_image(output).tobytes() == trial.expected


def test_a_single_wrong_byte_is_found_and_the_candidate_is_not_timed(folder):
    trial = on_trial(random_network(tiny_spec()), 1, HERE, 24, 40)
    schedules = some(trial, HERE, 4)
    for at in (0, 17, len(trial.expected) - 1):
        spoilt = bytearray(trial.expected)
        spoilt[at] ^= 1
        other = dataclasses.replace(trial, expected=bytes(spoilt))
        assert check_outputs(run_here(), other, schedules, HERE, folder) == [False] * 4
    assert measure_with(run_here(), other, HERE, folder)(schedules, 10) == [None] * 4


def test_candidates_take_turns_and_the_hopeless_get_fewer_rounds(folder, monkeypatch):
    """With a limit of one time the best of the first rounds, all but that one and the default are hopeless anywhere."""
    monkeypatch.setattr("edgedeblur.tune.measure.HOPELESS", 1.0)
    trial = on_trial(random_network(tiny_spec()), 1, HERE, 512, 512)
    timed = measure_with(run_here(), trial, HERE, folder)(some(trial, HERE, 4), 20)
    first, *rest = (len(times) for times in timed)
    assert first == 20 and min(rest) > 0 and sum(rounds < 20 for rounds in rest) >= 2
    assert min(min(times) for times in timed) > 0
