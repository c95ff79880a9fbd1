"""Convolutions by registers that hold matrices; where there is no AMX its tiles are executed by a double."""

import dataclasses
import re

import numpy as np
import pytest
import tvm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernels import amx_target, has_avx2, one_layer_between, run_kernel, with_portable_dot
from networks import in_winograd_form, random_network

from edgedeblur.artefact.cpu import runs_here
from edgedeblur.compile.assembly import kernel_bodies
from edgedeblur.compile.build import build_plan
from edgedeblur.compile.kernels import INSTRUCTION_SETS
from edgedeblur.compile.kernels.convolution import conv_kernel
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.kernels.matrix.amx import configuration
from edgedeblur.compile.kernels.matrix.geometry import matrix_tiles, pieces, row_tiles, takes_matrix
from edgedeblur.compile.llvm.functions import compile_functions
from edgedeblur.compile.schedules.default import default_schedule
from edgedeblur.compile.schedules.schedule import Schedule, check_schedule, unrolls
from edgedeblur.errors import UserError
from edgedeblur.estimate.kernel_cost import inner_loops
from edgedeblur.estimate.mca import Processor
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.cost.int16 import with_int16
from edgedeblur.quantize.network import TensorScale
from edgedeblur.student import ConvSpec, student_spec

AMX = INSTRUCTION_SETS["amx"]
PROBED = AMX if runs_here("amx") else with_portable_dot(AMX)


@st.composite
def cases(draw):
    """A layer of a kind that the method takes, the size of its input, and a seed that chooses among its schedules."""
    kernel, stride, fold, dilation = draw(
        st.sampled_from(
            [(3, 1, 1, 1), (3, 1, 2, 1), (3, 2, 1, 1), (1, 1, 2, 1), (1, 2, 1, 1), (5, 1, 1, 1), (3, 1, 1, 2)]
        )
    )
    inputs, each = draw(st.sampled_from([1, 4, 12, 16, 20, 44, 68])), draw(st.sampled_from([1, 3, 12, 16, 20, 33, 48]))
    kind, outputs = draw(st.sampled_from(["", "relu", "limit", "prelu"])), each * fold**2
    residual = "source" if stride == fold == 1 and kind != "prelu" and draw(st.booleans()) else None
    inputs = outputs if residual else inputs
    size = stride * draw(st.integers(1, 4)), stride * draw(st.integers(1, 70))
    spec = ConvSpec("probe", "source", inputs, outputs, kernel, stride, 1, fold, residual, dilation=dilation)
    relu, limit = kind in ("relu", "limit"), draw(st.floats(0.3, 4.0)) if kind == "limit" else None
    return dataclasses.replace(spec, relu=relu, limit=limit, prelu=kind == "prelu"), size, draw(st.integers(0, 10_000))


@pytest.mark.skipif(not has_avx2(), reason="the kernels of this test run on AVX2")
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(case=cases(), zero_point=st.integers(-128, 127))
def test_any_layer_by_any_schedule_gives_the_interpreters_bytes(case, zero_point):
    spec, size, seed = case
    network = random_network(one_layer_between(spec.in_channels, spec), seed)
    if seed % 5 == 0 and spec.kernel == 3 and spec.stride == spec.dilation == spec.depth_to_space == 1:
        network, zero_point = in_winograd_form(network, ["probe"]), zero_point | 1  # whose input is halved
    network = dataclasses.replace(network, tensors=network.tensors | {"source": TensorScale(0.1, zero_point)})
    layer = conv_layers(network, *size)[1]
    schedule = chosen_schedule(layer, seed)
    source = np.random.default_rng(seed).integers(-128, 128, layer.source).astype(np.int8)
    got = run_kernel(network, 1, layer, schedule, PROBED, {"source": source})
    np.testing.assert_array_equal(got, interpreter.run_layer(network, network.layers[1], {"source": source}))


def chosen_schedule(layer, seed: int) -> Schedule:
    """By matrices, or by other instructions where what a pixel unfolds to does not fit."""
    if not takes_matrix(layer, PROBED):
        assert layer.depth_to_space > 1
        return default_schedule(layer, PROBED, 2)
    tiles, rounds = list(matrix_tiles(layer, PROBED.matrix)), unrolls(layer, PROBED, "matrix")
    parallel = ("rows", "channels")[seed % 2]
    tile = tiles[seed % len(tiles)]
    schedule = Schedule(1 + seed % layer.out_size[0], *tile, rounds[seed % len(rounds)], "matrix", parallel)
    check_schedule(layer, PROBED, schedule)
    return schedule


@pytest.mark.parametrize("width", [1, 15, 16, 17, 31, 40, 64, 100, 127, 129, 512])
def test_tiles_cover_a_row_and_stay_in_it(width):
    registers = AMX.matrix.matrix_registers
    for tile_width in (16, 32, 48, 64, 80):
        tiles = row_tiles(width, tile_width, registers)
        assert tiles.rows <= registers.rows and tiles.count * tiles.pixels >= width
        assert tile_width > 16 or tiles.pixels <= width


@pytest.mark.parametrize("tier", ["nano", "small", "large"])
def test_every_layer_of_the_tiers_goes_by_matrices_whose_rows_are_filled(tier):
    for layer in conv_layers(random_network(student_spec(tier)), 512, 512):
        schedule = default_schedule(layer, AMX, 4)
        assert schedule.method == "matrix", layer.name
        tiles = row_tiles(layer.out_size[1], schedule.tile_width, AMX.matrix.matrix_registers)
        cut = pieces(layer, AMX.matrix)
        assert tiles.rows == 16 and tiles.count * tiles.pixels == layer.out_size[1]
        assert cut.groups >= 8 and cut.surplus <= cut.groups // 2, "half of the 64 bytes or more"


def test_depthwise_layers_and_int16_activations_keep_the_vector_instructions():
    spec = ConvSpec("probe", "source", 16, 16, groups=16)
    depthwise = conv_layers(random_network(one_layer_between(16, spec)), 8, 8)[1]
    assert default_schedule(depthwise, AMX, 2).method == "depthwise"
    plain = random_network(one_layer_between(16, ConvSpec("probe", "source", 16, 16)))
    for name in ("source", "probe"):
        layer = conv_layers(with_int16(plain, name), 8, 8)[1]
        assert not takes_matrix(layer, AMX)
        with pytest.raises(UserError, match="the method matrix takes convolutions of int8"):
            check_schedule(layer, AMX, Schedule(1, 16, 1, 1, "matrix"))


def test_a_configuration_names_palette_rows_and_bytes():
    table = configuration([(16, 64), (9, 48)])
    assert len(table) == 64 and table[0] == 1 and sum(table[1:16]) == 0
    assert np.frombuffer(table[16:48], np.uint16).tolist() == [64, 48] + [0] * 14
    assert list(table[48:]) == [16, 9] + [0] * 14


@pytest.fixture(scope="module")
def head() -> tuple:
    """The kernel of the last layer of `nano`, 12 channels to an image that is added, and its machine code."""
    network = random_network(student_spec("nano"))
    layer = conv_layers(network, 512, 512)[-1]
    kernel = conv_kernel(layer, default_schedule(layer, AMX, 4), AMX, "kernel")
    module = compile_functions(tvm.IRModule({"kernel": kernel}), amx_target())
    return layer, kernel_bodies(module.inspect_source("asm"))["kernel"]


def test_four_pixels_are_requantised_together_and_their_two_rows_stored_in_four_pieces(head):
    _, lines = head
    code = "\n".join(lines)
    packs = [len(re.findall(rf"\t{name}\b", code)) for name in ("vpacksswb", "vpackuswb", "vpackssdw")]
    assert packs == [0, 1, 2], "an image: unsigned"
    loop = re.search(r"vpackuswb.*?\tjne", code, re.DOTALL)[0]
    assert len(re.findall(r", -?\d*\(%r\w+,%r\w+\)", loop)) == 4 and "vpmovsdw" not in code


def test_a_task_configures_the_registers_once_and_releases_them(head):
    code = "\n".join(head[1])
    assert len(re.findall(r"\tldtilecfg\b", code)) == len(re.findall(r"\ttilerelease\b", code)) == 1
    assert code.index("ldtilecfg") < code.index("tdpbssd") < code.index("tilerelease")


def test_a_1x1_convolution_reads_its_source_without_a_copy():
    network = random_network(one_layer_between(32, ConvSpec("probe", "source", 32, 64, 1, 1, 1, 2)))
    (kernel,) = (one for one in build_plan(network, 8, 32, amx_target()).kernels if one.layer == "probe")
    assert kernel.workspace_bytes == 32 * 32 * 4, "sums of 32 pixels by 32 channels alone"


def test_there_is_no_estimate_of_matrices(monkeypatch):
    from edgedeblur.compile.build import layer_kernels

    kernels = layer_kernels(
        random_network(one_layer_between(16, ConvSpec("probe", "source", 16, 16))), 8, 8, amx_target(), {}
    )
    with pytest.raises(UserError, match="no estimate of amx kernels: llvm-mca has no model of AMX"):
        inner_loops(kernels, [[]] * len(kernels), Processor("x86_64-linux-gnu", "sapphirerapids"))
