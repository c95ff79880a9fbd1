"""Where torch may stand in for the interpreter, and where it may not."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import gated_spec, in_winograd_form, pieces_spec, random_network

from edgedeblur.quantize import simulate
from edgedeblur.quantize.interpreter import run
from edgedeblur.quantize.simulate import exact_in_torch, run_simulated

NETWORKS = [random_network(pieces_spec(), seed=3), in_winograd_form(random_network(gated_spec(), seed=5))]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_where_torch_is_exact_it_gives_the_interpreters_bytes(number, rows, columns, seed):
    network = NETWORKS[number]
    assert exact_in_torch(network)
    multiple = network.spec.multiple
    image = np.random.default_rng(seed).integers(0, 256, (rows * multiple, columns * multiple, 3), np.uint8)
    np.testing.assert_array_equal(run_simulated(network, image), run(network, image))


def with_bias(bias: int):
    first, *others = NETWORKS[1].layers
    return dataclasses.replace(
        NETWORKS[1], layers=(dataclasses.replace(first, bias=np.full_like(first.bias, bias)), *others)
    )


@pytest.mark.parametrize(("bias", "exact"), [((1 << 24) - 1, False), (1000, True)])
def test_a_sum_that_can_reach_2_to_the_24_is_left_to_the_interpreter(bias, exact):
    assert exact_in_torch(with_bias(bias)) is exact


def test_a_torch_that_computes_otherwise_is_not_used(monkeypatch):
    def rounded(layer, source):
        return convolve(layer, source).bfloat16().float()

    convolve = simulate.convolve
    monkeypatch.setattr(simulate, "convolve", rounded)
    assert not exact_in_torch(NETWORKS[1])
