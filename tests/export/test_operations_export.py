"""Layers without weights in ONNX Runtime and LiteRT."""

import dataclasses

import numpy as np
import onnxruntime as ort
import pytest
import torch
from networks import pieces_spec, random_network
from onnx import TensorProto, helper, numpy_helper
from test_onnx_export import assert_one_step_at_most, random_image, run_onnx
from test_tflite_export import run_tflite

from edgedeblur.export.onnx import onnx_model
from edgedeblur.export.onnx_graph import Graph
from edgedeblur.export.onnx_operations import float_operation
from edgedeblur.export.tflite import tflite_model
from edgedeblur.quantize.interpreter import run
from edgedeblur.quantize.network import QuantisedOp
from edgedeblur.student import OpSpec
from edgedeblur.student.module import operation_output
from edgedeblur.student.operations import OPERATIONS, PARAMETERS


@pytest.fixture(scope="module")
def network():
    return random_network(pieces_spec(), seed=5)


def test_the_integer_form_gives_the_interpreters_bytes(network):
    found = run_onnx(onnx_model(network, 24, 40, "integer"), random_image(24, 40))
    np.testing.assert_array_equal(found, run(network, random_image(24, 40)))


@pytest.mark.parametrize("form", ["qdq", "qlinear"])
def test_the_other_forms_give_the_interpreters_bytes_but_for_rare_ties(network, form):
    found = run_onnx(onnx_model(network, 24, 40, form), random_image(24, 40))
    assert_one_step_at_most(found, run(network, random_image(24, 40)), 5e-3)


def test_litert_gives_the_interpreters_bytes_but_for_rare_ties(network):
    found = run_tflite(tflite_model(network, 24, 40), random_image(24, 40))
    assert_one_step_at_most(found, run(network, random_image(24, 40)), 0.1)


@pytest.mark.parametrize("op", OPERATIONS)
def test_the_float_form_of_every_row_is_torchs(op, network):
    two = OPERATIONS[op].combine in ("add", "multiply", "concatenate")
    sources, made = ("a", "b")[: 1 + two], 10 if op == "concatenate" else 3 if op == "part" else 5
    parameter = 0.3 if op in PARAMETERS else None
    spec = OpSpec("out", op, sources, made, (2,) if op == "part" else (), parameter)
    alone = dataclasses.replace(network, spec=_Alone("alone", network.spec.layers, "mid"))
    graph = Graph({"a": (6, 8), "b": (6, 8)})
    output = float_operation(graph, alone, QuantisedOp(spec), {name: name for name in sources})
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 5, 6, 8]) for name in sources]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    constants = [numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    made_graph = helper.make_graph(graph.nodes, "float", inputs, outputs, constants)
    model = helper.make_model(made_graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    random = np.random.default_rng(0)
    values = {name: random.normal(0, 3, (1, 5, 6, 8)).astype(np.float32) for name in sources}
    (found,) = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, values)
    expected = operation_output(spec, {name: torch.from_numpy(value) for name, value in values.items()}).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5)


class _Alone(type(pieces_spec())):
    def channels(self):
        return {"a": 5, "b": 5}
