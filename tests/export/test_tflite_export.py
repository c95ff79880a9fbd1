"""The TFLite form computes the interpreter's bytes in LiteRT, but for sums that XNNPACK rounds at a tie."""

import json

import numpy as np
import pytest
from networks import in_winograd_form, random_network, single_layer_spec, tiny_spec

from edgedeblur.errors import UserError
from edgedeblur.export import tflite
from edgedeblur.export.tflite import export_tflite, tflite_model
from edgedeblur.quantize.edq import network_sha256
from edgedeblur.quantize.interpreter import run
from edgedeblur.student import student_spec

litert = pytest.importorskip("ai_edge_litert.interpreter")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")


def run_tflite(model: bytes, image: np.ndarray) -> np.ndarray:
    interpreter = litert.Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]


def random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("spec", "seed"), [(tiny_spec(), 0), (tiny_spec(), 1), (tiny_spec(), 2), (student_spec("nano"), 0)]
)
def test_the_bytes_are_the_interpreters_to_one_step_in_a_thousand(spec, seed):
    network, image = random_network(spec, seed), random_image(48, 64, seed)
    difference = np.abs(run_tflite(tflite_model(network, 48, 64), image).astype(int) - run(network, image))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 1e-3


def test_layers_in_winograd_form_give_them_too():
    network, image = in_winograd_form(random_network(tiny_spec(), 4)), random_image(48, 64)
    difference = np.abs(run_tflite(tflite_model(network, 48, 64), image).astype(int) - run(network, image))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 1e-3


@pytest.mark.parametrize(("kernel", "fold"), [(1, 1), (3, 1), (5, 2), (3, 4)])
def test_one_convolution_without_residual_is_exact(kernel, fold):
    network, image = random_network(single_layer_spec(kernel, fold=fold), kernel), random_image(24, 16)
    np.testing.assert_array_equal(run_tflite(tflite_model(network, 24, 16), image), run(network, image))


def test_the_same_network_gives_the_same_file(tmp_path):
    for name in ("a.tflite", "b.tflite"):
        export_tflite(random_network(tiny_spec()), tmp_path / name, 16, 24)
    assert (tmp_path / "a.tflite").read_bytes() == (tmp_path / "b.tflite").read_bytes()


def test_input_and_output_are_the_uint8_image():
    interpreter = litert.Interpreter(model_content=tflite_model(random_network(tiny_spec()), 16, 24))
    for details in (interpreter.get_input_details(), interpreter.get_output_details()):
        assert [(entry["dtype"], list(entry["shape"])) for entry in details] == [(np.uint8, [1, 16, 24, 3])]


def test_the_signature_names_image_and_restored():
    network = random_network(tiny_spec())
    interpreter = litert.Interpreter(model_content=tflite_model(network, 16, 24))
    image = random_image(16, 24)
    signature = interpreter.get_signature_runner("serving_default")
    np.testing.assert_array_equal(signature(image=image[None])["restored"][0], run(network, image))


def test_the_file_says_what_it_holds():
    network = random_network(tiny_spec())
    model = schema.Model.GetRootAs(tflite_model(network, 16, 24))
    entry = model.Metadata(0)
    said = json.loads(bytes(model.Buffers(entry.Buffer()).DataAsNumpy()))
    assert entry.Name() == b"edgedeblur"
    assert said["network_sha256"] == network_sha256(network)
    assert said["output"] == "restored: uint8 [1, 16, 24, 3] RGB, NHWC"


def test_every_multiplication_is_by_int8_weights_per_channel():
    network = random_network(tiny_spec())
    interpreter = litert.Interpreter(model_content=tflite_model(network, 16, 16))
    weights = [entry for entry in interpreter.get_tensor_details() if entry["name"].endswith(".weight")]
    assert len(weights) == len(network.layers)
    for entry, layer in zip(weights, network.layers, strict=True):
        assert entry["dtype"] == np.int8
        np.testing.assert_array_equal(entry["quantization_parameters"]["scales"], layer.weight_scale)


def test_a_bad_size_is_the_users_error(tmp_path):
    with pytest.raises(UserError, match="multiples of 8"):
        export_tflite(random_network(tiny_spec()), tmp_path / "a.tflite", 16, 12)


def test_without_the_schema_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(tflite, "schema", None)
    with pytest.raises(UserError, match="ai-edge-litert") as raised:
        export_tflite(random_network(tiny_spec()), tmp_path / "a.tflite", 16, 16)
    assert "pip install" in raised.value.fix
