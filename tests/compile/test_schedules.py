"""The rule for schedules: what it promises for every layer of every tier, and what the compiler makes of it."""

import dataclasses
import itertools
import re

import pytest
import tvm
from emulated_kernels import CORES, arm_target
from kernels import amx_target, avx2_target, avxvnni_target, vnni_target
from networks import random_network

from edgedeblur.compile.assembly import dot_instructions, inner_loop, kernel_bodies
from edgedeblur.compile.kernels import INSTRUCTION_SETS, target_instruction_set
from edgedeblur.compile.kernels.convolution import conv_kernel
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.kernels.matrix.geometry import matrix_tiles
from edgedeblur.compile.llvm.functions import compile_functions
from edgedeblur.compile.schedules.default import default_reason, default_schedule, transform_cost
from edgedeblur.compile.schedules.schedule import (
    CACHE_SHARE,
    PATCH,
    WINOGRAD_CACHE_SHARE,
    Schedule,
    channel_vectors,
    check_schedule,
    fits_registers,
    input_passes,
    loads_per_dot,
    register_tiles,
    scratch_bytes,
    takes_winograd,
    tile_columns,
    tile_widths,
)
from edgedeblur.student import TIERS, student_spec

X86 = {"avx2": avx2_target(), "vnni": vnni_target(), "avxvnni": avxvnni_target(), "amx": amx_target()}
TARGETS = X86 | {isa: arm_target(isa) for isa in CORES}
STACK = dict.fromkeys(X86, r"%rsp") | dict.fromkeys(CORES, r"[sp") | {"amx": r"(%rsp), %zmm"}
PER_SUM = {"neon": 2}  # instructions that multiply for one register of sums


@pytest.mark.parametrize("tile_width", range(1, 15))
@pytest.mark.parametrize("width", [1, 5, 32, 40, 127, 128])
def test_tiles_cover_a_row_once_with_widths_that_differ_by_at_most_one(width, tile_width):
    tiles = tile_widths(width, tile_width)
    sizes = [size for _, size in tiles]
    assert sum(count * size for count, size in tiles) == width
    assert max(sizes) <= tile_width and max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("tier", "isa"), list(itertools.product(TIERS, INSTRUCTION_SETS.values())))
def test_the_rule_fits_every_layer_its_registers_its_cache_and_its_threads(tier, isa):
    network = random_network(student_spec(tier))
    for layer in conv_layers(network, 512, 512):
        schedule = default_schedule(layer, isa, threads=4)
        check_schedule(layer, isa, schedule)
        if isa.matrix is not None:
            assert schedule.method == "matrix"
            assert (schedule.tile_width, schedule.block_vectors) in matrix_tiles(layer, isa.matrix)
        else:
            assert fits_registers(isa, schedule.tile_width, schedule.block_vectors)
            assert (schedule.method == "winograd") == takes_winograd(layer, isa)
        tasks = -(-layer.out_size[0] // schedule.strip_rows)
        if schedule.parallel == "channels":
            tasks = channel_vectors(layer, isa) // schedule.block_vectors
        assert tasks >= 3, "too few tasks for the threads"
        share, lowest = (WINOGRAD_CACHE_SHARE, PATCH) if schedule.method == "winograd" else (CACHE_SHARE, 1)
        fits = scratch_bytes(layer, isa, schedule) <= share * isa.cache_bytes
        assert fits or schedule.strip_rows == lowest, "only the lowest strip may exceed the cache's share"


@pytest.mark.parametrize(("tier", "isa"), list(itertools.product(TIERS, INSTRUCTION_SETS.values())))
def test_no_other_register_tile_of_a_direct_convolution_loads_less(tier, isa):
    network = random_network(student_spec(tier))
    for layer in conv_layers(network, 512, 512):
        schedule = default_schedule(layer, isa, threads=4)
        if schedule.method == "winograd":
            continue
        method, columns = schedule.method, tile_columns(layer, isa, schedule.method, schedule.strip_rows)
        loads = {
            tile: loads_per_dot(layer, isa, method, columns, tile)
            for tile in register_tiles(layer, isa, columns, method)
        }
        assert loads[schedule.tile_width, schedule.block_vectors] == min(loads.values())


def _layer(tier, name):
    return next(layer for layer in conv_layers(random_network(student_spec(tier)), 512, 512) if layer.name == name)


def test_a_layer_reads_its_input_once_unless_its_tasks_are_blocks_of_channels():
    isa, layer = INSTRUCTION_SETS["vnni"], _layer("small", "enc3.0.a")
    assert layer.out_channels == 128
    assert input_passes(layer, isa, Schedule(8, 4, 2, 1, "direct", "rows")) == 1
    assert input_passes(layer, isa, Schedule(8, 4, 2, 1, "direct", "channels")) == 128 // (2 * 16)


@pytest.mark.parametrize(
    "isa", [isa for isa in INSTRUCTION_SETS.values() if isa.wide and not isa.matrix], ids=lambda isa: isa.name
)
def test_winograds_method_is_taken_only_where_its_sums_fit(isa):
    layer = conv_layers(random_network(student_spec("small")), 512, 512)[1]
    assert takes_winograd(dataclasses.replace(layer, largest_sum=(2**31 - 1) // 64), isa)
    assert not takes_winograd(dataclasses.replace(layer, largest_sum=2**31 // 64), isa)


@pytest.mark.parametrize(
    "isa", [isa for isa in INSTRUCTION_SETS.values() if isa.wide and not isa.matrix], ids=lambda isa: isa.name
)
def test_more_threads_never_make_winograds_busiest_thread_busier(isa):
    for layer in conv_layers(random_network(student_spec("small")), 512, 512):
        if takes_winograd(layer, isa):
            costs = [transform_cost(layer, isa, default_schedule(layer, isa, n), n) for n in (1, 2, 4, 8)]
            assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize("isa", INSTRUCTION_SETS.values(), ids=list(INSTRUCTION_SETS))
@pytest.mark.parametrize("name", ["enc2.0.a", "enc3.0.b"])
def test_the_inner_loop_is_dot_products_with_all_sums_in_registers(isa, name):
    layers = {layer.name: layer for layer in conv_layers(random_network(student_spec("small")), 512, 512)}
    layer = layers[name]
    schedule = default_schedule(layer, isa, threads=4)
    kernel = conv_kernel(layer, schedule, isa, "kernel")
    module = compile_functions(tvm.IRModule({"kernel": kernel}), TARGETS[isa.name])
    chosen = isa.products(schedule.method)
    loop = inner_loop(kernel_bodies(module.inspect_source("asm"))["kernel"], chosen)
    products = chosen.step // chosen.group * chosen.sums.registers * PER_SUM.get(isa.name, 1)
    widest = tile_widths(tile_columns(layer, isa, schedule.method, schedule.strip_rows), schedule.tile_width)[0][1]
    widest = widest // chosen.matrix_registers.rows if schedule.method == "matrix" else widest
    round_of = widest * schedule.block_vectors * products * schedule.unroll
    dots = dot_instructions(loop, chosen)
    assert dots and dots % round_of == 0, "LLVM may unroll it further"
    assert not [line for line in loop if STACK[isa.name] in line], "sums spill to the stack"


def test_a_short_inner_loop_stays_a_loop_so_that_its_weights_need_no_stack():
    layers = {layer.name: layer for layer in conv_layers(random_network(student_spec("nano")), 512, 512)}
    layer, isa = layers["up1"], INSTRUCTION_SETS["i8mm"]
    schedule = default_schedule(layer, isa, threads=4)
    kernel = conv_kernel(layer, schedule, isa, "kernel")
    module = compile_functions(tvm.IRModule({"kernel": kernel}), TARGETS["i8mm"])
    loop = inner_loop(kernel_bodies(module.inspect_source("asm"))["kernel"], isa)
    assert dot_instructions(loop, isa) == 2 * schedule.tile_width * schedule.block_vectors * schedule.unroll
    assert not [line for line in loop if STACK["i8mm"] in line]


def test_sdot_takes_activations_by_element_and_vnni_works_on_64_bytes_or_on_32_without_avx512():
    layers = {layer.name: layer for layer in conv_layers(random_network(student_spec("nano")), 512, 512)}
    for name, form in (("sdot", ".4b["), ("vnni", "%zmm"), ("avxvnni", "%ymm")):
        isa, layer = INSTRUCTION_SETS[name], layers["enc1.0.a"]
        kernel = conv_kernel(layer, default_schedule(layer, isa, 4), isa, "kernel")
        module = compile_functions(tvm.IRModule({"kernel": kernel}), TARGETS[name])
        loop = inner_loop(kernel_bodies(module.inspect_source("asm"))["kernel"], isa)
        dots = [line for line in loop if re.search(isa.mnemonic, line)]
        assert dots and all(form in line for line in dots)


@pytest.mark.parametrize(
    ("isa", "rate", "name", "method"),
    [
        ("vnni", 1.0, "enc1.0.a", "winograd"),
        ("vnni", 2.0, "enc1.0.a", "direct"),
        ("vnni", 2.0, "enc0.0.a", "direct"),
        ("avxvnni", 2.0, "enc0.0.a", "direct"),
        ("avxvnni", 2.0, "enc2.0.a", "winograd"),  # half the lanes: fewer transforms for each product
        ("avx2", 2.0, "enc1.0.a", "winograd"),  # its direct method has four times the products, of the same kind
    ],
)
def test_winograds_method_is_taken_where_the_cores_rate_of_dot_products_makes_it_pay(isa, rate, name, method):
    known = dataclasses.replace(INSTRUCTION_SETS[isa], dots_per_cycle=rate)
    layer = _layer("small", name)
    assert default_schedule(layer, known, threads=1).method == method
    reason = default_reason(layer, known, 1)
    assert ("2 dot products a cycle" in reason) == (rate == 2)


@pytest.mark.parametrize(
    ("cpu", "rate"), [("sapphirerapids", 2.0), ("icelake-client", 1.0), ("znver4", 1.0), ("x86-64-v4", 1.0)]
)
def test_the_rate_is_that_of_the_targets_core_or_what_its_file_says(cpu, rate):
    target = dataclasses.replace(vnni_target(), cpu=cpu)
    assert target_instruction_set(target).dots_per_cycle == rate
    assert target_instruction_set(dataclasses.replace(target, dots_per_cycle=1.5)).dots_per_cycle == 1.5
