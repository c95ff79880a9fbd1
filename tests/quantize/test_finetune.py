"""Fine-tuning with rounding in place brings the int8 network nearer to the float student."""

import copy
import dataclasses
import itertools

import numpy as np
import pytest
import torch
from networks import random_network
from students import dead_student, drawn_pair, gated_student, trained_student

from edgedeblur.quantize import pipeline
from edgedeblur.quantize.check import check_network
from edgedeblur.quantize.correct import fold_network
from edgedeblur.quantize.equalise import collect_channel_maxima, equalise_student
from edgedeblur.quantize.finetune import SimulatedNetwork, finetune_loss, finetune_network
from edgedeblur.quantize.interpreter import run_tensors
from edgedeblur.quantize.network import TensorScale
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise_student
from edgedeblur.quantize.quality import measure_quality

CALIBRATION = [drawn_pair(10_100 + seed)[0] for seed in range(8)]
BLURRED = [drawn_pair(10_200 + seed)[0] for seed in range(4)]


def folded(network):
    """The trained student as `network` was folded from it."""
    student = trained_student()
    return (
        equalise_student(student, collect_channel_maxima(student, CALIBRATION))
        if network.recipe["equalise"]
        else student
    )


@pytest.mark.parametrize("export_room", [True, False])
def test_a_convolution_beyond_int8_is_clamped_before_its_residual_only_to_keep_room_for_exports(export_room):
    """The interpreter adds before it clamps: 200 - 150 is 50, where other runtimes have 127 - 150."""
    network = quantise_student(trained_student(), CALIBRATION, QuantiseOptions("mse", equalise=False))
    layer = next(layer for layer in network.layers if layer.spec.name == "enc0.0.b")
    scale = network.tensors["enc0.0.b"].scale
    student = copy.deepcopy(trained_student())
    with torch.no_grad():
        student.conv("enc0.0.b").weight.zero_()
    bias = np.rint(200 / layer.scale).astype(np.int32)
    changed = dataclasses.replace(layer, weight=np.zeros_like(layer.weight), bias=bias)
    layers = tuple(changed if one is layer else one for one in network.layers)
    simulated = SimulatedNetwork(student, dataclasses.replace(network, layers=layers), export_room)
    read = {layer.spec.source: torch.zeros(1, 8, 4, 4), layer.spec.residual: torch.full((1, 8, 4, 4), -150 * scale)}
    with torch.no_grad():
        steps = simulated.run_layer(layer.spec, read) / scale
    assert steps.mean().item() == pytest.approx(127 - 150 if export_room else 50, abs=1)


@pytest.mark.parametrize("equalise", [True, False])
def test_every_layer_computes_what_the_interpreter_does(equalise):
    network = quantise_student(trained_student(), CALIBRATION, QuantiseOptions("mse", equalise=equalise))
    simulated = SimulatedNetwork(folded(network), network)
    for image in BLURRED:
        expected = run_tensors(network, image)
        real = {name: as_real(integers, network.tensors[name]) for name, integers in expected.items()}
        for layer in network.spec.layers:
            with torch.no_grad():
                output = simulated.run_layer(layer, real)
            steps = (output - real[layer.name]) / network.tensors[layer.name].scale
            np.testing.assert_allclose(steps, steps.round(), atol=1e-3)
            assert (steps.abs() > 0.5).float().mean() < 0.002, layer.name  # where a float sum lies between two integers


def as_real(integers: np.ndarray, scale: TensorScale) -> torch.Tensor:
    """What an int8 [H, W, C] tensor stands for, [1, C, H, W]."""
    real = (integers.astype(np.float32) - scale.zero_point) * np.float32(scale.scale)
    return torch.from_numpy(real).permute(2, 0, 1)[None]


def test_every_scale_and_weight_learns():
    network = quantise_student(trained_student(), CALIBRATION, QuantiseOptions("mse"))
    simulated = SimulatedNetwork(folded(network), network)
    image = torch.from_numpy(BLURRED[0]).permute(2, 0, 1)[None].float() / 255
    simulated.run(image)["head"].square().sum().backward()
    assert list(simulated.scales) == list(simulated.weights)[:-1]  # the last tensor is an image, whose scale is fixed
    assert list(simulated.factors) == ["stem", "enc0.0.a", "down1", "enc1.0.a"]  # a group of added tensors has the same
    for learnt in (simulated.weights, simulated.biases, simulated.scales, simulated.factors):
        assert all(torch.any(p.grad != 0) for p in learnt.values())


def test_residual_blocks_add_half_of_the_image_s_loss_and_have_gradients_of_their_own():
    network = quantise_student(trained_student(), CALIBRATION, QuantiseOptions("mse"))
    student = folded(network)
    simulated = SimulatedNetwork(student, network)
    image = torch.from_numpy(BLURRED[0]).permute(2, 0, 1)[None].float() / 255
    loss = finetune_loss(student, simulated, image)
    loss.backward()
    with_blocks = simulated.weights["enc0.0.b"].grad.clone()
    of_image = (simulated.run(image)["head"] - student(image).clamp(0, 1).detach()).square().mean()
    assert loss.item() == pytest.approx(1.5 * of_image.item(), rel=1e-4)
    simulated.weights["enc0.0.b"].grad = None
    of_image.backward()
    alone = simulated.weights["enc0.0.b"].grad
    assert (with_blocks - alone).norm() > 0.05 * alone.norm()


@pytest.mark.parametrize("student", [trained_student(), gated_student()], ids=["plain", "gated"])
def test_what_was_learnt_folds_into_the_network_that_was_simulated(student):
    """With every parameter moved: layer by layer, the interpreter's integers are the simulation's values."""
    network = quantise_student(student, CALIBRATION, QuantiseOptions("mse", equalise=False))
    simulated, rng = SimulatedNetwork(student, network), torch.Generator().manual_seed(0)
    learnt = (simulated.weights, simulated.biases, simulated.scales, simulated.gate_weights, simulated.factors)
    for parameter in itertools.chain(*(one.values() for one in learnt), simulated.gate_biases.values()):
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=rng)
    folded_network = fold_network(simulated.student(), simulated.tensors())
    factors = simulated.channel_factors()
    assert min(values.std() for name, values in factors.items() if name not in ("image", "head")) > 0.03
    integers = run_tensors(folded_network, BLURRED[0])
    real = {
        name: as_real(q, folded_network.tensors[name]) / torch.from_numpy(factors[name]).float()[:, None, None]
        for name, q in integers.items()
    }
    for layer in folded_network.spec.layers:
        with torch.no_grad():
            output = simulated.run_layer(layer, real)
        factor = torch.from_numpy(factors[layer.name]).float()[:, None, None]
        steps = (output - real[layer.name]) * factor / folded_network.tensors[layer.name].scale
        allowed = 0.03 if layer.gate else 0.002  # the integer gate's factors are rounded
        assert (steps.abs() > 0.5).float().mean() < allowed, layer.name


def test_the_student_in_the_tuned_network_s_units_computes_the_same_image():
    student = gated_student()
    plain = quantise_student(student, CALIBRATION, QuantiseOptions("mse", equalise=False))
    tuned, scaled = finetune_network(student, plain, CALIBRATION, 20)
    image = torch.from_numpy(BLURRED[0]).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        torch.testing.assert_close(scaled(image), student(image), atol=1e-5, rtol=0)
        stem = scaled.activations(image)["stem"], student.activations(image)["stem"]
    assert not torch.allclose(*stem, rtol=1e-3), "channels are multiplied"
    real = as_real(run_tensors(tuned, BLURRED[0])["stem"], tuned.tensors["stem"])
    near, far = ((real - one).square().mean() for one in stem)
    assert near < far, "the network is in the units of the student that comes with it"


def test_it_widens_ranges_that_clip_too_much_on_images_it_has_not_seen():
    student = trained_student()
    plain = quantise_student(student, CALIBRATION, QuantiseOptions("percentile", 95))
    tuned = quantise_student(student, CALIBRATION, QuantiseOptions("percentile", 95, finetune_steps=100))
    assert tuned.recipe == {**plain.recipe, "finetune_steps": 100}
    before, after = (measure_quality(network, student, BLURRED).int8_to_float_db for network in (plain, tuned))
    assert after > before + 1


def test_the_same_seed_gives_the_same_network_and_another_gives_another():
    network = quantise_student(trained_student(), CALIBRATION, QuantiseOptions("mse"))
    first, second, third = (finetune_network(folded(network), network, CALIBRATION, 5, seed)[0] for seed in (0, 0, 1))
    assert first.tensors == second.tensors != third.tensors
    for one, other in zip(first.layers, second.layers, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)
        np.testing.assert_array_equal(one.bias, other.bias)


def test_progress_is_told_of_every_step():
    told = []
    options = QuantiseOptions("mse", finetune_steps=3)
    quantise_student(trained_student(), CALIBRATION[:2], options, progress=lambda *news: told.append(news))
    assert [news for news in told if news[0] == "fine-tuning"] == [("fine-tuning", done, 3) for done in (1, 2, 3)]


@pytest.mark.parametrize("spoil", ["farther", "overflowing"])
def test_a_network_that_came_out_worse_or_unsafe_is_not_kept(monkeypatch, spoil):
    def spoiled(student, network, images, steps, seed, progress, export_room, source):
        if spoil == "farther":
            return dataclasses.replace(network, layers=random_network(network.spec, seed=3).layers), student
        large = dataclasses.replace(network.layers[0], bias=np.full_like(network.layers[0].bias, 2**31 - 1))
        return dataclasses.replace(network, layers=(large, *network.layers[1:])), student

    monkeypatch.setattr(pipeline, "finetune_network", spoiled)
    network = quantise_student(trained_student(), CALIBRATION, QuantiseOptions("mse", finetune_steps=1))
    assert "finetune_steps" not in network.recipe


def test_dead_channels_and_images_of_one_multiple_are_tuned_too():
    student = dead_student()
    image = CALIBRATION[0][: student.spec.multiple, : student.spec.multiple]
    network = quantise_student(student, [image], QuantiseOptions("mse", finetune_steps=5))
    check_network(network)
