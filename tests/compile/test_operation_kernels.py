"""Kernels of layers without weights, and artefacts of a network with every kind of layer, against the interpreter."""

import shutil

import numpy as np
import pytest
import tvm
from artefacts import noise
from emulated_kernels import QEMU
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from isas import with_isa
from kernels import avx2_target, has_avx2
from needs import needs_mca
from networks import everything_spec, pieces_spec, random_network

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.build import layer_kernels
from edgedeblur.compile.gpu.graph import gpu_kernels
from edgedeblur.compile.llvm.functions import compile_functions
from edgedeblur.compile.lower import OperationKernel
from edgedeblur.compile.operations.kernel import operation_kernel
from edgedeblur.compile.operations.layer import operation_layer, operation_parameters
from edgedeblur.errors import UserError
from edgedeblur.estimate.candidates import kernel_code
from edgedeblur.estimate.kernel_cost import kernel_costs
from edgedeblur.estimate.machine import target_machine
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.network import QuantisedNetwork, TensorScale, fold_operation
from edgedeblur.restore.facts import machine_code_proof
from edgedeblur.runtime.program import run_program
from edgedeblur.runtime.session import Session
from edgedeblur.student import OpSpec, StudentSpec
from edgedeblur.student.operations import OPERATIONS

runs_here = pytest.mark.skipif(not has_avx2(), reason="runs AVX2 kernels")
SHAPED = [name for name, operation in OPERATIONS.items() if operation.combine != "table"] + ["tanh"]


@runs_here
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    op=st.sampled_from(SHAPED),
    half=st.tuples(st.integers(1, 13), st.integers(1, 17)),
    channels=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    starts=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    zero_points=st.tuples(st.integers(-128, 127), st.integers(-128, 127), st.integers(-128, 127)),
    pixel=st.booleans(),
)
def test_any_shape_gives_the_interpreters_bytes(op, half, channels, starts, zero_points, pixel):
    """The sources stand alone: a network around them would only be compiled."""
    operation, (height, width) = OPERATIONS[op], (2 * half[0], 2 * half[1])
    two, joins = operation.combine in ("add", "multiply"), operation.combine == "concatenate"
    starts = () if joins else starts[: 1 + two]
    given_channels = channels[: 1 + (two or joins)]
    made = sum(channels) if joins else max(1, min(c - s for c, s in zip(given_channels, starts, strict=True)))
    given_channels = [max(c, made + s) for c, s in zip(given_channels, starts or (0, 0), strict=False)] or channels
    given_channels = list(channels) if joins else given_channels
    sources = ("a", "b")[: len(given_channels)]
    spec = OpSpec("out", op, sources, made, starts)
    scales = {name: TensorScale(0.1 / (1 + i), zero_points[i]) for i, name in enumerate(("a", "b", "out"))}
    if operation.keeps_scale:
        scales["out"] = scales["a"]
    sizes = {"a": (height, width), "b": (1, 1) if op == "multiply" and pixel else (height, width)}
    sizes["out"] = spec.output_size(height, width)
    layer = fold_operation(spec, scales)
    random = np.random.default_rng(made)
    tensors = {
        name: random.integers(-128, 128, (*sizes[name], count)).astype(np.int8)
        for name, count in zip(sources, given_channels, strict=True)
    }
    numbers = operation_layer(_Alone(dict(zip(sources, given_channels, strict=True)), scales), layer, sizes)
    kernel = compile_functions(tvm.IRModule({"k": operation_kernel(numbers, "k")}), avx2_target())["k"]
    *inputs, out = operation_parameters(numbers)
    stored = [*tensors.values(), *(() if layer.table is None else (layer.table,))]
    arguments = [tvm.runtime.tensor(array.reshape(p.shape)) for array, p in zip(stored, inputs, strict=True)]
    result = tvm.runtime.tensor(np.zeros(out.shape, "int8"))
    kernel(*arguments, result)
    expected = interpreter.run_operation(layer, tensors, scales, scales["out"])
    np.testing.assert_array_equal(result.numpy().reshape(expected.shape), expected)


class _Alone(QuantisedNetwork):
    """What `operation_layer` asks of a network, for tensors that no layer makes."""

    def __init__(self, channels: dict[str, int], tensors: dict[str, TensorScale]):
        spec = type("Spec", (StudentSpec,), {"channels": lambda self: channels})
        super().__init__(spec("alone", pieces_spec().layers, "mid"), (), tensors)


@pytest.fixture(scope="module")
def network():
    return random_network(everything_spec(), seed=2)


@runs_here
def test_an_artefact_gives_the_interpreters_bytes_and_lists_every_layer(network, tmp_path):
    info = compile_network(network, load_target("host"), 64, 96, tmp_path / "artefact")
    with Session(info, 2) as session:
        for seed in (0, 1):
            np.testing.assert_array_equal(session.run(noise(seed)), interpreter.run(network, noise(seed)))
    done = run_program(info, noise(), runs=1, warmup=0, threads=2)
    assert [layer.name for layer in done.result.layers] == [layer.spec.name for layer in network.layers]
    ops = {layer["name"]: layer["op"] for layer in info.manifest["layers"]}
    assert (ops["gated"], ops["near"], ops["factors"]) == ("multiply", "nearest2", "sigmoid")
    assert ops["a.deep"] == "depthwise3x3+relu4" and ops["stem"] == "space_to_depth2+conv3x3+relu6"
    assert ops["down"] == "conv5x5s2g8+prelu" and ops["b.deep"] == "depthwise5x5d2+prelu"
    assert ops["up0"] == "conv1x1+prelu+depth_to_space2" and ops["b.dilated"] == "conv3x3d2+residual+relu"
    assert info.manifest["int8"]["int8_convolutions"] == len(network.convolutions), info.manifest["int8"]["reasons"]
    assert machine_code_proof("avx2", info.manifest["layers"])[0].startswith("15 of 15 compiled kernels")


@pytest.mark.skipif(shutil.which(QEMU) is None, reason="qemu-user is not installed")
def test_an_arm_artefact_gives_the_interpreters_bytes(network, tmp_path):
    """Of one set of kernels: those without weights are the same in all, the others are in test_emulated_kernels.py."""
    target = with_isa(load_target("android-arm64"), "sdot")
    info = compile_network(network, target, 64, 96, tmp_path / "artefact")
    done = run_program(info, noise(), runs=1, warmup=0, threads=3, runner=(QEMU, "-cpu", "cortex-a76"))
    np.testing.assert_array_equal(done.output, interpreter.run(network, noise()))


def test_gpu_kernels_refuse_layers_that_they_do_not_have(network):
    with pytest.raises(UserError, match="no GPU kernels"):
        gpu_kernels(network, 64, 64)


@needs_mca
def test_every_layer_has_an_estimate_and_passes_grow_with_the_image(network):
    target = with_isa(load_target("android"), "sdot")
    machine, times = target_machine(target, 2), []
    for side in (64, 128):
        kernels = layer_kernels(network, side, side, target, {})
        chosen = kernels if side == 64 else [kernel for kernel in kernels if isinstance(kernel, OperationKernel)]
        costs = kernel_costs(chosen, kernel_code(chosen, target), machine, 10**7)
        assert all(cost.ms > 0 and (cost.macs == 0 or cost.inner_loop.mac_per_cycle > 0) for cost in costs)
        times.append(sum(cost.ms for cost in costs if cost.macs == 0))
    assert times[1] > 1.5 * times[0]
