"""Tensors of int16 values: their arithmetic, their scales, files, exports, and the search that gives them to layers."""

import dataclasses
import json
import zipfile

import numpy as np
import pytest
from networks import gated_spec, in_winograd_form, pieces_spec, random_network, tiny_spec
from students import drawn_pair, trained_student

from edgedeblur.errors import UserError
from edgedeblur.export.onnx import onnx_model
from edgedeblur.export.tflite import schema, tflite_model
from edgedeblur.metrics import psnr
from edgedeblur.quantize.check import check_network
from edgedeblur.quantize.cost.int16 import widen_until, with_int16
from edgedeblur.quantize.edq import load_edq, save_edq
from edgedeblur.quantize.interpreter import run, run_tensors
from edgedeblur.quantize.network import TensorScale
from edgedeblur.quantize.pipeline import QuantiseOptions, quantise
from edgedeblur.quantize.quality import float_image
from edgedeblur.quantize.simulate import exact_in_torch, run_simulated

NETWORK = random_network(tiny_spec(), seed=4)
NAMES = tuple(layer.name for layer in NETWORK.spec.layers[:-1])
IMAGE = np.random.default_rng(4).integers(0, 256, (16, 24, 3), np.uint8)


def widened(network, *names):
    for name in names:
        network = with_int16(network, name)
    return network


def test_a_value_is_what_the_formula_says():
    """One pixel of a layer that reads, adds and writes int16, in Python's integers."""
    network = widened(NETWORK, *NAMES)
    image = np.random.default_rng(6).integers(0, 256, (32, 40, 3), np.uint8)
    tensors, layer = run_tensors(network, image), network.layers[5]
    assert layer.spec.name == "enc1.0.b" and layer.spec.residual == "down1" and tensors["enc1.0.a"].dtype == np.int16
    source, weight = tensors["enc1.0.a"].astype(object), layer.weight.astype(object)
    for channel in range(16):
        total = int(layer.bias[channel]) + int((source[0:3, 1:4] * weight[channel]).sum())  # around pixel (1, 2)
        made = int(np.rint(np.float32(total) * layer.scale[channel]))
        made += int(np.rint(np.float32(tensors["down1"][1, 2, channel]) * layer.residual_scale))
        highest = 2 ** (network.tensors["enc1.0.b"].bits - 1) - 1
        assert tensors["enc1.0.b"][1, 2, channel] == min(max(made, -highest), highest)


def test_finer_scales_keep_every_real_value_and_torch_gives_the_same_bytes(tmp_path):
    network = widened(NETWORK, *NAMES)
    check_network(network)
    for name in NAMES:
        finer = NETWORK.tensors[name].scale / network.tensors[name].scale
        assert finer in (128, 256) and network.tensors[name].zero_point == 0
    before, after = (
        {layer.spec.name: layer.scale * np.float32(one.tensors[layer.spec.name].scale) for layer in one.layers}
        for one in (NETWORK, network)
    )
    read = {name: NETWORK.tensors[name].scale / scale.scale for name, scale in network.tensors.items()}
    for layer in NETWORK.layers:
        name, source = layer.spec.name, layer.spec.source
        np.testing.assert_allclose(after[name] * read[source], before[name], rtol=1e-6)
    assert exact_in_torch(network)
    np.testing.assert_array_equal(run_simulated(network, IMAGE), run(network, IMAGE))
    save_edq(network, tmp_path / "wide.edq")
    assert load_edq(tmp_path / "wide.edq").tensors == network.tensors
    np.testing.assert_array_equal(run(load_edq(tmp_path / "wide.edq"), IMAGE), run(network, IMAGE))


def test_files_without_int16_say_nothing_of_bits(tmp_path):
    save_edq(NETWORK, tmp_path / "plain.edq")
    with zipfile.ZipFile(tmp_path / "plain.edq") as archive:
        tensors = json.loads(archive.read("network.json"))["tensors"]
    assert all(set(tensor) == {"scale", "zero_point"} for tensor in tensors.values())


@pytest.mark.parametrize("bits", [7, 17, 1 << 40])
def test_other_numbers_of_bits_are_refused(bits):
    tensors = NETWORK.tensors | {"stem": TensorScale(NETWORK.tensors["stem"].scale, 0, bits)}
    with pytest.raises(UserError, match=f"{bits} bits; allowed are 8 to 16"):
        check_network(dataclasses.replace(NETWORK, tensors=tensors))


def test_bits_are_as_many_as_the_sums_of_each_reader_have_room_for():
    first, reader, *rest = NETWORK.layers
    for size, bits in ((127, 16), (0, 16)):
        weight = np.full_like(reader.weight, size)
        network = dataclasses.replace(NETWORK, layers=(first, dataclasses.replace(reader, weight=weight), *rest))
        assert with_int16(network, "stem").tensors["stem"].bits == bits  # 127 * 72 * 2^15 fits
    heavy = dataclasses.replace(reader, bias=np.full_like(reader.bias, 1 << 25))
    network = dataclasses.replace(NETWORK, layers=(first, heavy, *rest))
    found = with_int16(network, "stem").tensors["stem"]
    finer = round(NETWORK.tensors["stem"].scale / found.scale)
    products = np.abs(reader.weight.astype(int)).sum(axis=(1, 2, 3)).max()
    assert (1 << 25) * finer + products * found.highest < 2**31 <= (1 << 25) * finer * 2 + products * found.highest * 2


def test_what_cannot_be_int16_is_said_with_the_reason():
    gated, pieces = random_network(gated_spec()), random_network(pieces_spec())
    for network, name, reason in (
        (NETWORK, "head", "is the restored image"),
        (gated, "enc0.0.a", "the gate of layer enc1.0.a takes its means"),
        (pieces, "mid", "without weights .multiply. takes int8 only"),
        (in_winograd_form(NETWORK), "enc0.0.a", "reads it in Winograd form"),
        (widened(NETWORK, "stem"), "stem", "already"),
    ):
        with pytest.raises(UserError, match=reason):
            with_int16(network, name)


def test_exports_refuse_by_name_and_float_onnx_takes_it():
    network = widened(NETWORK, "stem")
    for form in ("qdq", "qlinear", "integer"):
        with pytest.raises(UserError, match="layer stem has int16 activations") as refused:
            onnx_model(network, 16, 24, form)
        assert refused.value.exit_code == 2 and "quantise without int16 activations" in refused.value.fix
    assert onnx_model(network, 16, 24, "float").graph.node
    if schema is not None:
        with pytest.raises(UserError, match="layer stem has int16 activations: TFLite") as refused:
            tflite_model(network, 16, 24)
        assert refused.value.exit_code == 2 and "quantise without int16 activations" in refused.value.fix


def test_layers_take_int16_one_after_the_other_until_no_more_is_lost():
    student, pairs = trained_student(), [drawn_pair(10_300)]
    made = quantise(student, [drawn_pair(10_400 + seed)[0] for seed in range(2)], QuantiseOptions("min-max"))
    blurred, sharp = zip(*pairs, strict=True)

    def lost(network):
        return float(np.mean([psnr(float_image(student, b), s) - psnr(run(network, b), s) for b, s in pairs]))

    whole = widen_until(student, made, (blurred, sharp), -1.0)
    assert whole.layers and set(whole.layers).isdisjoint(whole.refused)
    assert whole.quantised.network.recipe["int16_activations"] == list(whole.layers)
    found = whole.quality.float_db - whole.quality.int8_db
    assert found == pytest.approx(lost(whole.quantised.network), abs=1e-9) and found < lost(made.network)
    first = lost(with_int16(made.network, whole.layers[0]))
    assert widen_until(student, made, (blurred, sharp), first + 1e-9).layers == whole.layers[:1]
