"""Winograd form: what it computes, that two thirds of the products are enough, its file, and which layers take it."""

import dataclasses
import json
import zipfile

import numpy as np
import pytest
import torch
from networks import in_winograd_form, random_network, tiny_spec
from students import drawn_pair, trained_student

from edgedeblur.errors import UserError
from edgedeblur.quantize.check import check_network
from edgedeblur.quantize.correct import fold_network, fold_network_corrected
from edgedeblur.quantize.cost.winograd_form import choose_winograd_form, saved_instructions, with_odd_zero_points
from edgedeblur.quantize.edq import load_edq, save_edq
from edgedeblur.quantize.finetune import SimulatedNetwork, finetune_network
from edgedeblur.quantize.interpreter import convolve, run, run_tensors, source_integers
from edgedeblur.quantize.network import QuantisedNetwork, TensorScale, in_plain_form
from edgedeblur.quantize.observe import collect_statistics, float_activations
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise
from edgedeblur.quantize.simulate import run_simulated
from edgedeblur.student import ConvSpec

CALIBRATION = [drawn_pair(11_100 + seed)[0] for seed in range(4)]


@pytest.fixture(scope="module")
def network() -> QuantisedNetwork:
    """Every layer that may have the form has it."""
    return in_winograd_form(random_network(tiny_spec(), seed=6))


@pytest.fixture(scope="module")
def tensors(network) -> dict[str, np.ndarray]:
    image = np.random.default_rng(6).integers(0, 256, (24, 40, 3)).astype(np.uint8)
    return run_tensors(network, image)


def formed(network: QuantisedNetwork):
    return [layer for layer in network.layers if layer.winograd]


def with_layer(network: QuantisedNetwork, changed) -> QuantisedNetwork:
    layers = tuple(changed if one.spec.name == changed.spec.name else one for one in network.layers)
    return dataclasses.replace(network, layers=layers)


def test_a_layer_reads_half_steps_of_seven_bits(network, tensors):
    for layer in formed(network):
        q, zero_point = tensors[layer.spec.source].astype(int), network.tensors[layer.spec.source].zero_point
        read = source_integers(network, layer, tensors)
        np.testing.assert_array_equal(read, np.floor(q / 2) - np.floor(zero_point / 2))
        assert np.ptp(q // 2) < 128 and (q // 2).min() >= -64


def test_twelve_products_of_int8_give_the_sums_of_eighteen(network, tensors):
    """Winograd's F(2, 3) along rows, written out: Lavin & Gray, CVPR 2016, section 4.1."""
    for layer in formed(network):
        source = source_integers(network, layer, tensors).astype(np.int64)
        height, width, channels = source.shape
        raw = np.pad(source, ((1, 1), (1, 1 + width % 2), (0, 0)))
        weight = layer.weight.astype(np.int64)
        g = [weight[:, :, 0], weight.sum(axis=2), weight[:, :, 0] - weight[:, :, 1] + weight[:, :, 2], weight[:, :, 2]]
        assert max(np.abs(part).max() for part in g) <= 127
        found = np.zeros((height, raw.shape[1] - 2, len(weight)), np.int64) + layer.bias
        for ky in range(3):
            rows = raw[ky : ky + height]
            d = [rows[:, x : x + raw.shape[1] - 2 : 2] for x in range(3)] + [rows[:, 3::2]]
            t = [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[3] - d[1]]
            m = [np.einsum("hwi,oi->hwo", t[p], g[p][:, ky]) for p in range(4)]
            assert not np.any((m[1] + m[2]) % 2)
            found[:, 0::2] += m[0] + (m[1] + m[2]) // 2
            found[:, 1::2] += m[3] + (m[1] - m[2]) // 2
        np.testing.assert_array_equal(found[:, :width], convolve(source, layer))


def test_the_simulation_gives_the_interpreters_bytes(network):
    image = np.random.default_rng(7).integers(0, 256, (32, 24, 3)).astype(np.uint8)
    np.testing.assert_array_equal(run_simulated(network, image), run(network, image))


def test_the_plain_form_of_the_same_integers_differs_by_rounding_only():
    student = trained_student()
    tensors = quantise(student, CALIBRATION, QuantiseOptions("mse", equalise=False)).network
    odd = with_odd_zero_points(tensors)
    halved = fold_network(student, odd, ["enc1.0.a", "enc1.0.b"])
    difference = run(halved, CALIBRATION[0]).astype(int) - run(in_plain_form(halved), CALIBRATION[0])
    assert 0 < np.abs(difference).mean() < 1 and not formed(in_plain_form(halved))


def test_a_network_comes_back_from_its_file_and_one_without_the_form_has_no_trace_of_it(network, tmp_path):
    save_edq(network, tmp_path / "formed.edq")
    found = load_edq(tmp_path / "formed.edq")
    assert [layer.winograd for layer in found.layers] == [layer.winograd for layer in network.layers]
    save_edq(random_network(tiny_spec()), tmp_path / "plain.edq")
    with zipfile.ZipFile(tmp_path / "plain.edq") as archive:
        assert "winograd" not in json.loads(archive.read("network.json"))


def test_a_layer_that_cannot_have_the_form_is_refused(network):
    first = next(layer for layer in formed(network) if layer.spec.name == "enc1.0.a")
    scale = network.tensors[first.spec.source]
    even = dataclasses.replace(network, tensors=network.tensors | {first.spec.source: TensorScale(scale.scale, 4)})
    with pytest.raises(UserError, match="'enc1.0.a': in Winograd form, but its source's zero point is 4"):
        check_network(even)
    with pytest.raises(UserError, match="'enc1.0.a': a weight in Winograd form is 255; allowed are up to 127"):
        check_network(with_layer(network, dataclasses.replace(first, weight=np.full_like(first.weight, 100) - 15)))
    stem = dataclasses.replace(network.layers[0], winograd=True, scale=network.layers[0].scale * 2)
    with pytest.raises(UserError, match="'stem': only 3x3 of stride 1 have a Winograd form"):
        check_network(with_layer(network, stem))


@pytest.mark.parametrize("names", [["no such layer"], ["enc1.0.a", "enc1.0.a"], "enc1.0.a", [3]])
def test_a_file_whose_names_are_wrong_is_refused(network, names, tmp_path):
    save_edq(network, tmp_path / "good.edq")
    with zipfile.ZipFile(tmp_path / "good.edq") as good, zipfile.ZipFile(tmp_path / "bad.edq", "w") as bad:
        for name in good.namelist():
            data = good.read(name)
            if name == "network.json":
                data = json.dumps(json.loads(data) | {"winograd": names}).encode()
            bad.writestr(name, data)
    with pytest.raises(UserError, match="winograd"):
        load_edq(tmp_path / "bad.edq")


def test_layers_take_the_form_while_the_noise_that_it_adds_is_small_and_only_where_it_saves_products():
    said = []
    options = QuantiseOptions("mse", equalise=True, winograd_form=True)
    made = quantise(trained_student(), CALIBRATION, options, log=said.append)
    plain = quantise(trained_student(), CALIBRATION, dataclasses.replace(options, winograd_form=False))
    forms = choose_winograd_form(plain.student, plain.network, CALIBRATION)
    assert {one.layer for one in forms.layers} == {
        "enc1.0.a",
        "enc1.0.b",
    }  # the others have 8 channels, or read the image
    assert {layer.spec.name for layer in formed(made.network)} == forms.taken
    assert not formed(plain.network) and "winograd_form" not in plain.network.recipe
    taken = [one for one in forms.layers if one.taken]
    assert sum(one.added for one in taken) <= 0.15 * forms.noise
    assert any(line.startswith(f"Winograd form: {len(taken)} of 2 layers") for line in said)


def test_what_the_form_saves_is_a_third_of_the_products_less_the_transforms():
    spec = ConvSpec("probe", "source", 64, 64)
    assert 0.9 * 9 * 64 * 64 / 16 / 3 < saved_instructions(spec) < 9 * 64 * 64 / 16 / 3


def test_values_above_a_relu_are_read_as_high_as_they_are_on_average():
    """Half steps are rounded up and zeros are exact, so that the bias of the layer that reads could not repair it."""
    student = trained_student()
    start = quantise(student, CALIBRATION, QuantiseOptions("mse", equalise=False)).network
    statistics, forms = collect_statistics(student, CALIBRATION), ["enc1.0.a", "enc1.0.b"]
    network = fold_network_corrected(student, with_odd_zero_points(start), statistics, CALIBRATION, winograd=forms)
    reader = next(layer for layer in network.layers if layer.spec.name == "enc1.0.b")
    errors = []
    for image in CALIBRATION:
        real = float_activations(student, image)[reader.spec.source][0].permute(1, 2, 0).numpy()
        wanted = real / network.tensors[reader.spec.source].scale
        read = 2 * source_integers(network, reader, run_tensors(network, image))
        errors.append((read - wanted)[(wanted > 3) & (wanted < 250)])
    assert abs(np.concatenate(errors).mean()) < 0.2


def test_fine_tuning_learns_in_the_form_what_the_interpreter_computes():
    student = trained_student()
    start = quantise(student, CALIBRATION, QuantiseOptions("mse", equalise=False)).network
    network = fold_network(student, with_odd_zero_points(start), ["enc1.0.a", "enc1.0.b"])
    simulated = SimulatedNetwork(student, network)
    expected = run_tensors(network, CALIBRATION[0])
    real = {
        name: torch.from_numpy((q.astype(np.float32) - network.tensors[name].zero_point) * network.tensors[name].scale)
        for name, q in expected.items()
    }
    real = {name: values.permute(2, 0, 1)[None] for name, values in real.items()}
    for layer in formed(network):
        with torch.no_grad():
            output = simulated.run_layer(layer.spec, real)
        steps = (output - real[layer.spec.name]) / network.tensors[layer.spec.name].scale
        assert (steps.abs() > 0.5).float().mean() < 0.002
    tuned, _ = finetune_network(student, network, CALIBRATION, 3)
    check_network(dataclasses.replace(tuned, tensors=tuned.tensors))
    assert len(formed(tuned)) == 2
