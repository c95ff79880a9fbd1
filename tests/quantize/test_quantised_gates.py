"""Gates in integers: what they compute, how they are folded from the float student, and their place in the file."""

import dataclasses
import math
import zipfile

import numpy as np
import pytest
import torch
from literal import literal_layer
from networks import gated_spec, random_network, tiny_spec
from students import drawn_pair, gated_student

from edgedeblur.errors import UserError
from edgedeblur.quantize.check import check_network
from edgedeblur.quantize.edq import load_edq, save_edq
from edgedeblur.quantize.equalise import collect_channel_maxima, equalise_student
from edgedeblur.quantize.finetune import SimulatedNetwork, finetune_network
from edgedeblur.quantize.fold import fold_gate
from edgedeblur.quantize.interpreter import gate_factors, run, run_tensors, with_fixed_gates
from edgedeblur.quantize.network import GATE_TABLE, QuantisedGate
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise_student
from edgedeblur.quantize.quality import measure_quality
from edgedeblur.restore.facts import model_facts

IMAGES = [drawn_pair(seed)[0] for seed in range(12)]


@pytest.mark.parametrize("size", [(16, 24), (8, 8)])
def test_a_gated_layer_is_the_sum_written_out_in_integers(size):
    network = random_network(gated_spec(), seed=1)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    tensors = run_tensors(network, image)
    gated = [layer for layer in network.layers if layer.gate is not None]
    assert len(gated) == 3
    for layer in gated:
        factors = gate_factors(layer.gate, tensors[layer.spec.gate], network.tensors[layer.spec.gate].zero_point)
        assert factors.std() > 0.2, "factors that are all alike would prove nothing"
        np.testing.assert_array_equal(tensors[layer.spec.name], literal_layer(network, layer, tensors))


def test_factors_depend_on_the_image_as_the_mean_does():
    """Half the pixels at 40 steps, the rest at none: a mean of 20, which the gate turns into 2 * sigmoid(20 / 10)."""
    gate = QuantisedGate(np.array([[100]], np.int8), np.zeros(1, np.int32), np.float32([256 / (10 * 100 * 128)]))
    tensor = np.full((4, 6, 1), -128, np.int8)
    tensor[:2] += 40
    (factor,) = gate_factors(gate, tensor, -128)
    assert factor == pytest.approx(2 / (1 + math.exp(-2)), abs=1e-4)
    (largest,) = gate_factors(gate, np.full((4, 6, 1), 127, np.int8), -128)
    assert largest == pytest.approx(2 / (1 + math.exp(-8)), abs=1e-4), "the table ends at 8"


def test_the_table_does_not_depend_on_how_a_machine_computes_exponentials():
    """No entry lies so near to a tie that an error in the last digits of exp could round it the other way."""
    exact = np.array([2**15 / (1 + math.exp(-k / 256)) for k in range(-2048, 2049)])
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-6
    np.testing.assert_array_equal(GATE_TABLE * 2**14, np.floor(exact + 0.5))
    assert GATE_TABLE[2048] == 1 and (GATE_TABLE > 0).all()


def test_a_folded_gate_gives_the_float_student_s_factors():
    student, scale = gated_student(), 0.031
    (layer,) = (layer for layer in student.spec.layers if layer.gate)
    features = np.random.default_rng(3).integers(-128, 0, (32, 48, 8)).astype(np.int8)
    features[:, :, 2:] = -128
    real = torch.from_numpy((features.astype(np.float32) + 128) * scale).permute(2, 0, 1)[None]
    with torch.no_grad():
        wanted = student.factors(layer.name, real).flatten().numpy()
    found = gate_factors(fold_gate(student, layer, scale), features, -128)
    assert wanted.std() > 0.1
    np.testing.assert_allclose(found, wanted, atol=0.02)


def test_gates_without_effect_are_exactly_one():
    student = gated_student()
    (layer,) = (layer for layer in student.spec.layers if layer.gate)
    zero = dataclasses.replace(
        fold_gate(student, layer, 0.03), weight=np.zeros((16, 8), np.int8), bias=np.zeros(16, np.int32)
    )
    assert (gate_factors(zero, np.full((4, 4, 8), 5, np.int8), -128) == 1).all()


def test_equalised_channels_leave_a_gated_student_what_it_computes():
    student = gated_student()
    image = torch.from_numpy(IMAGES[0]).permute(2, 0, 1)[None] / 255
    equalised = equalise_student(student, collect_channel_maxima(student, IMAGES))
    assert not torch.equal(equalised.gate("enc1.0.a").weight, student.gate("enc1.0.a").weight)
    with torch.no_grad():
        assert torch.allclose(equalised(image), student(image), atol=1e-4)


def test_a_quantised_gated_student_restores_as_the_float_one():
    """As near as the same student without gates comes (test_quantise_pipeline); images that calibration saw not."""
    student, unseen = gated_student(), [drawn_pair(seed)[0] for seed in range(100, 104)]
    for equalise in (True, False):
        network = quantise_student(student, IMAGES, QuantiseOptions("mse", equalise=equalise))
        with_gates = measure_quality(network, student, unseen).int8_to_float_db
        assert with_gates > 48
    without = dataclasses.replace(
        network,
        layers=tuple(
            layer if layer.gate is None else dataclasses.replace(layer, gate=_identity(layer.gate))
            for layer in network.layers
        ),
    )
    assert measure_quality(without, student, unseen).int8_to_float_db < with_gates - 1, "gates must matter here"


def _identity(gate: QuantisedGate) -> QuantisedGate:
    return dataclasses.replace(gate, weight=np.zeros_like(gate.weight), bias=np.zeros_like(gate.bias))


def test_the_simulated_network_of_fine_tuning_has_the_interpreter_s_gates():
    student = gated_student()
    network = quantise_student(student, IMAGES, QuantiseOptions("mse", equalise=False, bias_correction=False))
    simulated = SimulatedNetwork(student, network)
    tensors = run_tensors(network, IMAGES[0])
    real = {
        name: torch.from_numpy(
            (q.astype(np.float32) - network.tensors[name].zero_point) * network.tensors[name].scale
        ).permute(2, 0, 1)[None]
        for name, q in tensors.items()
    }
    (spec,) = (layer for layer in student.spec.layers if layer.gate)
    scale = network.tensors[spec.name]
    with torch.no_grad():
        found = (simulated.run_layer(spec, real) / scale.scale).round()[0].permute(1, 2, 0).numpy() + scale.zero_point
    difference = np.abs(found - tensors[spec.name])
    assert difference.max() <= 1 and (difference > 0).mean() < 0.03
    tuned, _ = finetune_network(student, network, IMAGES, 3)
    assert tuned.layers[4].gate is not None and student.gate("enc1.0.a").weight.grad is None


def test_a_gated_network_comes_back_from_its_file_and_one_without_gates_has_no_trace_of_them(tmp_path):
    network = random_network(gated_spec(), seed=4)
    save_edq(network, tmp_path / "gated.edq")
    loaded = load_edq(tmp_path / "gated.edq")
    assert loaded.spec == network.spec
    image = np.random.default_rng(1).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    np.testing.assert_array_equal(run(loaded, image), run(network, image))
    save_edq(random_network(tiny_spec()), tmp_path / "plain.edq")
    with zipfile.ZipFile(tmp_path / "plain.edq") as archive:
        assert b"gate" not in archive.read("network.json") and not any("gate" in name for name in archive.namelist())
    with zipfile.ZipFile(tmp_path / "gated.edq") as archive:
        assert "arrays/dec0.0.a.gate.weight.npy" in archive.namelist()


def test_gates_fixed_for_an_image_give_its_bytes_and_another_images_not():
    network = random_network(gated_spec(), seed=4)
    one, other = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8) // np.uint8(
        [[[[1]]], [[[4]]]]
    )
    fixed = with_fixed_gates(network, one)
    check_network(fixed)
    assert not fixed.spec.gated and all(layer.gate is None for layer in fixed.layers)
    np.testing.assert_array_equal(run(fixed, one), run(network, one))
    assert (run(fixed, other) != run(network, other)).any()


@pytest.mark.parametrize(
    "change, told",
    [
        ({"weight": np.full((12, 16), -128, np.int8)}, "a weight is -128"),
        ({"weight": np.zeros((12, 15), np.int8)}, "gate.weight is int8"),
        ({"bias": np.full(12, 2**31 - 1, np.int32)}, "its gate can reach"),
        ({"scale": np.zeros(12, np.float32)}, "gate.scale of 12 channels is not a positive number"),
        (None, "a gate without its arrays"),
    ],
)
def test_gates_that_are_none_are_refused(change, told):
    network = random_network(gated_spec())
    layer = network.layers[4]
    gate = None if change is None else dataclasses.replace(layer.gate, **change)
    layers = (*network.layers[:4], dataclasses.replace(layer, gate=gate), *network.layers[5:])
    with pytest.raises(UserError, match=told):
        check_network(dataclasses.replace(network, layers=layers))


def test_inspection_tells_of_gates_and_counts_their_parameters(tmp_path):
    network = random_network(gated_spec())
    save_edq(network, tmp_path / "gated.edq")
    shown = {layer.name: layer for layer in model_facts(tmp_path / "gated.edq").layers}
    assert shown["enc1.0.a"].op == "conv3x3+relu+gate"
