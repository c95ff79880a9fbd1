"""Single kernels against the interpreter: every kind of layer, random shapes, every instruction set's schedule."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernels import has_avx2, one_layer_between, run_kernel, with_portable_dot
from networks import in_winograd_form, random_network, tiny_spec

from edgedeblur.artefact.cpu import runs_here
from edgedeblur.artefact.isa import ISAS
from edgedeblur.compile.kernels import INSTRUCTION_SETS, instruction_set
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.schedules.default import default_schedule
from edgedeblur.compile.schedules.schedule import LARGEST_SUM, Schedule, check_schedule, register_tiles, row_columns
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.network import TensorScale
from edgedeblur.storage.resources import resource_folder
from edgedeblur.student import ConvSpec, StudentSpec

pytestmark = pytest.mark.skipif(not has_avx2(), reason="the kernels of this test run on AVX2")

HERE = ("avx2", "vnni", "amx", "sdot")  # what AArch64 kernels do is in test_emulated_kernels.py
DRAWN = (*HERE, "avxvnni")  # like vnni, with other numbers of lanes and registers


def runnable(name: str):
    """The instruction set, or its own schedules with a portable dot product where this processor lacks it."""
    isa = INSTRUCTION_SETS[name]
    return isa if runs_here(name) else with_portable_dot(isa)


def check_layer(spec: StudentSpec, height: int, width: int, isa, seed: int, zero_points=None, schedule=None):
    network = random_network(spec, seed)
    tensors = dict(network.tensors)
    for name, zero_point in (zero_points or {}).items():
        tensors[name] = TensorScale(tensors[name].scale, zero_point)
    network = dataclasses.replace(network, tensors=tensors)
    layer = conv_layers(network, height, width)[1]
    random = np.random.default_rng(seed)
    source = random.integers(-128, 128, layer.source).astype(np.int8)
    values = {"source": source}
    expected = interpreter.run_layer(network, network.layers[1], values)
    got = run_kernel(network, 1, layer, schedule or default_schedule(layer, isa, 2), isa, values)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("isa", HERE)
def test_every_kind_of_layer_gives_the_interpreters_bytes(isa):
    network = random_network(tiny_spec(), seed=4)
    image = np.random.default_rng(4).integers(0, 256, (24, 40, 3)).astype(np.uint8)
    tensors = interpreter.run_tensors(network, image)
    for index, layer in enumerate(conv_layers(network, 24, 40)):
        chosen = runnable(isa)
        got = run_kernel(network, index, layer, default_schedule(layer, chosen, threads=2), chosen, tensors)
        np.testing.assert_array_equal(got, tensors[layer.name], err_msg=layer.name)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    isa=st.sampled_from(DRAWN),
    height=st.integers(1, 9).map(lambda n: 2 * n),
    width=st.integers(1, 21).map(lambda n: 2 * n),
    channels=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    shape=st.sampled_from([(3, 1, 1), (3, 2, 1), (1, 1, 1), (1, 1, 2), (5, 1, 1), (3, 1, 3)]),
    relu=st.booleans(),
    zero_point=st.integers(-128, 127),
)
def test_any_shape_gives_the_interpreters_bytes(isa, height, width, channels, shape, relu, zero_point):
    kernel, stride, fold = shape
    inputs, outputs = channels[0], channels[1] * fold**2
    residual = "source" if stride == fold == 1 and inputs == outputs else None
    layer = ConvSpec("probe", "source", inputs, outputs, kernel, stride, 1, fold, residual, relu)
    zero_points = {"source": zero_point, "probe": -zero_point - 1}
    check_layer(one_layer_between(inputs, layer), height, width, runnable(isa), seed=7, zero_points=zero_points)


@st.composite
def other_convolutions(draw) -> tuple[ConvSpec, tuple[int, int]]:
    """Depthwise, grouped and dilated ones, and activations other than ReLU, with the size of their input."""
    kernel, stride = draw(st.sampled_from([(3, 1), (3, 2), (5, 1), (5, 2)]))
    groups = draw(st.sampled_from([1, 2, 3, 8, 21, 40]))
    each_in, each_out = draw(st.sampled_from([(1, 1), (1, 1), (4, 2), (3, 5)]))
    dilation, kind = draw(st.sampled_from([1, 1, 2])), draw(st.sampled_from(["", "relu", "limit", "prelu"]))
    inputs, outputs = groups * each_in, groups * each_out
    residual = "source" if inputs == outputs and stride == 1 and kind != "prelu" and draw(st.booleans()) else None
    size = stride * draw(st.integers(1, 6)), stride * draw(st.integers(1, 21))
    conv = ConvSpec("probe", "source", inputs, outputs, kernel, stride, residual=residual, groups=groups)
    relu, limit = kind in ("relu", "limit"), draw(st.floats(0.3, 4.0)) if kind == "limit" else None
    return dataclasses.replace(conv, dilation=dilation, relu=relu, limit=limit, prelu=kind == "prelu"), size


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(DRAWN),
    case=other_convolutions(),
    zero_point=st.integers(-128, 127),
    chosen=st.integers(0, 10_000),
)
def test_depthwise_grouped_and_dilated_layers_with_any_activation_are_the_interpreters(name, case, zero_point, chosen):
    (spec, size), isa = case, runnable(name)
    between = one_layer_between(spec.in_channels, spec)
    layer = conv_layers(random_network(between), *size)[1]
    schedule = default_schedule(layer, isa, 2)
    if layer.depthwise and chosen % 3:
        tiles = list(register_tiles(layer, isa, layer.out_size[1]))
        parallel = ("rows", "channels")[chosen % 2]
        schedule = Schedule(1 + chosen % size[0], *tiles[chosen % len(tiles)], 1, "depthwise", parallel)
    check_layer(between, *size, isa, seed=3, zero_points={"source": zero_point}, schedule=schedule)


@pytest.mark.parametrize("isa", HERE)
def test_sums_and_clamps_at_the_ends_of_their_ranges_are_exact(isa):
    layer = ConvSpec("probe", "source", 64, 16)
    network = random_network(one_layer_between(64, layer), seed=1)
    extreme = dataclasses.replace(
        network.layers[1],
        weight=np.where(np.arange(16) % 2, 127, -127).astype(np.int8).repeat(9 * 64).reshape(16, 3, 3, 64),
        scale=np.full(16, np.float32(127.5 / (255 * 127 * 64 * 9))),
    )
    tensors = {**network.tensors, "source": TensorScale(0.1, -128), "probe": TensorScale(0.1, -128)}
    network = dataclasses.replace(network, tensors=tensors, layers=(network.layers[0], extreme, network.layers[2]))
    values = {"source": np.full((4, 10, 64), 127, np.int8)}
    probe = conv_layers(network, 4, 10)[1]
    got = run_kernel(network, 1, probe, default_schedule(probe, runnable(isa), 2), runnable(isa), values)
    np.testing.assert_array_equal(got, interpreter.run_layer(network, network.layers[1], values))


WIDE = [name for name in HERE if INSTRUCTION_SETS[name].wide is not None and INSTRUCTION_SETS[name].matrix is None]


@settings(max_examples=7, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from([*WIDE, "avxvnni"]),
    height=st.integers(1, 13),
    width=st.integers(1, 21),
    channels=st.tuples(st.integers(1, 4).map(lambda n: 16 * n), st.integers(1, 3).map(lambda n: 16 * n)),
    fold=st.sampled_from([1, 2]),
    zero_point=st.integers(-128, 127),
    parallel=st.sampled_from(["rows", "channels"]),
)
def test_winograds_method_gives_the_interpreters_bytes_at_any_size(
    name, height, width, channels, fold, zero_point, parallel
):
    inputs, outputs = channels[0], channels[1] * fold**2
    spec = one_layer_between(inputs, ConvSpec("probe", "source", inputs, outputs, depth_to_space=fold))
    isa = runnable(name)
    chosen = default_schedule(conv_layers(random_network(spec), height, width)[1], isa, 2)
    assert chosen.method == "winograd"
    schedule = dataclasses.replace(chosen, parallel=parallel)
    check_layer(spec, height, width, isa, seed=8, zero_points={"source": zero_point}, schedule=schedule)


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(DRAWN),
    height=st.integers(1, 9),
    width=st.integers(1, 21),
    channels=st.tuples(st.integers(1, 3).map(lambda n: 16 * n), st.integers(1, 40)),
    method=st.sampled_from(["rows", "rows", "direct", "default"]),
    chosen=st.integers(0, 10_000),
)
def test_layers_in_winograd_form_give_the_interpreters_bytes_by_every_method(
    name, height, width, channels, method, chosen
):
    inputs, outputs = channels
    residual = "source" if inputs == outputs else None
    spec = one_layer_between(inputs, ConvSpec("probe", "source", inputs, outputs, residual=residual))
    network, isa = in_winograd_form(random_network(spec, chosen), ["probe"]), runnable(name)
    layer = conv_layers(network, height, width)[1]
    schedule = default_schedule(layer, isa, 2)
    if method != "default":
        tiles = list(register_tiles(layer, isa, row_columns(layer, isa, method)))
        parallel = ("rows", "channels")[chosen % 2]
        schedule = Schedule(1 + chosen % height, *tiles[chosen % len(tiles)], 1, method, parallel)
    source = np.random.default_rng(chosen).choice([-128, -1, 0, 1, 127, 64, -63], layer.source).astype(np.int8)
    got = run_kernel(network, 1, layer, schedule, isa, {"source": source})
    np.testing.assert_array_equal(got, interpreter.run_layer(network, network.layers[1], {"source": source}))


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("sign", [1, -1])
def test_winograds_products_may_wrap_and_the_largest_sums_stay_exact(name, sign):
    channels = 112  # with the largest weights, the most whose sums fit
    layer = ConvSpec("probe", "source", channels, 16)
    network = random_network(one_layer_between(channels, layer), seed=1)
    worst = dataclasses.replace(
        network.layers[1],
        weight=np.full((16, 3, 3, channels), sign * 127, np.int8),
        bias=np.arange(16, dtype=np.int32),
        scale=np.full(16, np.float32(100 / (255 * 127 * channels * 9))),
    )
    tensors = {**network.tensors, "source": TensorScale(0.1, -128), "probe": TensorScale(0.1, 0)}
    network = dataclasses.replace(network, tensors=tensors, layers=(network.layers[0], worst, network.layers[2]))
    source = np.where(np.random.default_rng(1).random((6, 6, channels)) < 0.97, 127, -128).astype(np.int8)
    probe, isa = conv_layers(network, 6, 6)[1], runnable(name)
    assert probe.largest_sum == 255 * 127 * channels * 9 > 0.95 * LARGEST_SUM
    schedule = default_schedule(probe, isa, 2)
    assert schedule.method == "winograd"
    got = run_kernel(network, 1, probe, schedule, isa, {"source": source})
    np.testing.assert_array_equal(got, interpreter.run_layer(network, worst, {"source": source}))


def test_a_core_with_another_rate_of_dot_products_has_another_method_and_the_same_bytes():
    spec, methods = one_layer_between(16, ConvSpec("probe", "source", 16, 16)), []
    for rate in (1.0, 2.0):
        isa = dataclasses.replace(runnable("vnni"), dots_per_cycle=rate)
        schedule = default_schedule(conv_layers(random_network(spec), 8, 12)[1], isa, 1)
        check_layer(spec, 8, 12, isa, seed=6, schedule=schedule)
        methods.append(schedule.method)
    assert methods == ["winograd", "direct"]


@pytest.mark.parametrize("isa", HERE)
def test_tasks_may_be_blocks_of_output_channels(isa):
    chosen = runnable(isa)
    layer = ConvSpec("probe", "source", 20, 5 * chosen.lanes, stride=2)
    spec = one_layer_between(20, layer)
    probe = conv_layers(random_network(spec), 18, 22)[1]
    schedule = Schedule(2, 3, 1, 1, "direct", "channels")
    check_schedule(probe, chosen, schedule)
    check_layer(spec, 18, 22, chosen, seed=5, schedule=schedule)


def test_equal_scales_of_residual_and_output_add_plain_integers():
    layer = ConvSpec("probe", "source", 16, 16, residual="source")
    network = random_network(one_layer_between(16, layer), seed=3)
    shared = dataclasses.replace(network.layers[1], residual_scale=np.float32(1.0))
    network = dataclasses.replace(network, layers=(network.layers[0], shared, network.layers[2]))
    values = {"source": np.random.default_rng(3).integers(-128, 128, (6, 14, 16)).astype(np.int8)}
    probe = conv_layers(network, 6, 14)[1]
    isa = INSTRUCTION_SETS["avx2"]
    got = run_kernel(network, 1, probe, default_schedule(probe, isa, 2), isa, values)
    np.testing.assert_array_equal(got, interpreter.run_layer(network, shared, values))


def test_an_unknown_instruction_set_is_refused_with_the_ones_there_are():
    with pytest.raises(UserError, match="no kernels for isa 'mmx'; there are avx2, vnni, avxvnni, amx, sdot, i8mm"):
        instruction_set("mmx")


def test_every_instruction_set_has_a_row_kernels_and_a_check_in_c():
    header, check = ((resource_folder("runtime") / "library" / name).read_text() for name in ("tables.h", "cpu.c"))
    enumerated = re.search(r"enum \{([^}]*ED_ISA_[^}]*)\}", header)[1]
    assert re.findall(r"ED_ISA_(\w+)", enumerated) == [name.upper() for name in ISAS]
    assert dict(re.findall(r'\[ED_ISA_(\w+)\] = "(\w+)"', check)) == {name.upper(): name for name in ISAS}
    assert set(INSTRUCTION_SETS) == set(ISAS)
