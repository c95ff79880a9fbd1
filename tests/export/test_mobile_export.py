"""Depthwise, grouped and dilated layers, ReLU6 and PReLU in ONNX Runtime and LiteRT."""

import pytest
import torch
from networks import mobile_spec, random_network
from test_onnx_export import assert_one_step_at_most, random_image, run_onnx
from test_tflite_export import run_tflite

from edgedeblur.export.onnx import onnx_model
from edgedeblur.export.tflite import tflite_model
from edgedeblur.quantize.interpreter import run
from edgedeblur.student import build_student


@pytest.fixture(scope="module")
def network():
    return random_network(mobile_spec(), seed=5)


@pytest.mark.parametrize("form", ["qdq", "qlinear"])
def test_onnx_runtime_gives_the_interpreters_bytes_but_for_rare_ties(network, form):
    found = run_onnx(onnx_model(network, 48, 64, form), random_image(48, 64))
    assert_one_step_at_most(found, run(network, random_image(48, 64)), 1e-3)


def test_litert_gives_the_interpreters_bytes_but_for_rare_ties(network):
    found = run_tflite(tflite_model(network, 48, 64), random_image(48, 64))
    assert_one_step_at_most(found, run(network, random_image(48, 64)), 5e-2)


def test_the_float_form_is_the_student_that_was_quantised(network):
    """Its layers in torch, since ONNX Runtime's and torch's float32 differ by less than a pixel's step."""
    student = build_student(network.spec)
    with torch.no_grad():
        for layer in network.layers:
            name, conv = layer.spec.name, student.conv(layer.spec.name)
            weight = torch.from_numpy(layer.weight.transpose(0, 3, 1, 2) * layer.weight_scale[:, None, None, None])
            conv.weight.copy_(weight)
            conv.bias.copy_(
                torch.from_numpy(layer.bias * layer.weight_scale * network.tensors[layer.spec.source].scale)
            )
            if layer.spec.prelu:
                student.slope(name).copy_(torch.from_numpy(layer.negative_scale / layer.scale))
        image = random_image(48, 64)
        expected = student(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0) * 255
    found = run_onnx(onnx_model(network, 48, 64, "float"), image)
    assert_one_step_at_most(found, expected.clamp(0, 255).round().numpy(), 1e-2)
