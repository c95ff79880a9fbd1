"""The ONNX form computes the interpreter's bytes in ONNX Runtime, and both forms say the same."""

import dataclasses

import numpy as np
import onnx
import pytest
import torch
from networks import gated_spec, in_winograd_form, mobile_spec, random_network, single_layer_spec, tiny_spec
from students import drawn_pair, trained_student

from edgedeblur import __version__
from edgedeblur.errors import UserError
from edgedeblur.export.onnx import export_onnx, onnx_model
from edgedeblur.quantize.edq import save_edq
from edgedeblur.quantize.interpreter import run
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise_student
from edgedeblur.storage.digests import digest
from edgedeblur.student import ConvSpec, StudentSpec, student_spec

ort = pytest.importorskip("onnxruntime")
INTEGER_FORMS = ["qdq", "qlinear"]


def run_onnx(model: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # On x86 without VNNI the default kernels add pairs of products in 16 bits, which saturates
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image[None]})[0][0]


def random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_one_step_at_most(found: np.ndarray, expected: np.ndarray, fraction: float) -> None:
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= fraction


@pytest.mark.parametrize("form", INTEGER_FORMS)
@pytest.mark.parametrize("seed", range(3))
def test_the_bytes_are_the_interpreters_but_for_rare_ties(form, seed):
    network, image = random_network(tiny_spec(), seed), random_image(48, 64, seed)
    assert_one_step_at_most(run_onnx(onnx_model(network, 48, 64, form), image), run(network, image), 1e-3)


@pytest.mark.parametrize("form", INTEGER_FORMS)
def test_layers_in_winograd_form_give_the_interpreters_bytes_too(form):
    network, image = in_winograd_form(random_network(tiny_spec(), 4)), random_image(48, 64)
    assert_one_step_at_most(run_onnx(onnx_model(network, 48, 64, form), image), run(network, image), 1e-3)


@pytest.mark.parametrize("form", INTEGER_FORMS)
def test_a_whole_tier_gives_the_interpreters_bytes_but_for_rare_ties(form):
    network, image = random_network(student_spec("nano")), random_image(64, 128)
    assert_one_step_at_most(run_onnx(onnx_model(network, 64, 128, form), image), run(network, image), 1e-3)


@pytest.mark.parametrize("form", INTEGER_FORMS)
@pytest.mark.parametrize("zero_point", [-128, -37, 50])
def test_relu_clamps_at_real_zero_wherever_its_zero_point_is(form, zero_point):
    layers = (
        ConvSpec("a", "image", 3, 4, relu=True),
        ConvSpec("b", "a", 4, 4, residual="a", relu=True),
        ConvSpec("head", "b", 4, 3),
    )
    network = random_network(StudentSpec("relu", layers, "a", 1))
    for name in ("a", "b"):
        object.__setattr__(network.tensors[name], "zero_point", zero_point)
    image = random_image(9, 7)
    np.testing.assert_array_equal(run_onnx(onnx_model(network, 9, 7, form), image), run(network, image))


def test_the_float_form_is_the_student_that_was_quantised():
    student, (image, _) = trained_student(), drawn_pair(5)
    network = quantise_student(student, [image], QuantiseOptions(bias_correction=False))
    got = run_onnx(onnx_model(network, 64, 64, "float"), image)
    with torch.no_grad():
        restored = student(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0)
    expected = (restored * 255).clamp(0, 255).round().numpy()
    assert 0 < np.abs(got - expected).mean() < 1, "weights keep 127 steps; nothing else is rounded"


def saturating_network() -> QuantisedNetwork:
    """Its residual layer's convolution leaves 8 bits in many places, and the residual brings the sum back."""
    layers = (ConvSpec("a", "image", 3, 3), ConvSpec("b", "a", 3, 12, residual="image", depth_to_space=2, stride=2))
    network = random_network(StudentSpec("saturating", layers, "a", 2))
    last = dataclasses.replace(network.layers[1], scale=network.layers[1].scale * np.float32(4))
    return dataclasses.replace(network, layers=(network.layers[0], last))


@pytest.mark.parametrize(
    "network",
    [
        random_network(tiny_spec()),
        random_network(gated_spec(), 5),
        random_network(mobile_spec(), 2),
        saturating_network(),
    ],
)
def test_the_integer_form_gives_the_interpreters_bytes(network):
    image = random_image(48, 64)
    np.testing.assert_array_equal(run_onnx(onnx_model(network, 48, 64, "integer"), image), run(network, image))


def test_the_integer_form_is_standard_onnx():
    model = onnx_model(random_network(gated_spec()), 16, 16, "integer")
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert {node.op_type for node in model.graph.node} >= {"ConvInteger", "Round", "QuantizeLinear"}


def test_the_file_says_what_it_holds(tmp_path):
    network = random_network(tiny_spec())
    save_edq(network, tmp_path / "tiny.edq")
    said = {entry.key: entry.value for entry in onnx_model(network, 16, 24).metadata_props}
    assert said["network_sha256"] == digest(tmp_path / "tiny.edq")
    assert (said["form"], said["edgedeblur_version"]) == ("qdq", __version__)
    assert said["input"] == "image: uint8 [1, 16, 24, 3] RGB, NHWC"


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_one_convolution_without_residual_is_exact(kernel):
    network, image = random_network(single_layer_spec(kernel, fold=2), kernel), random_image(18, 14)
    np.testing.assert_array_equal(run_onnx(onnx_model(network, 18, 14), image), run(network, image))


def test_the_qdq_form_is_standard_onnx():
    model = onnx_model(random_network(tiny_spec()), 16, 16, "qdq")
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}


def test_every_convolution_becomes_an_integer_kernel(tmp_path):
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    model = onnx_model(random_network(tiny_spec()), 16, 16, "qdq")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert kinds.count("QLinearConv") == len(tiny_spec().layers)
    assert not {"Conv", "Add", "QuantizeLinear", "DequantizeLinear"} & set(kinds)


def test_the_same_network_gives_the_same_file(tmp_path):
    for name in ("a.onnx", "b.onnx"):
        export_onnx(random_network(tiny_spec()), tmp_path / name, 16, 24)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_bad_form_or_size_is_the_users_error(tmp_path):
    network = random_network(tiny_spec())
    with pytest.raises(UserError, match="no ONNX form 'tensor'"):
        export_onnx(network, tmp_path / "a.onnx", 16, 16, "tensor")
    for height, width in ((16, 12), (0, 16), (-8, 8)):
        with pytest.raises(UserError, match="multiples of 8"):
            export_onnx(network, tmp_path / "a.onnx", height, width)
    assert not list(tmp_path.iterdir())
