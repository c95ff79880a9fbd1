"""The float16 form on every OpenCL of this machine, and as PTX, against the student in torch: rounded where the kernels
store, and in float32."""

import dataclasses

import numpy as np
import pytest
import torch
from half_students import random_student
from networks import gated_spec, mobile_spec, pieces_spec, random_network, tiny_spec
from opencl import build, builds, image_of, image_words, needs_opencl, run_plan
from ptx import run_ptx
from test_cuda_kernels import ptxas, spills

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.dump import nowhere
from edgedeblur.compile.gpu.build import GpuPlan, build_gpu_plan
from edgedeblur.compile.gpu.half.network import half_network
from edgedeblur.compile.gpu.half.reference import make_reference, restore_in_float16, restore_in_float32
from edgedeblur.compile.gpu.part import build_gpu_part
from edgedeblur.errors import UserError

SIZE = (16, 40)


def difference(found: np.ndarray, expected: np.ndarray) -> tuple[int, float]:
    """The most levels, and the share of bytes that differ."""
    levels = np.abs(found.astype(int) - expected)
    return int(levels.max()), float((levels > 0).mean())


def spoilt(plan: GpuPlan, kernel: str) -> GpuPlan:
    """The plan with one weight of a layer multiplied by minus one, in both halves of a word."""
    call = next(one for one in plan.calls if one.layer == kernel and one.macs)
    constants = bytearray(plan.constants)
    weight = max(
        (plan.buffers[at] for at in call.arguments if plan.buffers[at].place == "constant"), key=lambda b: b.bytes
    )
    constants[weight.offset + 1] ^= 0x80
    constants[weight.offset + 3] ^= 0x80
    return dataclasses.replace(plan, constants=bytes(constants))


@needs_opencl
@pytest.mark.parametrize("spec", [gated_spec(), mobile_spec()], ids=lambda spec: spec.name)
def test_kernels_compute_the_student_with_float16_in_memory(spec):
    student = random_student(spec)
    plan = build_gpu_plan(half_network(student), *SIZE)
    image = np.random.default_rng(1).integers(0, 256, (*SIZE, 3), np.uint8)
    rounded, exact = restore_in_float16(student, image), restore_in_float32(student, image)
    assert len(np.unique(exact)) > 100, "a picture, not black and white"
    for device, options in builds():
        built = build(device, plan.text, options)
        found = image_of(run_plan(built, plan, image_words(image)), image.shape)
        levels, share = difference(found, rounded)
        assert levels <= 1 and share < 0.05, (device.name, levels, share)
        assert difference(found, exact)[0] <= difference(rounded, exact)[0] + 1
        wrong = image_of(run_plan(built, spoilt(plan, spec.layers[0].name), image_words(image)), image.shape)
        assert difference(wrong, exact)[0] > 3


def test_the_reference_is_the_float_student_and_says_how_far_float16_is_from_it():
    student = random_student(tiny_spec())
    reference = make_reference(student, *SIZE)
    assert reference.restored.shape == (*SIZE, 3) and 0 <= reference.levels <= 2
    assert reference.levels < reference.tolerance <= 4


def test_what_float16_cannot_hold_is_refused():
    student = random_student(tiny_spec())
    weight = student.conv("down1").weight
    with torch.no_grad():
        weight[0, 0, 0, 0] = 70000.0
        with pytest.raises(UserError, match="layer down1 has a weight of 70000; float16 holds 65504"):
            half_network(student)
        weight[0, 0, 0, 0] = 0.0
        for name, factor in (("stem", 3e4), ("enc0.0.a", 1e3)):  # activations beyond float16
            student.conv(name).weight.mul_(factor)
    with pytest.raises(UserError, match="float16 changes the self-test's picture by .* levels; at most 8 are rounding"):
        make_reference(student, *SIZE)


def test_networks_without_a_float16_form_are_refused():
    with pytest.raises(UserError, match="has no weights") as refused:
        half_network(random_student(pieces_spec()))
    assert refused.value.exit_code == 2
    given = ([SIZE], load_target("opencl"), None, nowhere, print)
    with pytest.raises(UserError, match="the student has other layers"):
        build_gpu_part(random_network(tiny_spec()), *given, random_student(gated_spec()))


def test_the_ptx_computes_the_same_and_keeps_all_in_registers(tmp_path):
    student = random_student(gated_spec())
    plan = build_gpu_plan(half_network(student), 8, 16, "cuda")
    image = np.random.default_rng(2).integers(0, 256, (8, 16, 3), np.uint8)
    levels, share = difference(run_ptx(plan, image), restore_in_float16(student, image))
    assert levels <= 1 and share < 0.05
    assert "fma.rn.f32" in plan.ptx and ".local" not in plan.ptx
    assert ptxas() is None or spills(plan.ptx, tmp_path) == 0


def test_schedules_tuned_for_int8_are_not_taken():
    said = []
    student = random_student(tiny_spec())
    part = build_gpu_part(
        random_network(tiny_spec()), [SIZE], load_target("opencl"), None, nowhere, said.append, student
    )
    assert {chosen.source for chosen in part.schedules.values()} == {"default"}
    assert said[0] == "writing opencl kernels for a GPU, in fp16: not the interpreter's bytes"
    assert part.reference is not None and "ed_dot_half" in part.plan.text
