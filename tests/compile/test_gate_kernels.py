"""Kernels of gates, and whole networks with gates, against the interpreter: here, and on ARM cores in qemu."""

import dataclasses
import shutil

import numpy as np
import pytest
import tvm
from artefacts import compiled_gated, gated_network
from artefacts import noise as image_of_artefact
from emulated_kernels import QEMU
from isas import with_isa
from kernels import avx2_target, has_avx2, sdot_target, vnni_target
from needs import needs_mca
from networks import gated_spec, random_network
from planned import run_plan

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.build import build_plan, layer_kernels
from edgedeblur.compile.kernels import instruction_set
from edgedeblur.compile.kernels.gate import Gate, gate_kernel, gate_parameters
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.llvm.functions import compile_functions
from edgedeblur.compile.lower import calls_in_order, constant_names, lower, plan_memory
from edgedeblur.compile.memory import read_memory_plan
from edgedeblur.compile.pack import pack_gate
from edgedeblur.estimate.candidates import kernel_code
from edgedeblur.estimate.kernel_cost import kernel_costs
from edgedeblur.estimate.machine import target_machine
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.network import QuantisedGate
from edgedeblur.runtime.program import run_program
from edgedeblur.runtime.session import Session
from edgedeblur.student import student_spec
from edgedeblur.tune.trial import layer_on_trial

runs_here = pytest.mark.skipif(not has_avx2(), reason="runs AVX2 kernels")
needs_qemu = pytest.mark.skipif(shutil.which(QEMU) is None, reason="qemu-user is not installed")
SHAPES = [
    (64, 64, 16),  # four pixels in a vector, many parts
    (3, 8, 64),
    (2, 1100, 64),  # more vectors in a row than int16 can add up
    (7, 5, 21),  # neither channels nor a row divide by anything
    (5, 6, 96),
    (40, 24, 160),
    (17, 33, 8),
]


def gate_of(random: np.random.Generator, channels: int) -> QuantisedGate:
    weight = random.integers(-127, 128, (19, channels)).astype(np.int8)
    bias = random.integers(-(10**6), 10**6, 19).astype(np.int32)
    return QuantisedGate(weight, bias, random.uniform(1e-4, 1e-3, 19).astype(np.float32))


@runs_here
@pytest.mark.parametrize("shape", SHAPES)
def test_scales_are_the_interpreters_for_any_shape_and_the_largest_sums(shape):
    random = np.random.default_rng(sum(shape))
    quantised, gate = gate_of(random, shape[2]), Gate(shape, -128, 19, 24)
    module = tvm.IRModule({"gate": gate_kernel(gate, "gate")})
    kernel = compile_functions(module, avx2_target())["gate"]
    scale = np.pad(random.uniform(1e-4, 1e-2, 19), (0, 5)).astype(np.float32)
    packed = pack_gate(quantised)
    for source in (random.integers(-128, 128, shape), np.full(shape, -128), np.full(shape, 127)):
        source = source.astype(np.int8)
        arrays = {"source": source, "scale": scale, "out": np.empty(24, np.float32)} | packed
        tensors = [
            tvm.runtime.tensor(np.ascontiguousarray(arrays[p.name]).reshape(p.shape)) for p in gate_parameters(gate)
        ]
        kernel(*tensors)
        expected = scale[:19] * interpreter.gate_factors(quantised, source, -128)
        np.testing.assert_array_equal(tensors[-1].numpy(), np.pad(expected, (0, 5)))


@runs_here
def test_a_network_with_gates_gives_the_interpreters_bytes(tmp_path):
    network = random_network(gated_spec(), seed=6)
    image = np.random.default_rng(0).integers(0, 256, (40, 72, 3)).astype(np.uint8)
    got = run_plan(build_plan(network, 40, 72, avx2_target()), image, tmp_path)
    np.testing.assert_array_equal(got, interpreter.run(network, image))


@pytest.mark.parametrize("target", [avx2_target, vnni_target, sdot_target])
def test_a_gate_runs_as_soon_as_its_tensor_is_there_and_leaves_the_layers_kernels_as_they_are(target):
    network, plain = (random_network(student_spec("nano", gates=gates)) for gates in (True, False))
    kernels, ungated = (layer_kernels(each, 64, 64, target(), {}) for each in (network, plain))
    module, plain_module = lower(kernels), lower(ungated)
    for kernel in kernels:
        tvm.ir.assert_structural_equal(module[kernel.symbol], plain_module[kernel.symbol])
    plans = [
        read_memory_plan(plan_memory(lowered), [0] * len(constant_names(each)))
        for lowered, each in ((module, kernels), (plain_module, ungated))
    ]
    order = [call.symbol for call in plans[0].calls]
    gated = [kernel for kernel in kernels if kernel.gate is not None]
    assert len(gated) == len([layer for layer in network.spec.layers if layer.gate]) == 3
    layers = [(kernel.layer.name, gate is None) for kernel, gate in calls_in_order(kernels)]
    for kernel in gated:
        at, own = order.index(kernel.gate.symbol), layers.index((kernel.layer.name, True))
        assert layers[at - 1] == (kernel.gate.source, True) and at < own and order[own] == kernel.symbol
        assert plans[0].calls[own].operands[3] == plans[0].calls[at].operands[-1]
    assert plans[0].arena_bytes <= plans[1].arena_bytes + 4096


@needs_mca
def test_the_estimate_counts_the_tensor_that_is_read_once_more():
    """1 MiB by two cores, each at 16 bytes a cycle or as the third-level cache delivers; the layer itself stays."""
    target = with_isa(load_target("android"), "sdot")
    network = random_network(student_spec("small", gates=True))
    (kernel,) = (k for k in layer_kernels(network, 512, 512, target, {}) if k.layer.name == "enc1.0.a")
    both, machine = [kernel, dataclasses.replace(kernel, gate=None)], target_machine(target, 2)
    gated, plain = kernel_costs(both, kernel_code(both[:1], target) * 2, machine, 10**7)
    bytes_per_ns = min(16 * sum(machine.clocks_ghz) / 2, machine.bytes_per_ns(256 * 256 * 16))
    least = 256 * 256 * 16 / bytes_per_ns / 2 * 1e-6
    assert least <= gated.ms - plain.ms < 1.2 * least
    assert gated.cycles.total == pytest.approx(gated.ms * 1e6 * sum(machine.clocks_ghz), rel=1e-6)


@runs_here
def test_a_gated_layer_on_trial_is_its_kernel_with_every_factor_one(network):
    target, conv = avx2_target(), network.layers[4]
    trial = layer_on_trial(network, conv, conv_layers(network, 64, 96)[4], instruction_set("avx2"), 0)
    source = np.frombuffer(trial.source, np.int8).reshape(trial.layer.source)
    ungated = dataclasses.replace(conv, gate=None)
    expected = interpreter.run_layer(network, ungated, {conv.spec.source: source})
    assert expected.tobytes() == trial.expected and target.isa == trial.isa.name


@pytest.fixture(scope="module")
def network():
    return gated_network()


@runs_here
def test_an_artefact_s_threads_wait_for_each_others_sums(network):
    """Several images by one instance, since scales of the image before must not be used."""
    info = compiled_gated()
    ops = {layer["name"]: layer["op"] for layer in info.manifest["layers"]}
    assert ops["enc1.0.a"] == "conv3x3+relu+gate" and ops["enc1.0.b"] == "conv3x3+residual"
    images = [image_of_artefact(), image_of_artefact() // 8]
    expected = [interpreter.run(network, image) for image in images]
    for threads in (1, 3):
        with Session(info, threads) as session:
            for image, restored in [*zip(images, expected, strict=True)] * 2:
                np.testing.assert_array_equal(session.run(image), restored)
    done = run_program(info, images[0], runs=1, warmup=0, threads=2)
    assert [layer.name for layer in done.result.layers] == [layer.name for layer in network.spec.layers]


@needs_qemu
def test_every_set_of_arm_kernels_gives_the_interpreters_bytes_with_gates(network, tmp_path):
    info = compile_network(network, load_target("android-arm64"), 64, 96, tmp_path / "artefact")
    expected = interpreter.run(network, image_of_artefact())
    for core, isa in (("max", "i8mm"), ("cortex-a76", "sdot"), ("cortex-a53", "neon")):
        done = run_program(info, image_of_artefact(), runs=1, warmup=0, threads=3, runner=(QEMU, "-cpu", core))
        assert done.result.isa == isa
        np.testing.assert_array_equal(done.output, expected)
