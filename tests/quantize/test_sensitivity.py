"""Which layers int8 costs the most, against layers that are quantised one by one with NumPy and plain torch."""

import dataclasses

import numpy as np
import pytest
import torch
from networks import gated_spec, random_network, tiny_spec
from students import drawn_pair, gated_student, trained_student

from edgedeblur.errors import UserError
from edgedeblur.metrics import psnr
from edgedeblur.quantize.correct import fold_network
from edgedeblur.quantize.cost.sensitivity import rank_layers
from edgedeblur.quantize.interpreter import run
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise
from edgedeblur.quantize.quality import float_image
from edgedeblur.quantize.simulate import run_simulated

CALIBRATION = [drawn_pair(10_100 + seed)[0] for seed in range(8)]
HELD_BACK = [drawn_pair(10_200 + seed) for seed in range(2)]
BLURRED, SHARP = [pair[0] for pair in HELD_BACK], [pair[1] for pair in HELD_BACK]


@pytest.fixture(scope="module", params=[True, False], ids=["equalised", "not equalised"])
def made(request):
    return quantise(gated_student(), CALIBRATION, QuantiseOptions("mse", equalise=request.param))


@pytest.fixture(scope="module")
def costs(made):
    return rank_layers(made.student, made.network, BLURRED, SHARP)


@pytest.mark.parametrize("spec", [tiny_spec(), gated_spec()], ids=["tiny", "gated"])
@pytest.mark.parametrize("seed", range(3))
def test_the_simulation_gives_the_interpreter_s_bytes(spec, seed):
    network = random_network(spec, seed=seed)
    image = np.random.default_rng(seed).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    np.testing.assert_array_equal(run_simulated(network, image), run(network, image))


def test_the_simulation_gives_the_interpreter_s_bytes_on_photographs(made):
    for image in BLURRED:
        np.testing.assert_array_equal(run_simulated(made.network, image), run(made.network, image))


def float_tensors(student, image, changes):
    """The float student, written out; `changes` gives the tensor of a layer another value."""
    x = {"image": torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None] / 255}
    with torch.no_grad():
        for layer in student.spec.layers:
            x[layer.name] = student.layer_output(layer, x)
            if layer.name in changes:
                x[layer.name] = changes[layer.name](layer, x)
    return x


def to_pixels(tensor):
    return (tensor[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def one_layer_by_hand(made, name):
    """A layer's tensor with its weights, bias and output rounded, from real numbers and the rules of folding."""
    scale = made.network.tensors[name]

    def change(layer, x):
        conv = made.student.conv(name)
        quantised = next(one for one in made.network.layers if one.spec.name == name)
        steps = torch.from_numpy(quantised.weight_scale)
        weight = (conv.weight / steps[:, None, None, None]).round().clamp(-127, 127) * steps[:, None, None, None]
        source = made.network.tensors[layer.source].scale
        bias = torch.from_numpy(quantised.bias).double() * steps * source  # which holds the correction
        out = torch.nn.functional.conv2d(
            x[layer.source], weight, bias.float(), stride=layer.stride, padding=layer.kernel // 2
        )
        if layer.gate is not None:
            gate = made.student.gate(name)
            z = gate(x[layer.gate].mean((2, 3)))
            out = out * (2 / (1 + torch.exp(-z)))[:, :, None, None]
        q = (out / scale.scale).round()
        if layer.residual is not None:
            q = q + (x[layer.residual] / scale.scale).round()
        q = (q + scale.zero_point).clamp(scale.zero_point if layer.relu else -128, 127)
        return (q - scale.zero_point) * scale.scale

    return change


@pytest.mark.parametrize("name", ["enc0.0.a", "enc0.0.b", "down1", "enc1.0.a"])
def test_a_layer_s_cost_is_that_of_quantising_it_by_hand(made, costs, name):
    lost, close, error = [], [], []
    for image, sharp in HELD_BACK:
        plain = float_tensors(made.student, image, {})
        changed = float_tensors(made.student, image, {name: one_layer_by_hand(made, name)})
        before, after = to_pixels(plain["head"]), to_pixels(changed["head"])
        lost.append(psnr(before, sharp) - psnr(after, sharp))
        close.append(min(psnr(after, before), 100))
        noise = (changed[name] - plain[name]).double().square().sum()
        error.append(float(10 * torch.log10(plain[name].double().square().sum() / noise)))
    (found,) = (cost for cost in costs if (cost.layer, cost.part) == (name, "layer"))
    assert found.lost_db == pytest.approx(np.mean(lost), abs=2e-3)
    assert found.to_float_db == pytest.approx(np.mean(close), abs=0.1)
    assert found.error_db == pytest.approx(np.mean(error), abs=0.05)


def test_a_gate_s_cost_is_that_of_its_factors(made, costs):
    (layer,) = (one for one in made.network.layers if one.gate is not None)
    scale = made.network.tensors[layer.spec.gate]
    gate = made.student.gate(layer.spec.name)
    close, error = [], []
    for image in BLURRED:
        plain = float_tensors(made.student, image, {})
        gating = plain[layer.spec.gate]
        q = ((gating / scale.scale).round() + scale.zero_point).clamp(-128, 127)
        mean = ((q - scale.zero_point).mean((2, 3)) * 128).round() / 128 * scale.scale
        weight = torch.from_numpy(layer.gate.weight).float() * torch.from_numpy(layer.gate.scale)[:, None]
        weight = weight / (256 * scale.scale / 128)
        with torch.no_grad():
            z = mean @ weight.T + gate.bias
            factors = 2 * torch.sigmoid((z * 256).round().clamp(-2048, 2048) / 256)
            wanted = 2 * torch.sigmoid(gate(gating.mean((2, 3))))
        ratio = (factors / wanted)[:, :, None, None]
        changed = float_tensors(
            made.student, image, {layer.spec.name: lambda layer, x, ratio=ratio: x[layer.name] * ratio}
        )
        close.append(min(psnr(to_pixels(changed["head"]), to_pixels(plain["head"])), 100))
        name = layer.spec.name
        noise = (changed[name] - plain[name]).double().square().sum()
        error.append(float(10 * torch.log10(plain[name].double().square().sum() / noise)))
    (found,) = (cost for cost in costs if cost.part == "gate")
    assert found.name == f"{layer.spec.name} gate" and found.weights_share is None
    assert found.to_float_db == pytest.approx(np.mean(close), abs=4)  # a few pixels of 4,096
    assert found.error_db == pytest.approx(np.mean(error), abs=1)


def test_every_layer_and_gate_is_ranked_the_dearest_first(made, costs):
    names = {layer.name for layer in made.network.spec.layers}
    assert {cost.layer for cost in costs if cost.part == "layer"} == names and len(costs) == len(names) + 1
    lost = [cost.lost_db for cost in costs]
    assert lost == sorted(lost, reverse=True)
    blind = rank_layers(made.student, made.network, BLURRED)
    assert all(cost.lost_db is None for cost in blind)
    assert [cost.to_float_db for cost in blind] == sorted(cost.to_float_db for cost in blind)


@pytest.mark.parametrize("harm", ["range", "weights"])
def test_a_spoilt_layer_costs_more_and_the_table_says_what_is_wrong_with_it(harm):
    made = quantise(trained_student(), CALIBRATION, QuantiseOptions("mse", equalise=False))
    if harm == "range":
        scale = made.network.tensors["down1"]
        tensors = {**made.network.tensors, "down1": dataclasses.replace(scale, scale=scale.scale / 40)}
        spoilt = fold_network(made.student, tensors)
    else:
        layers = list(made.network.layers)
        index = [layer.spec.name for layer in layers].index("down1")
        layers[index] = dataclasses.replace(layers[index], weight=np.sign(layers[index].weight) * np.int8(64))
        spoilt = dataclasses.replace(made.network, layers=tuple(layers))
    (before,) = (one for one in rank_layers(made.student, made.network, BLURRED) if one.name == "down1")
    first = rank_layers(made.student, spoilt, BLURRED)[0]
    assert first.name == "down1" and first.to_float_db < before.to_float_db - 5
    assert first.clamped_share > 0.05 if harm == "range" else first.weights_share > 0.8


def test_the_float_network_is_the_student_s():
    student = trained_student()
    for image in BLURRED:
        np.testing.assert_array_equal(to_pixels(float_tensors(student, image, {})["head"]), float_image(student, image))


def test_no_pictures_are_refused():
    made = quantise(trained_student(), CALIBRATION[:2], QuantiseOptions("mse"))
    with pytest.raises(UserError, match="no held-back pictures"):
        rank_layers(made.student, made.network, [])
