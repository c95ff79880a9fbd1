"""Kernels of other processors, executed in emulators, against the interpreter: AArch64's, and x86's newer ones."""

import dataclasses
import itertools

import numpy as np
import pytest
from emulated_kernels import CORES, X86, Trial, command_prefix, run_trials, where_it_runs
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kernels import one_layer_between
from networks import in_winograd_form, random_network, tiny_spec

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.kernels import INSTRUCTION_SETS
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.pack import pack_constants
from edgedeblur.compile.schedules.default import default_schedule
from edgedeblur.compile.schedules.schedule import (
    Schedule,
    register_tiles,
    takes_rows,
    takes_winograd,
    tile_columns,
    unrolls,
)
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.network import TensorScale, may_take_winograd_form
from edgedeblur.runtime.program import run_program
from edgedeblur.student import TIERS, ConvSpec, student_spec

every_isa = pytest.mark.parametrize("isa", [where_it_runs(isa) for isa in (*CORES, *X86)])
TRIALS = 10  # layers in one program


def check(isa: str, trials: list[Trial]) -> None:
    for trial, got in zip(trials, run_trials(isa, trials), strict=True):
        conv = trial.network.layers[trial.index]
        expected = interpreter.run_layer(trial.network, conv, trial.tensors)
        np.testing.assert_array_equal(got, expected, err_msg=f"{trial.layer} {trial.schedule}")


@st.composite
def layers(draw) -> tuple[ConvSpec, tuple[int, int], int]:
    """A layer of any kind, the size of its input, and the input's zero point."""
    kernel, stride, fold = draw(st.sampled_from([(3, 1, 1), (3, 1, 1), (3, 2, 1), (1, 1, 1), (1, 1, 2), (5, 1, 1)]))
    inputs, outputs = draw(st.integers(1, 50)), draw(st.integers(1, 34)) * fold**2
    residual = "source" if stride == fold == 1 and draw(st.booleans()) else None
    outputs = inputs if residual else outputs
    size = 2 * draw(st.integers(1, 6)), 2 * draw(st.integers(1, 16))
    if stride == 1 and draw(st.booleans()):
        size = size[0] - 1, size[1] - 1
    spec = ConvSpec("probe", "source", inputs, outputs, kernel, stride, 1, fold, residual, draw(st.booleans()))
    return draw(varied(spec)), size, draw(st.integers(-128, 127))


@st.composite
def varied(draw, spec: ConvSpec) -> ConvSpec:
    """The layer, or one with another activation, a dilation, or as many groups as channels."""
    kind = draw(st.sampled_from(["plain", "plain", "limit", "prelu", "dilated", "depthwise", "depthwise"]))
    if kind == "limit":
        return dataclasses.replace(spec, relu=True, limit=2.5)
    if kind == "prelu":
        return dataclasses.replace(spec, relu=False, residual=None, prelu=True)
    if kind == "dilated":
        return dataclasses.replace(spec, dilation=2)
    if kind == "depthwise" and spec.in_channels > 1 and spec.kernel > 1:
        return dataclasses.replace(spec, out_channels=spec.in_channels, groups=spec.in_channels)
    return spec


def any_trial(isa: str, case, chosen: int) -> Trial:
    """The layer with random numbers, under one of all the schedules that fit it."""
    spec, size, zero_point = case
    winograd = may_take_winograd_form(spec) and chosen % 3 > 0
    if winograd and spec.residual is None:  # of which rows takes whole loads of channels
        spec = dataclasses.replace(spec, in_channels=-(-spec.in_channels // 16) * 16)
    network = random_network(one_layer_between(spec.in_channels, spec), seed=chosen)
    tensors = network.tensors | {"source": TensorScale(network.tensors["source"].scale, zero_point)}
    network = dataclasses.replace(network, tensors=tensors)
    network = in_winograd_form(network, ["probe"]) if winograd else network
    layer, kernels = conv_layers(network, *size)[1], INSTRUCTION_SETS[isa]
    method = "depthwise" if layer.depthwise else "rows" if takes_rows(layer, kernels) else "direct"
    tiles = list(register_tiles(layer, kernels, tile_columns(layer, kernels, method, 1)))
    unroll = unrolls(layer, kernels, method)
    width, vectors = tiles[chosen % len(tiles)]
    parallel = ("rows", "channels")[chosen % 2]
    schedule = Schedule(1 + chosen % size[0], width, vectors, unroll[chosen % len(unroll[:3])], method, parallel)
    if chosen % 2 and takes_winograd(layer, kernels):
        schedule = default_schedule(layer, kernels, 2)
    source = np.random.default_rng(chosen).integers(-128, 128, layer.source).astype(np.int8)
    return Trial(network, 1, layer, schedule, {"source": source})


@every_isa
@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # shrinking would link hundreds of programs
    suppress_health_check=list(HealthCheck),
)
@given(cases=st.lists(st.tuples(layers(), st.integers(0, 10_000)), min_size=TRIALS, max_size=TRIALS))
def test_any_layer_under_any_schedule_gives_the_interpreters_bytes(isa, cases):
    check(isa, [any_trial(isa, case, chosen) for case, chosen in cases])


@every_isa
def test_every_kind_of_fusion_and_the_ends_of_all_ranges_give_the_interpreters_bytes(isa):
    kernels, network = INSTRUCTION_SETS[isa], random_network(tiny_spec(), seed=4)
    image = np.random.default_rng(4).integers(0, 256, (24, 40, 3)).astype(np.uint8)
    tensors = interpreter.run_tensors(network, image)
    trials = [
        Trial(network, index, layer, default_schedule(layer, kernels, threads=2), tensors)
        for index, layer in enumerate(conv_layers(network, 24, 40))
    ]
    extremes = [extreme_trial(isa, q, w) for q, w in itertools.product((-128, 127), (-127, 127))]
    nearly = [extreme_trial(isa, q, w, 16, 32638.0) for q, w in itertools.product((-128, 127), (-113, 113))]
    assert all(trial.layer.float_sums and trial.layer.short_steps for trial in nearly)
    assert not any(trial.layer.float_sums for trial in extremes)
    # A ReLU whose zero points are as far from -128 as bytes are lifted, and farther; plain ones, even and odd.
    clamped = [zero_point_trial(isa, zero, relu=True) for zero in (-127, -64, -1, 0, 127)]
    plain = [zero_point_trial(isa, zero, relu=False) for zero in (-128, -7, 126)]
    check(isa, [*trials, *extremes, *nearly, *clamped, *plain])


def zero_point_trial(isa: str, zero_point: int, relu: bool) -> Trial:
    """A layer without a residual whose outputs reach far beyond the clamps and, of small sums, halves."""
    spec = ConvSpec("probe", "source", 16, 12, kernel=1, relu=relu)
    network = random_network(one_layer_between(16, spec), seed=2)
    layer = dataclasses.replace(network.layers[1], scale=np.resize(np.float32([0.5, 0.25, 0.01]), 12))
    tensors = network.tensors | {"probe": TensorScale(0.1, zero_point)}
    network = dataclasses.replace(network, tensors=tensors, layers=(network.layers[0], layer, network.layers[2]))
    layer = conv_layers(network, 4, 10)[1]
    source = np.random.default_rng(2).integers(-128, 128, (4, 10, 16)).astype(np.int8)
    return Trial(network, 1, layer, default_schedule(layer, INSTRUCTION_SETS[isa], 2), {"source": source})


@pytest.mark.parametrize("isa", [where_it_runs(isa) for isa in X86])
@pytest.mark.parametrize("tier", TIERS)
def test_an_x86_artefact_gives_the_interpreters_bytes_on_a_processor_that_is_not_here(isa, tier, tmp_path):
    if not command_prefix(isa):
        pytest.skip("this processor is here: the tests of artefacts for host run it")
    network, image = (
        random_network(student_spec(tier)),
        np.random.default_rng(5).integers(0, 256, (32, 64, 3), np.uint8),
    )
    info = compile_network(network, load_target(X86[isa]), 32, 64, tmp_path / "artefact")
    done = run_program(info, image, runs=1, warmup=0, threads=1, runner=command_prefix(isa))
    assert done.result.isa == isa
    np.testing.assert_array_equal(done.output, interpreter.run(network, image))


def extreme_trial(isa: str, activation: int, weight: int, channels: int = 64, steps: float = 127.5) -> Trial:
    """The largest sums that weights allow, which are requantised to so many steps."""
    network = random_network(one_layer_between(channels, ConvSpec("probe", "source", channels, 8)), seed=1)
    scale = np.full(8, np.float32(steps / (255 * abs(weight) * channels * 9 + np.abs(network.layers[1].bias).max())))
    worst = dataclasses.replace(network.layers[1], weight=np.full((8, 3, 3, channels), weight, np.int8), scale=scale)
    tensors = network.tensors | {"source": TensorScale(0.1, -1 - activation), "probe": TensorScale(0.1, 0)}
    network = dataclasses.replace(network, tensors=tensors, layers=(network.layers[0], worst, network.layers[2]))
    layer = conv_layers(network, 4, 10)[1]
    source = np.full((4, 10, channels), activation, np.int8)
    return Trial(network, 1, layer, default_schedule(layer, INSTRUCTION_SETS[isa], 2), {"source": source})


@pytest.mark.parametrize("tier", TIERS)
def test_all_aarch64_kernels_read_the_same_constants(tier):
    network = in_winograd_form(random_network(student_spec(tier)))
    for conv, layer in zip(network.layers, conv_layers(network, 512, 512), strict=True):
        packed = [
            pack_constants(conv, layer, default_schedule(layer, INSTRUCTION_SETS[isa], 4), INSTRUCTION_SETS[isa])
            for isa in CORES
        ]
        for name in ("weight", "bias", "scale"):
            assert len({getattr(constants, name).tobytes() for constants in packed}) == 1
