"""Networks with gates in ONNX Runtime: the interpreter's bytes; and in LiteRT."""

import dataclasses

import numpy as np
import pytest
import torch
from networks import gated_spec, random_network
from students import drawn_pair, gated_student
from test_onnx_export import assert_one_step_at_most, run_onnx
from test_tflite_export import run_tflite

from edgedeblur.export.onnx import onnx_model
from edgedeblur.export.tflite import tflite_model
from edgedeblur.quantize.interpreter import run
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise_student
from edgedeblur.student import IMAGE, ConvSpec, StudentSpec


def image_of(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("form", ["qdq", "qlinear"])
@pytest.mark.parametrize("zero_point", [-128, -30])
def test_gated_layers_are_exact_in_onnx_runtime(form, zero_point):
    """Without additions, which may round a tie otherwise (onnx.py)."""
    layers = (
        ConvSpec("a", IMAGE, 12, 8, relu=True, space_to_depth=2),
        ConvSpec("b", "a", 8, 21, stride=2, relu=True, gate="a"),
        ConvSpec("c", "b", 21, 12, relu=True, gate="b"),
        ConvSpec("head", "c", 12, 48, depth_to_space=4),
    )
    network = random_network(StudentSpec("gates", layers, "c", 4), seed=3)
    network = dataclasses.replace(
        network, tensors=network.tensors | {"a": dataclasses.replace(network.tensors["a"], zero_point=zero_point)}
    )
    found = run_onnx(onnx_model(network, 24, 36, form), image_of(24, 36))
    np.testing.assert_array_equal(found, run(network, image_of(24, 36)))


@pytest.mark.parametrize("form", ["qdq", "qlinear"])
def test_a_whole_network_gives_the_interpreters_bytes_but_for_rare_ties(form):
    network = random_network(gated_spec(), seed=5)
    found = run_onnx(onnx_model(network, 48, 64, form), image_of(48, 64))
    assert_one_step_at_most(found, run(network, image_of(48, 64)), 1e-3)


def test_the_float_form_is_the_gated_student():
    student, (image, _) = gated_student(), drawn_pair(5)
    network = quantise_student(student, [image], QuantiseOptions("mse", bias_correction=False))
    got = run_onnx(onnx_model(network, 64, 64, "float"), image)
    with torch.no_grad():
        restored = student(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0)
    expected = (restored * 255).clamp(0, 255).round().numpy()
    assert 0 < np.abs(got - expected).mean() < 1, "weights keep 127 steps; nothing else is rounded"


@pytest.mark.parametrize("size", [(24, 40), (64, 48)])
def test_gated_layers_in_litert_are_the_interpreters_but_for_rare_ties(size):
    network = random_network(gated_spec(), seed=5)
    found = run_tflite(tflite_model(network, *size), image_of(*size))
    assert_one_step_at_most(found, run(network, image_of(*size)), 5e-2)


def test_a_trained_gated_student_is_the_same_picture_in_litert():
    student, (image, _) = gated_student(), drawn_pair(5)
    network = quantise_student(student, [image], QuantiseOptions("mse"))
    found = run_tflite(tflite_model(network, 64, 64), image)
    assert_one_step_at_most(found, run(network, image), 2e-2)
