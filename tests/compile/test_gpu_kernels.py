"""The kernels for GPUs give the integer interpreter's bytes, on every OpenCL that this machine has."""

from collections.abc import Sequence

import numpy as np
import pytest
from gpu_layers import LAYER, LayerCase, layer_plans
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels import one_layer_between
from networks import gated_spec, in_winograd_form, mobile_spec, random_network, single_layer_spec, tiny_spec
from opencl import build, builds, needs_opencl, run_on, run_plan

from edgedeblur.compile.gpu.build import build_gpu_plan
from edgedeblur.compile.gpu.gate import MAX_PIXELS, WordGate, check_gate
from edgedeblur.compile.gpu.schedule import GpuSchedule, check_schedule, default_schedule, output_words
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.edq import load_edq
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.student import ConvSpec
from edgedeblur.workflow.shipped import shipped_network


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def check(network: QuantisedNetwork, height: int, width: int) -> None:
    """Every device's bytes are the interpreter's, by each way to multiply that it has."""
    plan, image = build_gpu_plan(network, height, width), picture(height, width)
    expected = interpreter.run(network, image)
    for device, options in builds():
        found = run_on(device, plan, image, options)
        np.testing.assert_array_equal(found, expected, err_msg=f"{device.name} {options}")


@needs_opencl
def test_gates_over_many_parts_channels_that_fill_no_word_and_layers_in_winograd_form():
    check(in_winograd_form(random_network(gated_spec())), 64, 96)


@needs_opencl
def test_what_mobile_nets_have():
    check(random_network(mobile_spec()), 16, 24)


@needs_opencl
@pytest.mark.parametrize("spec", [single_layer_spec(5), single_layer_spec(1, fold=2, residual="image")])
def test_images_go_in_and_out_of_one_layer(spec):
    check(random_network(spec), 6, 10)


@st.composite
def layers(draw):
    """A layer of any shape that a network may have, its input's size and channels, and a schedule that fits."""
    kernel, stride = draw(st.sampled_from([(1, 1), (3, 1), (3, 2), (5, 1)]))
    fold, unfold = draw(st.sampled_from([(1, 1), (2, 1), (1, 2), (3, 1)]))
    source, out = draw(st.integers(1, 9)), draw(st.integers(1, 11))
    relu, dilation = draw(st.booleans()), draw(st.sampled_from([1, 1, 2]))
    further = {"relu": relu, "limit": 2.0 if relu and draw(st.booleans()) else None, "prelu": not relu}
    channels = source * fold**2, out * unfold**2
    groups = draw(st.sampled_from([n for n in range(1, 4) if channels[0] % n == 0 and channels[1] % n == 0]))
    shape = (kernel, stride, fold, unfold)
    layer = ConvSpec(LAYER, "source", *channels, *shape, dilation=dilation, groups=groups, **further)
    height, width = (draw(st.integers(1, 7)) * fold * stride for _ in range(2))
    numbers = draw(st.integers(1, 5)), draw(st.integers(0, 3)), draw(st.sampled_from([(1, 1), (4, 2), (3, 5)]))
    network = random_network(one_layer_between(source, layer))
    (described,) = (one for one in conv_layers(network, height, width) if one.name == LAYER)
    words = [number for number in range(1, 5) if output_words(described) % number == 0]
    pixels, choice, group = numbers
    return LayerCase(network, height, width, GpuSchedule(pixels, words[choice % len(words)], group))


@needs_opencl
@settings(max_examples=3, deadline=None, derandomize=True)
@given(layers())
def test_layers_of_any_shape_with_any_schedule(drawn):
    check_layers([drawn])


def check_layers(cases: Sequence[LayerCase]) -> None:
    """Every device's bytes of each layer are the interpreter's, by each way to multiply that it has."""
    plans = layer_plans(cases)
    for device, options in builds():
        program = build(device, plans[0].plan.text, options)
        for one in plans:
            one.check(run_plan(program, one.plan, np.empty(0, np.uint32)))


def test_a_schedule_that_does_not_divide_its_layer_is_refused():
    layer = conv_layers(random_network(tiny_spec()), 24, 40)[1]  # 8 channels
    for schedule in (GpuSchedule(1, 3, (8, 8)), GpuSchedule(0, 1, (8, 8)), GpuSchedule(1, 1, (8, 8), vector=8)):
        with pytest.raises(ValueError, match="layer enc0.0.a"):
            check_schedule(layer, schedule)


def test_default_schedules_fit_and_leave_enough_work_items():
    layers = conv_layers(load_edq(shipped_network("large")), 512, 512)
    for layer in layers:
        schedule = default_schedule(layer)
        check_schedule(layer, schedule)
        items = -(-layer.out_size[1] // schedule.pixels) * layer.out_size[0] * output_words(layer) // schedule.words
        assert items >= 2048 and 4 * schedule.pixels * schedule.words <= 32


def test_a_gate_over_more_pixels_than_its_sums_hold_is_refused():
    check_gate(WordGate((4096, 4096, 8), -128, 8), "a")
    assert 4096 * 4096 <= MAX_PIXELS < (1 << 32) // 255
    with pytest.raises(UserError, match="layer a: its gate adds up 16,843,009 pixels"):
        check_gate(WordGate((1, MAX_PIXELS + 1, 8), -128, 8), "a")
