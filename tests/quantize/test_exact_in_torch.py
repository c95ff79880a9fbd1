"""Where torch may stand in for the interpreter, and where it may not."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import gated_spec, in_winograd_form, pieces_spec, random_network

from edgedeblur.quantize import simulate
from edgedeblur.quantize.interpreter import run
from edgedeblur.quantize.simulate import TorchNetwork, exact_in_torch, run_simulated
from edgedeblur.student import IMAGE, ConvSpec, StudentSpec

NETWORKS = [random_network(pieces_spec(), seed=3), in_winograd_form(random_network(gated_spec(), seed=5))]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_where_torch_is_exact_it_gives_the_interpreters_bytes(number, rows, columns, seed):
    network = NETWORKS[number]
    assert exact_in_torch(network)
    multiple = network.spec.multiple
    image = np.random.default_rng(seed).integers(0, 256, (rows * multiple, columns * multiple, 3), np.uint8)
    np.testing.assert_array_equal(run_simulated(network, image), run(network, image))


def self_reading_spec():
    """Layers that read one tensor twice, and a gate from a tensor that nothing else reads any more."""
    layers = (
        ConvSpec("stem", IMAGE, 12, 16, space_to_depth=2, relu=True),
        ConvSpec("a", "stem", 16, 16, residual="stem"),
        ConvSpec("b", "a", 16, 16, relu=True, gate="stem"),
        ConvSpec("c", "b", 16, 16, relu=True, gate="b"),
        ConvSpec("head", "c", 16, 12, depth_to_space=2, residual=IMAGE),
    )
    return StudentSpec("self-reading", layers, "b", multiple=2)


@pytest.mark.parametrize("whole", [1 << 24, 1000])
def test_tensors_are_overwritten_only_where_nothing_reads_them_again(monkeypatch, whole):
    monkeypatch.setattr(simulate, "_WHOLE_IN_FLOAT32", whole)  # of a picture with too many pixels for float32 sums
    network = in_winograd_form(random_network(self_reading_spec(), seed=7))
    prepared = TorchNetwork(network)
    for number, size in enumerate([(16, 24), (40, 8), (16, 24)]):
        image = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        before = image.copy()
        np.testing.assert_array_equal(prepared.run(image), run(network, image))
        np.testing.assert_array_equal(image, before)


def with_bias(bias: int):
    first, *others = NETWORKS[1].layers
    return dataclasses.replace(
        NETWORKS[1], layers=(dataclasses.replace(first, bias=np.full_like(first.bias, bias)), *others)
    )


@pytest.mark.parametrize(("bias", "exact"), [((1 << 24) - 1, False), (1000, True)])
def test_a_sum_that_can_reach_2_to_the_24_is_left_to_the_interpreter(bias, exact):
    assert exact_in_torch(with_bias(bias)) is exact


def test_a_torch_that_computes_otherwise_is_not_used(monkeypatch):
    def rounded(conv, source, **options):
        return convolve(conv, source, **options).bfloat16().float()

    convolve = simulate.convolve
    monkeypatch.setattr(simulate, "convolve", rounded)
    assert not exact_in_torch(NETWORKS[1])
