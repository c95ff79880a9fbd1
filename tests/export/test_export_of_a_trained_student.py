"""Both exports of a student quantised by calibration, on images that calibration has not seen."""

import numpy as np
import pytest
from students import drawn_pair, trained_student

from edgedeblur.export.onnx import onnx_model
from edgedeblur.export.tflite import tflite_model
from edgedeblur.quantize.interpreter import run
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise_student

ort = pytest.importorskip("onnxruntime")
litert = pytest.importorskip("ai_edge_litert.interpreter")

SIZE = 64


def onnx_outputs(network, images: list[np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")  # exact on x86 without VNNI too
    model = onnx_model(network, SIZE, SIZE).SerializeToString()
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [session.run(None, {"image": image[None]})[0][0] for image in images]


def tflite_outputs(network, images: list[np.ndarray]) -> list[np.ndarray]:
    interpreter = litert.Interpreter(model_content=tflite_model(network, SIZE, SIZE), num_threads=1)
    interpreter.allocate_tensors()
    outputs = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return outputs


@pytest.mark.parametrize("steps", [0, 50])
def test_one_step_in_one_of_a_hundred_pixels_is_the_most_that_differs(steps):
    calibration = [drawn_pair(10_100 + seed)[0] for seed in range(8)]
    network = quantise_student(trained_student(), calibration, QuantiseOptions(finetune_steps=steps))
    images = [drawn_pair(10_200 + seed)[0] for seed in range(8)]
    expected = np.stack([run(network, image) for image in images])
    for outputs in (onnx_outputs, tflite_outputs):
        difference = np.abs(np.stack(outputs(network, images)).astype(int) - expected)
        assert difference.max() <= 1, outputs
        assert (difference > 0).mean() < 0.01, outputs
