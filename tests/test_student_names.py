"""Layers keep apart whatever they are called: names that differ only in dots, names that torch's modules use."""

import torch
from kernels import avx2_target, sdot_target
from networks import random_network

from edgedeblur.compile.build import layer_kernels
from edgedeblur.student import IMAGE, TIERS, ConvSpec, Student, StudentSpec, student_spec
from edgedeblur.student.model_file import load_student, save_student

NAMES = ("a.b", "a_b", "a_b_", "a..b", "type", "forward")


def spec_of(names: tuple[str, ...]) -> StudentSpec:
    layers, source = [], IMAGE
    for name in names:
        layers.append(ConvSpec(name, source, 3, 3, 1, residual=IMAGE))
        source = name
    return StudentSpec("names", tuple(layers), names[0], multiple=1)


def test_every_layer_has_a_convolution_of_its_own_and_keeps_it_in_a_file(tmp_path):
    student = Student(spec_of(NAMES))
    assert len({id(student.conv(name)) for name in NAMES}) == len(NAMES)
    for value, name in enumerate(NAMES):
        torch.nn.init.constant_(student.conv(name).bias, float(value))
        assert student.get_submodule(student.module_name(name)) is student.conv(name)
    loaded, _ = load_student(save_student(tmp_path / "s.safetensors", student, {}))
    assert [loaded.conv(name).bias[0].item() for name in NAMES] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_parameters_of_the_tiers_are_called_as_in_the_files_that_there_are():
    for tier in TIERS:
        spec = student_spec(tier)
        assert set(Student(spec).state_dict()) == {
            f"convs.{layer.name.replace('.', '_')}.{kind}" for layer in spec.layers for kind in ("weight", "bias")
        }


def test_kernels_have_names_that_are_identifiers_whatever_their_layers_are_called():
    for target in (avx2_target(), sdot_target()):
        kernels = layer_kernels(random_network(spec_of(NAMES)), 16, 16, target, {})
        assert [kernel.layer.name for kernel in kernels] == list(NAMES)
        assert all(kernel.symbol.isidentifier() and kernel.symbol.isascii() for kernel in kernels)
