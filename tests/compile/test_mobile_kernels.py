"""Whole artefacts of a network with depthwise, grouped and dilated layers, ReLU6 and PReLU: here, and on ARM cores."""

import shutil

import numpy as np
import pytest
from arm_kernels import QEMU
from artefacts import noise
from isas import with_isa
from kernels import has_avx2
from needs import needs_mca
from networks import mobile_spec, random_network

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.build import layer_kernels
from edgedeblur.estimate.candidates import kernel_code
from edgedeblur.estimate.kernel_cost import kernel_costs
from edgedeblur.estimate.machine import target_machine
from edgedeblur.quantize import interpreter
from edgedeblur.runtime.program import run_program
from edgedeblur.runtime.session import Session


@pytest.fixture(scope="module")
def network():
    return random_network(mobile_spec(), seed=2)


@pytest.mark.skipif(not has_avx2(), reason="runs AVX2 kernels")
def test_an_artefact_gives_the_interpreters_bytes_and_proves_that_it_is_int8(network, tmp_path):
    info = compile_network(network, load_target("host"), 64, 96, tmp_path / "artefact")
    with Session(info, 2) as session:
        np.testing.assert_array_equal(session.run(noise()), interpreter.run(network, noise()))
    ops = {layer["name"]: layer["op"] for layer in info.manifest["layers"]}
    assert ops["stem"] == "space_to_depth2+conv3x3+relu6" and ops["a.deep"] == "depthwise3x3+relu4"
    assert ops["down"] == "conv5x5s2g8+prelu" and ops["b.deep"] == "depthwise5x5d2+prelu"
    assert ops["up0"] == "conv1x1+prelu+depth_to_space2" and ops["b.dilated"] == "conv3x3d2+residual+relu"
    assert info.manifest["int8"]["int8_convolutions"] == len(network.layers), info.manifest["int8"]["reasons"]


@pytest.mark.skipif(shutil.which(QEMU) is None, reason="qemu-user is not installed")
def test_every_set_of_arm_kernels_gives_the_interpreters_bytes(network, tmp_path):
    info = compile_network(network, load_target("android-arm64"), 64, 96, tmp_path / "artefact")
    proofs = [info.manifest["int8"], *(entry["int8"] for entry in info.manifest["fallbacks"])]
    assert {proof["int8_convolutions"] for proof in proofs} == {len(network.layers)}, proofs
    for core, isa in (("max", "i8mm"), ("cortex-a76", "sdot"), ("cortex-a53", "neon")):
        done = run_program(info, noise(), runs=1, warmup=0, threads=3, runner=(QEMU, "-cpu", core))
        assert done.result.isa == isa
        np.testing.assert_array_equal(done.output, interpreter.run(network, noise()))


@needs_mca
def test_every_kernel_has_an_estimate(network):
    target = with_isa(load_target("android"), "sdot")
    kernels = layer_kernels(network, 64, 96, target, {})
    costs = kernel_costs(kernels, kernel_code(kernels, target), target_machine(target, 2), 10**7)
    assert all(cost.ms > 0 and cost.inner_loop.mac_per_cycle > 0 for cost in costs)
