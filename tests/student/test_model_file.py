"""Model files come back as they were written, and every damaged one becomes a message."""

import json

import numpy as np
import pytest
import safetensors.numpy
import torch
from safetensors.torch import load_file, save_file

from edgedeblur.errors import UserError
from edgedeblur.student import TIERS, build_student, student_spec
from edgedeblur.student.model_file import (
    METADATA_KEY,
    STUDENT,
    UNET,
    is_model_file,
    load_student,
    read_model,
    save_model,
    save_student,
    student_config,
)


@pytest.fixture(scope="module")
def nano(tmp_path_factory):
    path = tmp_path_factory.mktemp("student") / "nano.safetensors"
    student = build_student("nano", seed=3)
    torch.nn.init.normal_(student.conv("head").weight)
    save_student(path, student, {"teacher": "none"})
    return path, student


def test_a_student_comes_back_with_its_weights_layers_and_metadata(nano):
    path, student = nano
    loaded, metadata = load_student(path)
    assert metadata == {"teacher": "none"}
    assert loaded.spec == student.spec and not loaded.training
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(loaded(image), student(image))


def test_loading_leaves_the_random_generator_alone(nano):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    load_student(nano[0])
    assert torch.equal(torch.rand(3), expected)


def test_the_same_model_gives_the_same_bytes(nano, tmp_path):
    path, student = nano
    assert save_student(tmp_path / "again.safetensors", student, {"teacher": "none"}).read_bytes() == path.read_bytes()


def test_a_file_can_be_read_without_edgedeblur(nano):
    """By safetensors alone: plain tensors, and JSON that names every layer."""
    path, student = nano
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    config = json.loads(header["__metadata__"][METADATA_KEY])["config"]
    assert [layer["name"] for layer in config["layers"]] == [layer.name for layer in student.spec.layers]
    stem = safetensors.numpy.load_file(path)["convs.stem.weight"]
    assert np.array_equal(stem, student.conv("stem").weight.detach().numpy())


def test_half_precision_halves_the_file_and_rounds_the_weights(nano, tmp_path):
    path, student = nano
    half = save_student(tmp_path / "half.safetensors", student, {}, half=True)
    assert half.stat().st_size < 0.55 * path.stat().st_size
    loaded, _ = load_student(half)
    weight = student.conv("stem").weight
    assert torch.equal(loaded.conv("stem").weight, weight.half().float())


@pytest.mark.parametrize("tier", TIERS)
def test_every_tier_survives_the_way_through_json(tier, tmp_path):
    student = build_student(tier)
    assert load_student(save_student(tmp_path / "s.safetensors", student, {}))[0].spec == student_spec(tier)


def rewritten(path, target, change_header=lambda header: header, change_state=lambda state: state):
    model = read_model(path)
    header = {"format": 1, "kind": STUDENT, "config": model.config, "metadata": {}}
    save_file(change_state(dict(model.state)), target, metadata={METADATA_KEY: json.dumps(change_header(header))})
    return target


def without_stem(state):
    state.pop("convs.stem.bias")
    return state


STATES = {
    "lacks 'convs.stem.bias'": without_stem,
    "unexpected tensor 'more'": lambda state: state | {"more": torch.zeros(1)},
    "has shape": lambda state: state | {"convs.stem.bias": torch.zeros(5)},
    "NaN or infinite": lambda state: state | {"convs.stem.bias": torch.full((32,), torch.nan)},
}


@pytest.mark.parametrize("message", STATES)
def test_tensors_that_do_not_fit_the_layers_are_named(nano, tmp_path, message):
    path = rewritten(nano[0], tmp_path / "bad.safetensors", change_state=STATES[message])
    with pytest.raises(UserError, match=message):
        load_student(path)


def with_layer(number, **changes):
    def change(header):
        header["config"]["layers"][number].update(changes)
        return header

    return change


HEADERS = {
    "not a student": lambda header: header | {"kind": UNET},
    "another edgedeblur version": lambda header: header | {"format": 99},
    "does not describe a student: key tier is missing": lambda header: header | {"config": {}},
    "reads 'nowhere'": with_layer(1, source="nowhere"),
    "takes 24 channels": with_layer(1, in_channels=24),
    "kernel is 4; allowed": with_layer(1, kernel=4),
    "12 to -4 channels": with_layer(0, out_channels=-4),
    "12 to 9000 channels": with_layer(0, out_channels=9000),
    "another shape": with_layer(-1, residual="stem"),
    "space_to_depth is 7": with_layer(0, space_to_depth=7),
    r"unknown key layers\[0\].padding": with_layer(0, padding=2),
    "dilation is 3; allowed are 1, 2": with_layer(0, dilation=3),
}


@pytest.mark.parametrize("message", HEADERS)
def test_headers_that_describe_no_student_are_refused(nano, tmp_path, message):
    path = rewritten(nano[0], tmp_path / "bad.safetensors", change_header=HEADERS[message])
    with pytest.raises(UserError, match=message):
        load_student(path)


def test_five_million_parameters_are_refused_before_they_are_built(nano, tmp_path):
    def widened(header):
        header["config"]["layers"] = [
            {"name": "wide", "source": "image", "in_channels": 3, "out_channels": 4000, "kernel": 3},
            {"name": "deep", "source": "wide", "in_channels": 4000, "out_channels": 4000, "kernel": 3},
            {"name": "head", "source": "deep", "in_channels": 4000, "out_channels": 3, "kernel": 3},
        ]
        return header | {"config": header["config"] | {"bottleneck": "deep"}}

    path = rewritten(nano[0], tmp_path / "wide.safetensors", change_header=widened)
    with pytest.raises(UserError, match=r"144,\d+,\d+ parameters.*fewer than 5,000,000"):
        load_student(path)


def test_a_file_without_our_metadata_is_another_model(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    assert not is_model_file(path)
    with pytest.raises(UserError, match="without edgedeblur's metadata"):
        read_model(path)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\xff" * 64])
def test_files_that_are_not_safetensors_are_refused(tmp_path, content):
    path = tmp_path / "noise.safetensors"
    path.write_bytes(content)
    assert not is_model_file(path)
    with pytest.raises(UserError, match="not a whole safetensors file"):
        read_model(path)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_truncated_file_is_refused(nano, tmp_path, share):
    content = nano[0].read_bytes()
    path = tmp_path / "short.safetensors"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_student(path)


def test_a_missing_file_is_a_message(tmp_path):
    with pytest.raises(UserError, match="no model file"):
        load_student(tmp_path / "none.safetensors")


def test_weights_that_overflow_float16_are_not_written(tmp_path):
    with pytest.raises(UserError, match="infinite"):
        save_model(tmp_path / "big.safetensors", UNET, {"w": torch.tensor([1e6])}, {}, {}, half=True)
    assert not list(tmp_path.iterdir())


def test_float16_files_are_stored_as_float16(nano, tmp_path):
    path = save_student(tmp_path / "half.safetensors", nano[1], {}, half=True)
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}


def test_a_config_is_plain_json():
    config = student_config(student_spec("small"))
    assert json.loads(json.dumps(config)) == config
