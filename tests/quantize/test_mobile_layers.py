"""Depthwise, grouped and dilated layers, ReLU6 and PReLU through all of quantisation."""

import numpy as np
import pytest
import torch
from networks import mobile_spec, random_network
from students import drawn_pair
from test_finetune import as_real

from edgedeblur.distill.initial import initialise_from
from edgedeblur.quantize.edq import load_edq, save_edq
from edgedeblur.quantize.equalise import channel_factors, collect_channel_maxima, equalise_student
from edgedeblur.quantize.finetune import SimulatedNetwork, finetune_network
from edgedeblur.quantize.interpreter import run, run_tensors
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise
from edgedeblur.quantize.quality import capped_psnr, float_image
from edgedeblur.quantize.simulate import run_simulated
from edgedeblur.student import Student, build_student
from edgedeblur.student.model_file import load_student, save_student

IMAGES = [drawn_pair(seed)[0] for seed in range(3)]


@pytest.fixture(scope="module")
def student() -> Student:
    """Fresh weights, as distillation starts from, with slopes and a head that are not trivial."""
    student = build_student(mobile_spec(), seed=1)
    initialise_from(student, torch.from_numpy(np.stack(IMAGES)).permute(0, 3, 1, 2) / 255)
    with torch.no_grad():
        torch.nn.init.normal_(student.conv("head").weight, std=0.02)
        for layer in student.spec.layers:
            if layer.prelu:
                torch.nn.init.uniform_(student.slope(layer.name), -0.1, 0.6)
    return student.eval()


def test_equalised_channels_leave_the_student_what_it_computes(student):
    factors = channel_factors(student.spec, collect_channel_maxima(student, IMAGES))
    assert np.ptp(factors["down"]) > 0 and np.ptp(factors["b.deep"]) > 0  # slopes keep positive factors
    assert all(np.all(factors[name] == 1) for name in ("stem", "a.wide", "a.deep", "a.narrow"))  # limits do not
    equalised = equalise_student(student, channel_factors(student.spec, collect_channel_maxima(student, IMAGES)))
    assert capped_psnr(float_image(equalised, IMAGES[0]), float_image(student, IMAGES[0])) > 60


@pytest.mark.parametrize("equalise", [True, False])
def test_int8_restores_as_the_float_student_and_fine_tuning_simulates_it(student, equalise):
    made = quantise(student, IMAGES, QuantiseOptions("mse", equalise=equalise))
    network = made.network
    assert capped_psnr(run(network, IMAGES[0]), float_image(student, IMAGES[0])) > 38
    np.testing.assert_array_equal(run_simulated(network, IMAGES[1]), run(network, IMAGES[1]))
    expected = run_tensors(network, IMAGES[0])
    real = {name: as_real(integers, network.tensors[name]) for name, integers in expected.items()}
    simulated = SimulatedNetwork(made.student, network, export_room=False)
    for layer in network.spec.layers:
        with torch.no_grad():
            output = simulated.run_layer(layer, real)
        steps = (output - real[layer.name]) / network.tensors[layer.name].scale
        assert steps.abs().max() < 1.5 and (steps.abs() > 0.5).float().mean() < 0.02, layer.name
    tuned, _ = finetune_network(made.student, network, IMAGES, 2)
    assert capped_psnr(run(tuned, IMAGES[0]), float_image(student, IMAGES[0])) > 36


def test_files_keep_the_layers_and_write_only_the_keys_that_a_layer_has(student, tmp_path):
    network = random_network(mobile_spec(), seed=4)
    save_edq(network, tmp_path / "mobile.edq")
    loaded = load_edq(tmp_path / "mobile.edq")
    assert loaded.spec == network.spec
    np.testing.assert_array_equal(loaded.layers[4].negative_scale, network.layers[4].negative_scale)
    np.testing.assert_array_equal(run(loaded, IMAGES[0]), run(network, IMAGES[0]))
    save_student(tmp_path / "mobile.safetensors", student, {})
    again, _ = load_student(tmp_path / "mobile.safetensors")
    np.testing.assert_array_equal(float_image(again, IMAGES[0]), float_image(student, IMAGES[0]))
