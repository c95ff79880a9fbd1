"""What kernels cost: the phone's inner loops, and how an estimate follows clocks, threads, branches and bytes."""

import dataclasses
import re

import pytest
from isas import with_isa
from needs import needs_mca
from networks import random_network

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.build import layer_kernels
from edgedeblur.compile.kernels import SDOT
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.schedules.default import default_schedule
from edgedeblur.errors import UserError
from edgedeblur.estimate import kernel_cost as kernel_module
from edgedeblur.estimate.candidates import kernel_code, schedule_costs, schedule_ms
from edgedeblur.estimate.kernel_cost import inner_loops
from edgedeblur.estimate.machine import KIB, Machine, target_machine
from edgedeblur.storage.resources import resource_folder
from edgedeblur.student import student_spec

PEAK = 32  # int8 MAC a cycle of a Cortex-A77: two 16-byte dot products
WANTED = 29
MANY = 10**9  # bytes that no cache holds


def phone():
    return with_isa(load_target("android"), "sdot")


@pytest.fixture(scope="module")
def layer():
    return {layer.name: layer for layer in conv_layers(random_network(student_spec("nano")), 128, 128)}["enc1.0.a"]


@pytest.fixture(scope="module")
def schedule(layer):
    return default_schedule(layer, SDOT, threads=4)


@needs_mca
@pytest.mark.parametrize("tier", ["small"])
def test_inner_loops_of_3x3_convolutions_come_within_a_tenth_of_the_phones_peak(tier):
    target, distinct = phone(), {}
    for kernel in layer_kernels(random_network(student_spec(tier)), 512, 512, target, {}):
        shape = (kernel.layer.source, kernel.layer.out, kernel.layer.kernel, kernel.layer.stride)
        distinct.setdefault(shape, kernel)
    kernels = list(distinct.values())
    loops = inner_loops(kernels, kernel_code(kernels, target), target_machine(target).processor)
    for kernel, loop in zip(kernels, loops, strict=True):
        assert loop.mac_per_cycle <= PEAK * 1.001
        if kernel.layer.kernel == 3 and kernel.layer.in_channels >= 32:
            assert loop.mac_per_cycle >= WANTED, kernel.layer.name


def cost(layer, schedule, machine, footprint=MANY):
    return schedule_costs([(layer, schedule)], phone(), machine=machine, footprint=footprint)[0]


def machine(clocks=(2.0,), **changed) -> Machine:
    described = target_machine(phone())
    return Machine(described.processor, clocks, dataclasses.replace(described.core, **changed))


FREE = {"mispredict_cycles": 1e-9, "handoff_ns": 1e-9} | dict.fromkeys(
    ("l2_bytes_per_cycle", "l3_gb_per_s", "memory_gb_per_s"), 1e12
)


@needs_mca
def test_no_estimate_is_below_what_the_dot_product_units_can_do(layer, schedule):
    found = cost(layer, schedule, machine(clocks=(2.5,)))
    assert found.macs / (found.ms * 1e6 * 2.5) <= PEAK
    assert found.dots * SDOT.lanes * SDOT.group >= layer.macs


@needs_mca
def test_all_core_cycles_are_accounted_for(layer, schedule):
    for clocks in ((2.0,), (2.84, 2.42, 2.42, 2.42)):
        found = cost(layer, schedule, machine(clocks))
        assert found.cycles.total == pytest.approx(found.ms * 1e6 * sum(clocks), rel=1e-6)
        assert all(value >= -1e-6 for value in dataclasses.astuple(found.cycles))


@needs_mca
def test_time_halves_with_twice_the_clock_and_with_twice_the_cores_where_memory_is_free(layer, schedule):
    one = cost(layer, schedule, machine((1.5,), **FREE)).ms
    assert cost(layer, schedule, machine((3.0,), **FREE)).ms == pytest.approx(one / 2, rel=1e-6)
    assert cost(layer, schedule, machine((1.5, 1.5), **FREE)).ms == pytest.approx(one / 2, rel=0.1)


@needs_mca
def test_branches_memory_and_hand_overs_only_add_time(layer, schedule):
    clocks = (2.0, 2.0)
    free = cost(layer, schedule, machine(clocks, **FREE))
    foreseen = cost(layer, schedule, machine(clocks, **FREE | {"mispredict_cycles": 20.0, "foreseen_trips": 10**6}))
    assert foreseen.ms == pytest.approx(free.ms, rel=1e-9)
    for key, value in (("mispredict_cycles", 20.0), ("memory_gb_per_s", 0.5), ("handoff_ns", 1e4)):
        slower = cost(layer, schedule, machine(clocks, **FREE | {key: value}))
        assert slower.ms > free.ms * 1.01, key


@needs_mca
def test_a_slow_core_takes_fewer_tasks_and_delays_the_layer_by_less_than_its_slowness(layer, schedule):
    strips = dataclasses.replace(schedule, strip_rows=1)
    both_fast, one_slow, fast = (cost(layer, strips, machine(c, **FREE)).ms for c in ((2.0, 2.0), (2.0, 0.5), (2.0,)))
    assert both_fast < one_slow < fast


@needs_mca
def test_tune_gets_milliseconds_of_one_layer_for_the_phone(layer, schedule):
    assert schedule_ms(layer, schedule, phone()) == schedule_costs([(layer, schedule)], phone())[0].ms
    assert schedule_ms(layer, schedule, phone(), threads=1) > schedule_ms(layer, schedule, phone(), threads=4)


def test_tasks_are_cut_as_the_runtime_cuts_them():
    source = (resource_folder("runtime") / "library" / "pool.c").read_text()
    for name in ("TASKS_PER_THREAD", "MAX_TASKS"):
        assert int(re.search(rf"{name} = (\d+)", source)[1]) == getattr(kernel_module, name)


def test_data_come_from_the_nearest_cache_that_still_holds_them():
    one, two = machine((2.0,)), machine((2.0, 2.0))
    core = one.core
    speeds = [one.bytes_per_ns(size) for size in (core.l2_kib * KIB, core.l3_kib * KIB, core.l3_kib * KIB + 1)]
    assert speeds == [core.l2_bytes_per_cycle * 2.0, core.l3_gb_per_s, core.memory_gb_per_s]
    assert two.bytes_per_ns(1) == core.l3_gb_per_s, "another core had them"
    assert two.bytes_per_ns(MANY) == core.memory_gb_per_s / 2, "cores share memory"


@pytest.mark.parametrize("threads", [5, 8])
def test_cores_of_another_kind_are_not_estimated(threads):
    with pytest.raises(UserError, match=f"4 cores like cortex-a77; {threads} threads"):
        target_machine(load_target("android"), threads)


def test_a_target_without_a_description_says_so():
    with pytest.raises(UserError, match=r"x86-64-v3 has no \[estimate\] table"):
        target_machine(load_target("x86-64-v3"))
