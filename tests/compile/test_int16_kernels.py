"""Layers with int16 activations: on every instruction set, in artefacts and in qemu, against the interpreter."""

import dataclasses
import shutil

import numpy as np
import pytest
from emulated_kernels import CORES, QEMU, X86, Trial, run_trials, where_it_runs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from isas import with_isa
from kernels import avx2_target, has_avx2, one_layer_between, run_kernel, with_portable_dot
from networks import random_network
from planned import run_plan

from edgedeblur.artefact.cpu import runs_here
from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.build import build_plan
from edgedeblur.compile.gpu.graph import gpu_kernels
from edgedeblur.compile.kernels import INSTRUCTION_SETS
from edgedeblur.compile.kernels.layer import conv_layers, layer_isa
from edgedeblur.compile.schedules.default import default_schedule
from edgedeblur.compile.schedules.schedule import Schedule, register_tiles, row_columns
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.cost.int16 import with_int16
from edgedeblur.restore.facts import machine_code_proof
from edgedeblur.runtime.program import run_program
from edgedeblur.student import IMAGE, ConvSpec, StudentSpec

# Of the AArch64 ones only the schedules; their instructions are executed in qemu.
HERE = ("avx2", "vnni", "avxvnni", "sdot")
WIDENED = (("source",), ("probe",), ("source", "probe"))


@st.composite
def layers(draw) -> tuple[ConvSpec, tuple[int, int], tuple[str, ...], int]:
    """A layer of any kind, the size of its input, which tensors have int16 values, and a seed."""
    kernel, stride, fold = draw(st.sampled_from([(3, 1, 1), (3, 1, 1), (3, 2, 1), (1, 1, 2), (5, 1, 1)]))
    inputs, outputs = draw(st.integers(1, 40)), draw(st.integers(1, 20)) * fold**2
    kind = draw(
        st.sampled_from(["", "relu", "limit", "prelu", "dilated", "grouped", "depthwise", "depthwise", "folded"])
    )
    groups = {"grouped": 3, "depthwise": inputs}.get(kind, 1) if kernel > 1 else 1
    inputs, outputs = (inputs, inputs) if kind == "depthwise" else (inputs * groups, outputs * groups)
    residual = "source" if stride == fold == 1 and inputs == outputs and kind != "prelu" else None
    size = stride * draw(st.integers(1, 6)), stride * draw(st.integers(1, 17))
    read_fold = 2 if kind == "folded" and stride == 1 else 1
    if read_fold == 2:
        inputs, residual, size = 4 * inputs, None, (2 * size[0], 2 * size[1])
    spec = ConvSpec("probe", "source", inputs, outputs, kernel, stride, read_fold, fold, residual, groups=groups)
    relu, limit = kind in ("relu", "limit"), draw(st.floats(0.3, 4.0)) if kind == "limit" else None
    dilation = 2 if kind == "dilated" else 1
    spec = dataclasses.replace(spec, relu=relu, limit=limit, prelu=kind == "prelu", dilation=dilation)
    return spec, size, draw(st.sampled_from(WIDENED)), draw(st.integers(0, 10_000))


def trial(case, isa) -> Trial:
    """The layer with random numbers over all of its tensors' ranges, under one of the schedules that fit it."""
    spec, size, widened, seed = case
    network = random_network(one_layer_between(spec.in_channels // spec.space_to_depth**2, spec), seed)
    for name in widened:
        network = with_int16(network, name)
    layer, read = conv_layers(network, *size)[1], network.tensors["source"]
    kernels = layer_isa(layer, isa)
    source = np.random.default_rng(seed).integers(read.lowest, read.highest + 1, layer.source)
    schedule = default_schedule(layer, kernels, 2)
    if seed % 2:
        method = "depthwise" if layer.depthwise else "direct"
        tiles = list(register_tiles(layer, kernels, row_columns(layer, kernels.products(method))))
        parallel = ("rows", "channels")[seed // 2 % 2]
        schedule = Schedule(1 + seed % size[0], *tiles[seed % len(tiles)], 1, method, parallel)
    return Trial(network, 1, layer, schedule, {"source": source.astype(np.int16 if read.int16 else np.int8)})


def expected(one: Trial) -> np.ndarray:
    return interpreter.run_layer(one.network, one.network.layers[one.index], one.tensors)


@pytest.mark.skipif(not has_avx2(), reason="the kernels of this test run on AVX2")
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(HERE), case=layers())
def test_any_layer_that_reads_or_writes_int16_gives_the_interpreters_bytes(name, case):
    isa = INSTRUCTION_SETS[name]
    isa = isa if runs_here(name) else with_portable_dot(isa)
    one = trial(case, isa)
    own = layer_isa(one.layer, isa)
    got = run_kernel(one.network, 1, one.layer, one.schedule, own, one.tensors)
    np.testing.assert_array_equal(got, expected(one), err_msg=f"{one.layer} {one.schedule}")


@pytest.mark.parametrize("isa", [where_it_runs(name) for name in (*CORES, *X86) if name != "sdot"])
def test_kernels_of_int16_layers_give_the_interpreters_bytes_in_an_emulator(isa):
    cases = []

    @settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(case=layers())
    def collect(case):
        cases.append(case)

    collect()
    trials = [trial(case, INSTRUCTION_SETS[isa]) for case in cases] + [largest_sums(INSTRUCTION_SETS[isa])]
    for one, got in zip(trials, run_trials(isa, trials), strict=True):
        np.testing.assert_array_equal(got, expected(one), err_msg=f"{one.layer} {one.schedule}")


def largest_sums(isa) -> Trial:
    """Every activation and every weight at the end of its range."""
    network = random_network(one_layer_between(64, ConvSpec("probe", "source", 64, 8)), seed=1)
    worst = dataclasses.replace(network.layers[1], weight=np.full((8, 3, 3, 64), -127, np.int8))
    worst = dataclasses.replace(worst, scale=worst.scale / 100, weight_scale=worst.weight_scale / 100)
    network = dataclasses.replace(network, layers=(network.layers[0], worst, network.layers[2]))
    network = with_int16(with_int16(network, "source"), "probe")
    layer = conv_layers(network, 4, 10)[1]
    source = np.full((4, 10, 64), network.tensors["source"].highest, np.int16)
    assert network.tensors["source"].bits == 15  # 16 would reach 2.4e9
    return Trial(network, 1, layer, default_schedule(layer, layer_isa(layer, isa), 2), {"source": source})


@pytest.mark.skipif(not has_avx2(), reason="the kernels of this test run on AVX2")
def test_the_largest_sums_are_exact():
    isa = INSTRUCTION_SETS["avx2"]
    one = largest_sums(isa)
    got = run_kernel(one.network, 1, one.layer, one.schedule, layer_isa(one.layer, isa), one.tensors)
    assert np.abs(interpreter.convolve(one.tensors["source"], one.network.layers[1], 1 << 15)).max() > 2**30
    np.testing.assert_array_equal(got, expected(one))


def some_int16():
    """A block whose layers read and write int16 values in every combination but int8 alone."""
    layers = (
        ConvSpec("stem", IMAGE, 12, 8, space_to_depth=2),
        ConvSpec("a", "stem", 8, 8, relu=True),
        ConvSpec("b", "a", 8, 8, residual="stem"),
        ConvSpec("head", "b", 8, 12, depth_to_space=2, residual=IMAGE),
    )
    network = random_network(StudentSpec("block", layers, "b", multiple=2), seed=4)
    return with_int16(with_int16(network, "stem"), "b")


@pytest.mark.skipif(shutil.which(QEMU) is None, reason="qemu-user is not installed")
def test_an_arm_artefact_gives_the_interpreters_bytes_and_says_which_layers_are_not_int8(tmp_path):
    network, image = some_int16(), np.random.default_rng(4).integers(0, 256, (24, 40, 3), np.uint8)
    info = compile_network(network, with_isa(load_target("android-arm64"), "sdot"), 24, 40, tmp_path / "artefact")
    done = run_program(info, image, runs=1, warmup=0, threads=2, runner=(QEMU, "-cpu", "cortex-a76"))
    np.testing.assert_array_equal(done.output, interpreter.run(network, image))
    proof = info.manifest["int8"]
    assert (proof["convolutions"], proof["int8_convolutions"]) == (4, 0)
    assert "b: int16 activations, as the network has them: its residual and out" in proof["reasons"]
    said = machine_code_proof("sdot", info.manifest["layers"])
    assert said[0].startswith("4 of 4 compiled kernels multiply with integer")
    assert said[1].startswith("4 of them read or write int16 activations: stem, a, b")
    assert info.manifest["tensors"]["stem"]["bits"] == 16 and "bits" not in info.manifest["tensors"]["image"]


@pytest.mark.skipif(not has_avx2(), reason="the kernels of this test run on AVX2")
def test_a_plan_for_this_machine_gives_the_interpreters_bytes(tmp_path):
    network, image = some_int16(), np.random.default_rng(5).integers(0, 256, (24, 40, 3), np.uint8)
    got = run_plan(build_plan(network, 24, 40, avx2_target()), image, tmp_path)
    np.testing.assert_array_equal(got, interpreter.run(network, image))


def test_gpu_kernels_refuse_int16_activations_and_name_the_layer():
    with pytest.raises(UserError, match="layer stem has int16 activations; GPU kernels") as refused:
        gpu_kernels(some_int16(), 24, 40)
    assert refused.value.exit_code == 2 and "quantise without int16 activations" in refused.value.fix
