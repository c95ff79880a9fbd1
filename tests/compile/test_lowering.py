"""Whole networks through Relax, TVM's planner and LLVM: bytes, memory plan, constants."""

import dataclasses

import numpy as np
import pytest
from kernels import avx2_target, has_avx2, sdot_target
from networks import random_network, single_layer_spec, tiny_spec
from planned import run_plan

from edgedeblur.compile.build import build_plan
from edgedeblur.compile.plan import ALIGNMENT
from edgedeblur.compile.schedules.schedule import Schedule
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter
from edgedeblur.student import IMAGE, ConvSpec, StudentSpec

runs_here = pytest.mark.skipif(not has_avx2(), reason="runs AVX2 kernels")


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3)).astype(np.uint8)


def operand_bytes(operand) -> int:
    return int(np.prod(operand.shape)) * np.dtype(operand.dtype).itemsize


@pytest.fixture(scope="module")
def tiny():
    network = random_network(tiny_spec(), seed=2)
    return network, build_plan(network, 40, 72, avx2_target())


@pytest.fixture(scope="module")
def alike():
    """Eight layers between stem and head, four without and four with a residual, that differ in numbers only."""
    layers = [ConvSpec("stem", IMAGE, 48, 8, space_to_depth=4)]
    for index in range(4):
        source = layers[-1].name
        layers.append(ConvSpec(f"{index}.a", source, 8, 8, relu=index % 2 == 1))
        layers.append(ConvSpec(f"{index}.b", f"{index}.a", 8, 8, residual=source))
    layers.append(ConvSpec("head", layers[-1].name, 8, 48, depth_to_space=4, residual=IMAGE))
    network = random_network(StudentSpec("alike", tuple(layers), "3.b", multiple=4), seed=7)
    return network, build_plan(network, 24, 40, avx2_target())


@runs_here
def test_ragged_sizes_and_odd_image_addresses_give_the_interpreters_bytes(tiny, tmp_path):
    network, compiled = tiny
    image = noise(40, 72)
    np.testing.assert_array_equal(run_plan(compiled, image, tmp_path), interpreter.run(network, image))


def test_layers_of_one_shape_share_a_kernel_whatever_their_numbers_are(alike):
    network, compiled = alike
    symbols = {call.layer: call.symbol for call in compiled.plan.calls}
    assert len({symbols[f"{index}.a"] for index in range(4)}) == 1
    assert len({symbols[f"{index}.b"] for index in range(4)}) == 1
    numbers = {call.operands[call.names.index("numbers")].offset for call in compiled.plan.calls if "." in call.layer}
    assert len(numbers) == 8 and len(set(symbols.values())) == 4
    assert [kernel.layer for kernel in compiled.kernels] == [conv.spec.name for conv in network.layers]


@runs_here
def test_what_layers_share_gives_the_interpreters_bytes_for_each(alike, tmp_path):
    network, compiled = alike
    image = noise(24, 40)
    np.testing.assert_array_equal(run_plan(compiled, image, tmp_path), interpreter.run(network, image))


@runs_here
def test_a_network_of_one_layer_needs_no_arena(tmp_path):
    network = random_network(single_layer_spec(fold=4), seed=5)
    compiled = build_plan(network, 16, 20, avx2_target())
    image = noise(16, 20)
    assert compiled.plan.arena_bytes == 0
    np.testing.assert_array_equal(run_plan(compiled, image, tmp_path), interpreter.run(network, image))


@runs_here
def test_given_schedules_change_the_kernels_and_not_the_bytes(tmp_path):
    first, second, *_, last = tiny_spec().layers
    layers = (first, second, dataclasses.replace(last, source=second.name))
    network = random_network(dataclasses.replace(tiny_spec(), layers=layers, bottleneck=second.name), seed=2)
    schedules = {"enc0.0.a": Schedule(3, 5, 1, 1), "head": Schedule(10, 2, 3, 4)}
    compiled = build_plan(network, 40, 72, avx2_target(), schedules)
    assert {k.layer: k.schedule for k in compiled.kernels if k.layer in schedules} == schedules
    image = noise(40, 72)
    np.testing.assert_array_equal(run_plan(compiled, image, tmp_path), interpreter.run(network, image))


def test_a_tensor_is_never_overwritten_before_its_last_reader(tiny):
    network, compiled = tiny
    written: dict[int, str] = {}
    extents: dict[str, tuple[int, int]] = {}
    for call, conv in zip(compiled.plan.calls, network.layers, strict=True):
        reads = [conv.spec.source] + ([conv.spec.residual] if conv.spec.residual else [])
        inputs = [o for o in call.operands[:-1] if o.place in ("arena", "input")]
        for name, operand in zip(reads, inputs, strict=True):
            if operand.place == "arena":
                assert written[operand.offset] == name
                assert extents[name] == (operand.offset, operand_bytes(operand))
        out = call.operands[-1]
        if out.place == "arena":
            end = out.offset + operand_bytes(out)
            live = {name: extents[name] for name in reads if name in extents}
            assert all(end <= start or start + size <= out.offset for start, size in live.values())
            written = {at: name for at, name in written.items() if not out.offset <= at < end}
            written[out.offset] = conv.spec.name
            extents[conv.spec.name] = (out.offset, operand_bytes(out))


def test_every_operand_lies_aligned_inside_its_memory(tiny):
    plan = tiny[1].plan
    sizes = {"arena": plan.arena_bytes, "constant": len(plan.constants), "input": 40 * 72 * 3, "output": 40 * 72 * 3}
    for operand in (operand for call in plan.calls for operand in call.operands):
        assert operand.offset % ALIGNMENT == 0
        assert operand.offset + operand_bytes(operand) <= sizes[operand.place]
    assert [call.operands[0].place for call in plan.calls].count("input") == 1
    assert [call.operands[-1].place for call in plan.calls].count("output") == 1


def test_the_arena_is_smaller_than_all_tensors_together(tiny):
    plan = tiny[1].plan
    tensors = sum(operand_bytes(call.operands[-1]) for call in plan.calls[:-1])
    largest = max(operand_bytes(call.operands[-1]) for call in plan.calls[:-1])
    assert 2 * largest <= plan.arena_bytes < tensors


def test_calls_follow_the_layers_and_name_symbols_of_the_object(tiny):
    network, compiled = tiny
    assert [call.layer for call in compiled.plan.calls] == [conv.spec.name for conv in network.layers]
    sizes = network.spec.sizes(40, 72)
    for call, conv in zip(compiled.plan.calls, network.layers, strict=True):
        assert call.symbol.encode() in compiled.object_code
        assert call.macs == conv.spec.macs(*sizes[conv.spec.source])


def test_every_kernel_reports_its_dot_products_scratch_and_what_is_fused(tiny):
    kernels = {kernel.layer: kernel for kernel in tiny[1].kernels}
    assert all(kernel.dot_instructions >= kernel.loop_dots > 0 for kernel in kernels.values())
    assert tiny[1].plan.workspace_bytes == max(kernel.workspace_bytes for kernel in kernels.values())
    expected = ("pad", "bias", "requantise", "depth_to_space", "residual", "clamp")
    assert kernels["head"].fused == expected
    assert "space_to_depth" in kernels["stem"].fused


def test_objects_for_arm_are_arm_objects():
    compiled = build_plan(random_network(tiny_spec()), 16, 24, sdot_target())
    machine = int.from_bytes(compiled.object_code[18:20], "little")
    assert (compiled.object_code[:4], machine) == (b"\x7fELF", 183)  # EM_AARCH64


def test_layers_whose_names_differ_in_punctuation_only_keep_their_own_constants():
    spec = single_layer_spec()
    first = dataclasses.replace(spec.layers[0], name="a.b")
    second = dataclasses.replace(spec.layers[0], name="a_b", source="a.b")
    compiled = build_plan(random_network(dataclasses.replace(spec, layers=(first, second))), 4, 4, avx2_target())
    assert [call.layer for call in compiled.plan.calls] == ["a.b", "a_b"]
    weights = [call.operands[call.names.index("weight")].offset for call in compiled.plan.calls]
    assert len(set(weights)) == 2


@pytest.mark.parametrize("size", [(0, 16), (12, 16), (16, -8)])
def test_sizes_that_do_not_fit_the_network_are_refused(size):
    with pytest.raises(UserError, match="multiples of 8"):
        build_plan(random_network(tiny_spec()), *size, avx2_target())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"residual_scale": np.float32(126)}, "scales its residual stem by 126; kernels take 0 to 125"),
        ({"residual_scale": np.float32("nan")}, "scales its residual stem by nan"),
        ({"bias": np.full(8, 2**31 - 1, np.int32)}, "may reach .* over int32's 2,147,483,647"),
        ({"scale": np.full(8, 1e6, np.float32)}, "channel 0 has scale 1e.06, with which sums up to .* leave int32"),
        ({"scale": np.full(8, np.nan, np.float32)}, "channel 0 has scale nan"),
    ],
)
def test_numbers_that_would_differ_between_processors_are_refused(change, message):
    network = random_network(tiny_spec())
    index = [layer.spec.name for layer in network.layers].index("enc0.0.b")
    layers = list(network.layers)
    layers[index] = dataclasses.replace(layers[index], **change)
    with pytest.raises(UserError, match=message):
        build_plan(dataclasses.replace(network, layers=tuple(layers)), 16, 24, avx2_target())


def test_schedules_that_do_not_fit_their_layer_are_refused():
    with pytest.raises(UserError, match=r"does not fit layer stem .* block_vectors must divide 1"):
        build_plan(random_network(tiny_spec()), 16, 24, avx2_target(), {"stem": Schedule(4, 6, 2, 1)})
    with pytest.raises(UserError, match="Winograd's method takes 3x3 convolutions of stride 1"):
        build_plan(random_network(tiny_spec()), 16, 24, avx2_target(), {"up0": Schedule(4, 6, 2, 1, "winograd")})
