"""The interpreter computes what network.py says, on every combination of fused operations."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal import literal_layer
from networks import random_network, tiny_spec

from edgedeblur.errors import UserError
from edgedeblur.quantize.interpreter import (
    convolve,
    depth_to_space,
    requantise,
    run,
    run_layer,
    run_tensors,
    space_to_depth,
)
from edgedeblur.quantize.network import QuantisedConv, QuantisedNetwork, TensorScale
from edgedeblur.student import ConvSpec, StudentSpec

INT8 = st.integers(-128, 127)


@st.composite
def layers(draw) -> tuple[QuantisedNetwork, dict[str, np.ndarray]]:
    """A layer alone with random numbers, and the tensors that it reads."""
    fold, shuffle = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([1, 2, 4]))
    channels, outputs = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    residual = "other" if draw(st.booleans()) else None
    spec = ConvSpec(
        "layer", "image", channels * fold**2, outputs * shuffle**2, draw(st.sampled_from([1, 3, 5])),
        draw(st.sampled_from([1, 2])), fold, shuffle, residual, draw(st.booleans()),
        groups=draw(st.sampled_from([1, math.gcd(channels * fold**2, outputs * shuffle**2)])),
        dilation=draw(st.sampled_from([1, 2])),
    )  # fmt: skip
    limit = draw(st.sampled_from([None, 4.0])) if spec.relu else None
    spec = replace(spec, limit=limit, prelu=not spec.relu and residual is None and draw(st.booleans()))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = np.array([draw(st.integers(1, 3)), draw(st.integers(1, 3))])
    source = rng.integers(-128, 128, (*(size * fold * spec.stride), channels), dtype=np.int8)
    other = rng.integers(-128, 128, (*(size * shuffle), outputs), dtype=np.int8)
    count = spec.kernel**2 * spec.in_channels
    conv = QuantisedConv(
        spec,
        rng.integers(
            -127, 128, (spec.out_channels, spec.kernel, spec.kernel, spec.in_channels // spec.groups), dtype=np.int8
        ),
        rng.integers(-20000, 20000, spec.out_channels, dtype=np.int32),
        rng.uniform(0.1, 2, spec.out_channels).astype(np.float32) / np.float32(100 * np.sqrt(count)),
        np.ones(spec.out_channels, np.float32),
        np.float32(draw(st.sampled_from([0.5, 1.0, 0.731, 1.9]))) if residual else None,
    )
    if spec.prelu:
        conv = replace(conv, negative_scale=conv.scale * rng.uniform(-1, 2, spec.out_channels).astype(np.float32))
    tensors = {name: TensorScale(0.1, draw(INT8)) for name in ("image", "other", "layer")}
    return QuantisedNetwork(StudentSpec("s", (spec,), "layer", 1), (conv,), tensors), {"image": source, "other": other}


@settings(max_examples=60, deadline=None)
@given(layers())
def test_a_layer_is_the_sum_written_out_in_integers(case):
    network, tensors = case
    layer = network.layers[0]
    np.testing.assert_array_equal(run_layer(network, layer, tensors), literal_layer(network, layer, tensors))


def test_a_whole_network_is_its_layers_written_out():
    network = random_network(tiny_spec(), seed=5)
    image = np.random.default_rng(1).integers(0, 256, (16, 8, 3), dtype=np.uint8)
    tensors = {"image": (image.astype(int) - 128).astype(np.int8)}
    for layer in network.layers:
        tensors[layer.spec.name] = literal_layer(network, layer, tensors)
    found = run_tensors(network, image)
    assert list(found) == list(tensors)
    for name, expected in tensors.items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
    np.testing.assert_array_equal(run(network, image), (tensors["head"].astype(int) + 128).astype(np.uint8))


@pytest.mark.parametrize(
    ("accumulator", "scale", "expected"),
    [
        (1, 0.5, 0),  # a half goes to the even neighbour
        (3, 0.5, 2),
        (-1, 0.5, 0),
        (-3, 0.5, -2),
        (5, 0.5, 2),
        (16777217, 1.0, 16777216),  # 2^24 + 1 is not a float32: it is rounded before the product
        (16777219, 1.0, 16777220),
        (33554431, 0.5, 16777216),
    ],
)
def test_requantisation_rounds_to_float32_and_then_halves_to_even(accumulator, scale, expected):
    assert requantise(np.array([accumulator], np.int32), np.float32(scale))[0] == expected


@pytest.mark.parametrize("channels, bias", [(518, 1), (519, 2), (7000, 1)])  # 2^24 is between 518 and 519 channels
def test_accumulators_are_exact_at_their_largest(channels, bias):
    spec = ConvSpec("layer", "image", channels, 1, 1)
    weight = np.full((1, 1, 1, channels), 127, np.int8)
    layer = QuantisedConv(spec, weight, np.array([bias], np.int32), np.ones(1, np.float32), np.ones(1, np.float32))
    source = np.full((1, 1, channels), 255, np.int16)
    assert convolve(source, layer)[0, 0, 0] == channels * 127 * 255 + bias


def test_wide_images_are_computed_in_bands_with_the_same_result(monkeypatch):
    network = random_network(tiny_spec(), seed=2)
    image = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    whole = run(network, image)
    monkeypatch.setattr("edgedeblur.quantize.interpreter._BAND_VALUES", 1000)
    np.testing.assert_array_equal(run(network, image), whole)


def test_rearrangements_keep_dy_dx_channel_order_and_undo_each_other():
    x = np.arange(2 * 4 * 3).reshape(2, 4, 3)
    folded = space_to_depth(x, 2)
    np.testing.assert_array_equal(folded[0, 1], np.concatenate([x[0, 2], x[0, 3], x[1, 2], x[1, 3]]))
    np.testing.assert_array_equal(depth_to_space(folded, 2), x)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 12, 3), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        "photo.jpg",
    ],
)
def test_an_image_of_another_form_is_the_users_error(image):
    with pytest.raises(UserError, match=r"uint8 array \[H, W, 3\]|multiples of 8"):
        run(random_network(tiny_spec()), image)
