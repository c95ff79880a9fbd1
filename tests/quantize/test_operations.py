"""Layers without weights: integers written out, tables, and all of quantisation."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from literal import literal_layer, literal_operation
from networks import pieces_spec, random_network
from students import drawn_pair
from test_finetune import as_real

from edgedeblur.distill.initial import initialise_from
from edgedeblur.errors import UserError
from edgedeblur.quantize.check import check_network
from edgedeblur.quantize.edq import load_edq, save_edq
from edgedeblur.quantize.finetune import SimulatedNetwork, finetune_network
from edgedeblur.quantize.interpreter import run, run_tensors
from edgedeblur.quantize.network import QuantisedOp, TensorScale, fold_operation
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise
from edgedeblur.quantize.quality import capped_psnr, float_image
from edgedeblur.quantize.simulate import run_simulated
from edgedeblur.student import OpSpec, Student, build_student
from edgedeblur.student.model_file import load_student, save_student
from edgedeblur.student.module import operation_output
from edgedeblur.student.operations import OPERATIONS, PARAMETERS

IMAGES = [drawn_pair(seed)[0] for seed in range(3)]


def test_every_layer_is_its_arithmetic_written_out():
    network = random_network(pieces_spec(), seed=3)
    image = np.random.default_rng(1).integers(0, 256, (12, 8, 3), dtype=np.uint8)
    tensors = run_tensors(network, image)
    for layer in network.layers:
        written_out = literal_operation if isinstance(layer, QuantisedOp) else literal_layer
        np.testing.assert_array_equal(tensors[layer.spec.name], written_out(network, layer, tensors), layer.spec.name)


@pytest.mark.parametrize("op", [name for name, operation in OPERATIONS.items() if operation.combine == "table"])
def test_a_table_holds_torch_s_function_to_half_a_step(op):
    spec = OpSpec("probe", op, ("source",), 1, parameter=0.3 if op in PARAMETERS else None)
    tensors = {"source": TensorScale(0.05, -17), "probe": TensorScale(0.06, -20)}
    table = fold_operation(spec, tensors).table.astype(np.float64)
    x = (torch.arange(-128, 128).double() + 17) * 0.05
    real = operation_output(spec, {"source": x[None, None, None]}).ravel().numpy()
    assert np.abs((table + 20) * 0.06 - np.clip(real, -108 * 0.06, 147 * 0.06)).max() <= 0.03 + 1e-9


@pytest.fixture(scope="module")
def student() -> Student:
    student = build_student(pieces_spec(), seed=1)
    initialise_from(student, torch.from_numpy(np.stack(IMAGES)).permute(0, 3, 1, 2) / 255)
    torch.nn.init.normal_(student.conv("head").weight, std=0.002)
    return student.eval()


def test_int8_restores_as_the_float_student_and_fine_tuning_simulates_it(student):
    made = quantise(student, IMAGES, QuantiseOptions("min-max"))
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
        allowed = 0.02 if steps.numel() > steps.shape[1] else 0.5  # a mean in 1/128 steps, made larger by the next ones
        assert steps.abs().max() < 1.5 and (steps.abs() > 0.5).float().mean() < allowed, layer.name
    tuned, _ = finetune_network(made.student, network, IMAGES, 2)
    check_network(tuned)
    assert capped_psnr(run(tuned, IMAGES[0]), float_image(student, IMAGES[0])) > 36


def test_files_keep_the_layers(student, tmp_path):
    network = random_network(pieces_spec(), seed=4)
    save_edq(network, tmp_path / "pieces.edq")
    loaded = load_edq(tmp_path / "pieces.edq")
    assert loaded.spec == network.spec
    np.testing.assert_array_equal(run(loaded, IMAGES[0]), run(network, IMAGES[0]))
    save_student(tmp_path / "pieces.safetensors", student, {})
    again, _ = load_student(tmp_path / "pieces.safetensors")
    np.testing.assert_array_equal(float_image(again, IMAGES[0]), float_image(student, IMAGES[0]))


@pytest.mark.parametrize(
    "index, change, told",
    [
        (2, {"scales": np.ones(1, np.float32)}, None),  # not read
        (4, {"scales": np.full(1, 0.3, np.float32)}, "scales do not follow"),
        (4, {"scales": np.full(1, math.nan, np.float32)}, "scales do not follow"),
        (1, {"table": np.zeros(255, np.int8)}, "table is int8 \\[255\\]; it must be int8 \\[256\\]"),
        (1, {"table": None}, "table is missing"),
    ],
)
def test_arrays_that_do_not_belong_to_a_layer_are_refused(index, change, told):
    network = random_network(pieces_spec(), seed=4)
    layers = list(network.layers)
    layers[index] = dataclasses.replace(layers[index], **change)
    changed = dataclasses.replace(network, layers=tuple(layers))
    if told is None:
        check_network(changed)
        return
    with pytest.raises(UserError, match=told):
        check_network(changed)
