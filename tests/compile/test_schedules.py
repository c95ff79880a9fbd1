"""The rule for schedules: what it promises for every layer of every tier, and what the compiler makes of it."""

import itertools

import pytest
import tvm
from arm_kernels import CORES, arm_target
from kernels import avx2_target, vnni_target
from networks import random_network

from edgedeblur.compile.assembly import dot_instructions, inner_loop, kernel_bodies
from edgedeblur.compile.build import llvm_target
from edgedeblur.compile.kernels import INSTRUCTION_SETS
from edgedeblur.compile.kernels.convolution import conv_kernel
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.schedule import (
    SCRATCH_BYTES,
    check_schedule,
    default_schedule,
    fits_registers,
    loads_per_dot,
    register_tiles,
    scratch_bytes,
    takes_winograd,
    tile_columns,
    tile_widths,
)
from edgedeblur.student import TIERS, student_spec

TARGETS = {"avx2": avx2_target(), "vnni": vnni_target()} | {isa: arm_target(isa) for isa in CORES}
STACK = {"avx2": r"%rsp", "vnni": r"%rsp"} | dict.fromkeys(CORES, r"[sp")
PER_SUM = {"neon": 2}  # instructions that multiply for one register of sums


@pytest.mark.parametrize("tile_width", range(1, 15))
@pytest.mark.parametrize("width", [1, 5, 32, 40, 127, 128])
def test_tiles_cover_a_row_once_with_widths_that_differ_by_at_most_one(width, tile_width):
    tiles = tile_widths(width, tile_width)
    sizes = [size for _, size in tiles]
    assert sum(count * size for count, size in tiles) == width
    assert max(sizes) <= tile_width and max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("tier", "isa"), list(itertools.product(TIERS, INSTRUCTION_SETS.values())))
def test_the_rule_fits_every_layer_and_no_other_tile_loads_less(tier, isa):
    network = random_network(student_spec(tier))
    for layer in conv_layers(network, 512, 512):
        schedule = default_schedule(layer, isa, threads=4)
        check_schedule(layer, isa, schedule)
        assert fits_registers(isa, schedule.tile_width, schedule.block_vectors)
        columns = tile_columns(layer, isa, schedule.method, schedule.strip_rows)
        loads = {
            tile: loads_per_dot(layer, isa, schedule.method, columns, tile)
            for tile in register_tiles(layer, isa, columns)
        }
        assert loads[schedule.tile_width, schedule.block_vectors] == min(loads.values())
        assert layer.out_size[0] / schedule.strip_rows >= 4, "too few tasks for the threads"
        scratch = scratch_bytes(layer, isa, schedule.method, schedule.strip_rows)
        assert scratch <= SCRATCH_BYTES or schedule.strip_rows <= 2, "the lowest strip may exceed the cache's share"
        assert (schedule.method == "winograd") == takes_winograd(layer, isa)


@pytest.mark.parametrize("isa", INSTRUCTION_SETS.values(), ids=list(INSTRUCTION_SETS))
@pytest.mark.parametrize("name", ["enc0.0.a", "enc2.0.b"])
def test_the_inner_loop_is_dot_products_with_all_sums_in_registers(isa, name):
    layers = {layer.name: layer for layer in conv_layers(random_network(student_spec("small")), 512, 512)}
    layer = layers[name]
    schedule = default_schedule(layer, isa, threads=4)
    kernel = conv_kernel(layer, schedule, isa, "kernel")
    module = tvm.compile(tvm.IRModule({"kernel": kernel}), target=llvm_target(TARGETS[isa.name])).mod
    loop = inner_loop(kernel_bodies(module.inspect_source("asm"))["kernel"], isa)
    products = isa.step // isa.group * isa.sums.registers * PER_SUM.get(isa.name, 1)
    round_of = schedule.tile_width * schedule.block_vectors * products * schedule.unroll
    dots = dot_instructions(loop, isa)
    assert dots and dots % round_of == 0, "LLVM may unroll it further"
    assert not [line for line in loop if STACK[isa.name] in line], "sums spill to the stack"


def test_sdot_takes_activations_by_element_and_vnni_works_on_64_bytes():
    layers = {layer.name: layer for layer in conv_layers(random_network(student_spec("nano")), 512, 512)}
    for name, form in (("sdot", ".4b["), ("vnni", "%zmm")):
        isa, layer = INSTRUCTION_SETS[name], layers["enc1.0.a"]
        kernel = conv_kernel(layer, default_schedule(layer, isa, 4), isa, "kernel")
        module = tvm.compile(tvm.IRModule({"kernel": kernel}), target=llvm_target(TARGETS[name])).mod
        loop = inner_loop(kernel_bodies(module.inspect_source("asm"))["kernel"], isa)
        dots = [line for line in loop if isa.mnemonic in line]
        assert dots and all(form in line for line in dots)
