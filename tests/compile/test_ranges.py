"""The ranges in which kernels' shorter arithmetic is exact (compile/ranges.py), against the definition in NumPy."""

import dataclasses

import numpy as np
import pytest
from networks import in_winograd_form, random_network, tiny_spec

from edgedeblur.compile.kernels import instruction_set
from edgedeblur.compile.kernels.convolution import same_kernel
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.ranges import FLOAT_SUMS, SCALE_STEPS, integer_scale, reached_sums
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.edq import load_edq
from edgedeblur.workflow.shipped import shipped_network

STORED = np.arange(256)


def by_definition(scale: float, zero_point: int) -> np.ndarray:
    centred = (STORED - 128 - zero_point).astype(np.float32)
    return interpreter.requantise(centred, np.float32(scale)).astype(np.int64)


def test_a_residuals_scale_in_integers_rounds_every_byte_as_float32_does():
    random, found = np.random.default_rng(0), 0
    for scale in [0.0, 0.5, 1.5, 3.0, 125.0, *random.uniform(0.01, 2.0, 400), *random.uniform(2.0, 125.0, 50)]:
        zero_point = int(random.integers(-128, 128))
        integer = integer_scale(scale, zero_point)
        if integer is None:
            continue
        found += 1
        multiplier, addend = integer.multiplier % SCALE_STEPS, np.uint64(integer.addend % 2**32)
        high = (STORED.astype(np.uint64) * np.uint64(multiplier) + addend) % np.uint64(2**32) >> np.uint64(16)
        steps = (high.astype(np.int64) + STORED * integer.whole).astype(np.uint16).view(np.int16)
        np.testing.assert_array_equal(steps, by_definition(scale, zero_point), err_msg=f"{scale} {zero_point}")
    assert found > 400  # the others keep float32


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_halves_to_even_are_not_what_an_integer_scale_rounds_to(scale):
    assert integer_scale(scale, 0) is None


@pytest.mark.parametrize("form", [lambda network: network, in_winograd_form])
def test_no_sum_is_larger_than_the_bound_and_some_input_reaches_it(form):
    network = form(random_network(tiny_spec(), seed=3))
    for layer in network.convolutions:
        zero_point = network.tensors[layer.spec.source].zero_point
        bound = reached_sums(layer, zero_point)
        read = (np.array([-128, 127]) >> layer.winograd) - (zero_point >> layer.winograd)
        weight = layer.weight.reshape(len(layer.weight), -1).astype(np.int64)
        reached = [(np.where(weight > 0, read[one], read[1 - one]) * weight).sum(axis=1) + layer.bias for one in (0, 1)]
        np.testing.assert_array_equal(bound, np.abs(reached).max(axis=0))


def test_the_shipped_small_takes_the_short_cuts_on_aarch64_and_no_kernel_more_on_x86():
    layers = conv_layers(load_edq(shipped_network("small")), 512, 512)
    outer = [layer for layer in layers if layer.out_channels <= 64]
    assert all(layer.float_sums for layer in outer)
    assert all(layer.residual.integer for layer in layers if layer.rescales_residual)
    plain = [dataclasses.replace(layer, float_sums=False, short_steps=False) for layer in layers]
    for isa, alike in (("avx2", True), ("sdot", False)):
        kernels, others = ({same_kernel(one, instruction_set(isa)) for one in these} for these in (layers, plain))
        assert (kernels == others) == alike


def test_sums_that_reach_the_limit_are_converted():
    network = random_network(tiny_spec(), seed=3)
    layer = network.convolutions[0]
    edge = dataclasses.replace(layer, bias=np.full_like(layer.bias, FLOAT_SUMS))
    network = dataclasses.replace(network, layers=(edge, *network.layers[1:]))
    assert not conv_layers(network, 32, 32)[0].float_sums
