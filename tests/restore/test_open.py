"""Any model opens by its content and restores images of any size; what is not a model is refused with the list."""

import dataclasses

import numpy as np
import pytest
import torch
from model_files import photo, write_bad_models, write_quantised, write_student, write_teacher
from networks import gated_spec, random_network, tiny_spec

from edgedeblur.errors import UserError
from edgedeblur.generators.load import load_generator
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.edq import load_edq, save_edq
from edgedeblur.restore.kinds import ACCEPTED, model_kind
from edgedeblur.restore.open import open_model
from edgedeblur.student.model_file import load_student

WRITERS = {"teacher": write_teacher, "student": write_student, "quantised": write_quantised}
BAD = ["text.txt", "empty.pth", "photo.png", "json.safetensors", "cut.edq", "empty-folder", "missing"]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_model_is_told_by_its_content_whatever_its_name(tmp_path, kind):
    path = WRITERS[kind](tmp_path / "model.bin")
    restorer = open_model(path)
    assert model_kind(path) == restorer.kind == kind
    assert restorer.name == "model" and restorer.parameters > 0 and restorer.gmac > 0


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (64, 64), (61, 33)])
@pytest.mark.parametrize("kind", WRITERS)
def test_every_model_restores_images_of_any_size(tmp_path, kind, size):
    restored = open_model(WRITERS[kind](tmp_path / "model")).restore(photo(*size))
    assert restored.shape == (*size, 3) and restored.dtype == np.uint8


def test_a_student_gives_the_rounded_and_clamped_output_of_the_float_network(tmp_path):
    path = write_student(tmp_path / "student.safetensors")
    image = photo(64, 48)
    student, _ = load_student(path)
    with torch.no_grad():
        expected = student(torch.tensor(image.transpose(2, 0, 1)[None] / np.float32(255)))[0].numpy()
    expected = np.clip(np.rint(expected.transpose(1, 2, 0) * 255), 0, 255)
    difference = np.abs(open_model(path).restore(image) - expected)
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3


def test_a_quantised_network_gives_the_interpreters_bytes(tmp_path):
    path = write_quantised(tmp_path / "quantised.edq")
    image = photo(64, 48)
    np.testing.assert_array_equal(open_model(path).restore(image), interpreter.run(load_edq(path), image))


@pytest.mark.parametrize(("spec", "tiles"), [(gated_spec(), (512, 4)), (tiny_spec(), (704, 1))])
def test_networks_with_gates_see_no_tiles_that_are_much_larger_than_what_they_learned_with(tmp_path, spec, tiles):
    save_edq(random_network(spec), tmp_path / "a.edq")
    restorer, seen = open_model(tmp_path / "a.edq"), []
    watched = dataclasses.replace(restorer, run=lambda image: (seen.append(image.shape[:2]), image)[1])
    image = np.resize(photo(64, 64), (520, 700, 3))
    np.testing.assert_array_equal(watched.restore(image), image)
    assert (max(max(size) for size in seen), len(seen)) == tiles


def test_a_teacher_pads_by_its_own_rule(tmp_path):
    path = write_teacher(tmp_path / "teacher.safetensors")
    image = photo(50, 37)
    np.testing.assert_array_equal(open_model(path).restore(image), load_generator(path).restore(image))


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_a_model_is_refused_with_the_list_of_what_is(tmp_path, name):
    path = write_bad_models(tmp_path)[name]
    with pytest.raises(UserError, match=str(path)) as raised:
        open_model(path)
    assert raised.value.fix == ACCEPTED


def test_an_option_of_another_family_is_refused(tmp_path):
    with pytest.raises(UserError, match="bn does not apply"):
        open_model(write_teacher(tmp_path / "teacher.safetensors"), bn="running")


def test_a_safetensors_header_whose_length_begins_like_a_pickle_is_still_one(tmp_path):
    header = b'{"__metadata__": {"edgedeblur": "{\\"kind\\": \\"student\\"}"}}'.ljust(0x180)
    path = tmp_path / "student.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert path.read_bytes()[:1] == b"\x80"
    assert model_kind(path) == "student"
