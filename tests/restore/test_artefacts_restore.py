"""Artefacts restore images of any size, here through the library and for other processors through their simulator."""

import dataclasses
import shutil

import numpy as np
import pytest
from artefacts import HEIGHT, WIDTH, compiled, expected, noise
from model_files import photo
from networks import random_network, tiny_spec

from edgedeblur.quantize import interpreter
from edgedeblur.restore import facts as facts_module
from edgedeblur.restore.facts import model_facts
from edgedeblur.restore.open import open_model
from edgedeblur.restore.tiling import restore_any_size

TARGETS = [
    "host",
    pytest.param(
        "android", marks=pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="needs qemu-aarch64")
    ),
]


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_of_its_own_size_gives_the_interpreters_bytes(target):
    restorer = open_model(compiled(target).path)
    assert restorer.kind == "artefact" and restorer.fixed_size == (HEIGHT, WIDTH)
    assert restorer.simulated == (target != "host")
    assert restorer.runs_in.startswith("simulator qemu" if restorer.simulated else "compiled, ")
    np.testing.assert_array_equal(restorer.restore(noise()), expected())


@pytest.mark.parametrize("size", [(1, 1), (40, 200), (130, 96)])
def test_other_sizes_are_tiled_as_the_interpreter_would_be(size):
    network = random_network(tiny_spec())

    def run(tile):
        return interpreter.run(network, tile)

    image = photo(*size)
    tiled = restore_any_size(image, run, network.spec.multiple, (HEIGHT, WIDTH))
    np.testing.assert_array_equal(open_model(compiled("host").path, threads=1).restore(image), tiled)


def test_the_facts_of_an_artefact_hold_the_proof_that_it_is_int8():
    facts = model_facts(compiled("host").path)
    assert {(layer.weight, layer.bias, layer.activation) for layer in facts.layers} == {("int8", "int32", "int8")}
    assert all(layer.input_passes == 1 for layer in facts.layers), "every layer is one pass over memory"
    dots = sum(layer.dot_instructions for layer in facts.layers)
    assert facts.proof[0] == "8 of 8 convolutions have int8 weights and int8 activations in the file"
    assert (
        facts.proof[1].startswith("8 of 8 compiled kernels") and f"{dots:,} are in the machine code" in facts.proof[1]
    )


def test_a_stored_network_that_is_not_int8_is_not_counted_as_one():
    network = random_network(tiny_spec())
    floats = dataclasses.replace(network.layers[2], weight=network.layers[2].weight.astype(np.float32))
    layers = [facts_module._quantised_layer(network, layer, 0) for layer in (*network.layers[:2], floats)]
    assert facts_module._stored_proof(layers) == (
        "2 of 3 convolutions have int8 weights and int8 activations in the file"
    )
