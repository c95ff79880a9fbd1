"""A float student becomes an int8 network that does nearly the same."""

import dataclasses

import numpy as np
import pytest
import torch
from networks import random_network, tiny_spec
from students import dead_student, drawn_pair, trained_student

from edgedeblur.errors import UserError
from edgedeblur.quantize.check import check_network
from edgedeblur.quantize.correct import _conv_mean, fold_network
from edgedeblur.quantize.decide import OBSERVERS, decide_tensors
from edgedeblur.quantize.edq import load_edq, save_edq
from edgedeblur.quantize.equalise import channel_factors, collect_channel_maxima, equalise_student, tensor_groups
from edgedeblur.quantize.fold import fold_layer
from edgedeblur.quantize.interpreter import convolve, run, run_tensors, source_integers
from edgedeblur.quantize.network import TensorScale, image_scale
from edgedeblur.quantize.observe import collect_statistics, float_activations
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise_student
from edgedeblur.quantize.quality import measure_quality
from edgedeblur.student import build_student

CALIBRATION = [drawn_pair(10_100 + seed)[0] for seed in range(8)]
HELD_BACK = [drawn_pair(10_200 + seed) for seed in range(4)]
BLURRED, SHARP = [pair[0] for pair in HELD_BACK], [pair[1] for pair in HELD_BACK]


@pytest.mark.parametrize("observer", OBSERVERS)
def test_int8_keeps_what_a_trained_student_gains(observer):
    student = trained_student()
    quality = measure_quality(
        quantise_student(student, CALIBRATION, QuantiseOptions(observer)), student, BLURRED, SHARP
    )
    assert quality.float_db > quality.blurred_db + 0.4  # the student does something worth keeping
    assert quality.int8_to_float_db > 50
    assert quality.int8_db > quality.float_db - 0.02


def test_the_whole_recipe_brings_int8_closer_to_float():
    student = trained_student()

    def closeness(options: QuantiseOptions) -> float:
        network = quantise_student(student, CALIBRATION, options)
        return measure_quality(network, student, BLURRED).int8_to_float_db

    assert closeness(QuantiseOptions()) > closeness(QuantiseOptions(equalise=False, bias_correction=False)) + 0.1


def test_every_tensor_is_the_float_tensor_within_a_few_steps():
    student = trained_student()
    network = quantise_student(student, CALIBRATION, QuantiseOptions(equalise=False))
    floats = float_activations(student, BLURRED[0])
    for name, q in run_tensors(network, BLURRED[0]).items():
        scale = network.tensors[name]
        expected = np.clip(floats[name][0].permute(1, 2, 0).numpy() / scale.scale + scale.zero_point, -128, 127)
        assert np.abs(q - expected).mean() < 1.5, name


def test_the_same_arguments_give_the_same_file(tmp_path):
    student = trained_student()
    first, again = (quantise_student(student, CALIBRATION) for _ in range(2))
    for number, network in enumerate((first, again)):
        save_edq(network, tmp_path / f"{number}.edq")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    np.testing.assert_array_equal(run(load_edq(tmp_path / "0.edq"), BLURRED[0]), run(first, BLURRED[0]))


def test_auto_keeps_what_comes_nearest_to_the_float_student(monkeypatch):
    student = trained_student()
    tried = {
        (observer, equalise): quantise_student(student, CALIBRATION, QuantiseOptions(observer, equalise=equalise))
        for observer in ("mse", "min-max")
        for equalise in (True, False)
    }
    quality = {key: measure_quality(network, student, CALIBRATION) for key, network in tried.items()}
    best = max(quality, key=lambda key: quality[key].int8_to_float_db)
    chosen = quantise_student(student, CALIBRATION).recipe
    assert (chosen["observer"], chosen["equalise"]) == best


def test_a_student_as_initialised_gives_the_image_back():
    network = quantise_student(build_student("nano"), CALIBRATION[:2])
    np.testing.assert_array_equal(run(network, BLURRED[0]), BLURRED[0])


@pytest.mark.parametrize("options", [QuantiseOptions(), QuantiseOptions("min-max", equalise=False)])
def test_dead_channels_give_finite_scales_and_the_floats_image(options):
    student = dead_student()
    network = quantise_student(student, CALIBRATION, options)
    check_network(network)
    assert measure_quality(network, student, BLURRED).int8_to_float_db > 40
    assert [int((layer.weight == 0).all((1, 2, 3)).sum()) for layer in network.layers[:2]] == [2, 0]


def test_a_dead_channel_keeps_its_bias():
    student = dead_student()
    tensors = {"image": image_scale(), "stem": TensorScale(0.01, 0)}
    layer = fold_layer(student, student.spec.layers[0], tensors)
    real = layer.bias * (np.float32(1 / 255) * layer.weight_scale).astype(np.float64)
    np.testing.assert_allclose(real[:2], [0.0, 0.7], rtol=1e-6)
    np.testing.assert_array_equal(layer.weight[:2], 0)


def test_folded_weights_are_the_nearest_steps_and_the_largest_is_127():
    student = trained_student()
    tensors = decide_tensors(student.spec, collect_statistics(student, CALIBRATION), "mse")
    layer = fold_layer(student, student.spec.layers[3], tensors)
    weight = student.conv("down1").weight.detach().numpy().transpose(0, 2, 3, 1)
    steps = layer.weight_scale[:, None, None, None]
    assert np.abs(layer.weight * steps - weight).max() <= steps.max() * 0.5001
    np.testing.assert_array_equal(np.abs(layer.weight.astype(int)).max(axis=(1, 2, 3)), 127)
    source, out = tensors["enc0.0.b"].scale, tensors["down1"].scale
    np.testing.assert_allclose(layer.scale, source * layer.weight_scale / out, rtol=1e-6)


def test_accumulators_that_could_overflow_are_refused():
    network = random_network(tiny_spec())
    layer = network.layers[3]
    full = np.full_like(layer.bias, 2**31 - 1)
    layers = list(network.layers)
    layers[3] = dataclasses.replace(layer, bias=full)
    with pytest.raises(UserError, match=r"'down1': the accumulator of channel \d+ can reach"):
        check_network(dataclasses.replace(network, layers=tuple(layers)))


@pytest.mark.parametrize("name", ["stem", "enc0.0.a", "down1", "up0"])
def test_the_mean_of_a_convolution_is_that_of_its_accumulators(name):
    student = trained_student()
    tensors = decide_tensors(student.spec, collect_statistics(student, CALIBRATION), "mse")
    network = fold_network(student, tensors)
    values = [run_tensors(network, image) for image in CALIBRATION[:2]]
    layer = next(layer for layer in network.layers if layer.spec.name == name)
    accumulators = [convolve(source_integers(network, layer, known), layer) for known in values]
    expected = np.mean(accumulators, axis=(0, 1, 2)) * tensors[layer.spec.source].scale * layer.weight_scale
    np.testing.assert_allclose(_conv_mean(network, layer, values), expected, rtol=1e-9)


def test_equalisation_changes_no_image_and_evens_the_channels():
    student = trained_student()
    maxima = collect_channel_maxima(student, CALIBRATION)
    equalised = equalise_student(student, maxima)
    batch = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(equalised(batch), student(batch), atol=1e-5, rtol=0)
    after = collect_channel_maxima(equalised, CALIBRATION)
    groups = tensor_groups(student.spec)
    for group in set(groups.values()) - {"image"}:
        largest = np.max([after[name] for name in groups if groups[name] == group], axis=0)
        used = largest > largest.max() / 500
        np.testing.assert_allclose(largest[used], largest.max(), rtol=1e-3)


def test_tensors_that_are_added_share_their_factors_and_images_have_none():
    spec = tiny_spec()
    assert tensor_groups(spec) == {
        "image": "image", "stem": "stem", "enc0.0.a": "enc0.0.a", "enc0.0.b": "stem", "down1": "down1",
        "enc1.0.a": "enc1.0.a", "enc1.0.b": "down1", "up0": "stem", "head": "image",
    }  # fmt: skip
    maxima = collect_channel_maxima(trained_student(), CALIBRATION)
    factors = channel_factors(spec, maxima)
    np.testing.assert_array_equal(factors["stem"], factors["up0"])
    np.testing.assert_array_equal(factors["head"], 1)


def test_quality_against_itself_is_perfect_and_bad_pairs_are_refused():
    network = quantise_student(build_student("nano"), CALIBRATION[:1])
    quality = measure_quality(network, build_student("nano"), BLURRED, BLURRED)
    assert (quality.int8_to_float_db, quality.blurred_db, quality.int8_db) == (100.0, 100.0, 100.0)
    with pytest.raises(UserError, match="do not match"):
        measure_quality(network, build_student("nano"), BLURRED, SHARP[:1])
    with pytest.raises(UserError, match="no held-back images"):
        measure_quality(network, build_student("nano"), [])
