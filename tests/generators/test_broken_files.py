"""Files that are no generators: one clear message each, nothing executed, nothing unpacked."""

import contextlib
import os
import pickle
import random
import re
import struct
import subprocess
import sys
import zipfile

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

from edgedeblur.cli.main import cli
from edgedeblur.errors import UserError
from edgedeblur.generators.load import load_generator
from edgedeblur.student import build_student
from edgedeblur.student.model_file import STUDENT, save_model, student_config


class Touch:
    """Unpickling this creates a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def refusal(path) -> str:
    with pytest.raises(UserError) as refused:
        load_generator(path)
    return str(refused.value)


def _changed(state, **changes):
    return state | {name.replace("__", "."): tensor for name, tensor in changes.items()}


def truncated(path, state):
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-3000])


def truncated_legacy(path, state):
    torch.save(state, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-3000])


def truncated_safetensors(path, state):
    save_file(state, path)
    path.write_bytes(path.read_bytes()[:-3000])


def empty(path, state):
    path.write_bytes(b"")


def text(path, state):
    path.write_text("<!DOCTYPE html>\n<title>Google Drive - Virus scan warning</title>")


def folder(path, state):
    path.mkdir()


def absent(path, state):
    pass


def pipe(path, state):
    os.mkfifo(path)


def tflite(path, state):
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(200))


def keras_hdf5(path, state):
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(200))


def plain_pickle(path, state):
    path.write_bytes(pickle.dumps({"a": 1}))


def other_zip(path, state):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "hello")


def zip_bomb(path, state):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(32 * 2**20))


def tensor_list(path, state):
    torch.save(list(state.values()), path)


def no_tensors(path, state):
    torch.save({"epoch": 3, "lr": 1e-4}, path)


def whole_module(path, state):
    torch.save(nn.Conv2d(3, 3, 3), path)


def stretched(path, state):
    torch.save(_changed(state, model__1__weight=torch.zeros(1).expand(4096, 4096, 4096, 4)), path)


def sparse(path, state):
    torch.save(_changed(state, model__1__weight=torch.zeros(5, 3, 7, 7).to_sparse()), path)


def renamed(path, state):
    torch.save({name.replace("conv_block", "block"): tensor for name, tensor in state.items()}, path)


def other_network(path, state):
    torch.save({f"down.{index}.weight": torch.zeros(4, 3, 3, 3) for index in range(6)}, path)


def wrong_ngf(path, state):
    torch.save(_changed(state, model__4__weight=torch.zeros(12, 6, 3, 3)), path)


def one_missing(path, state):
    torch.save({name: tensor for name, tensor in state.items() if name != "model.23.bias"}, path)


def not_a_number(path, state):
    torch.save(_changed(state, model__7__weight=state["model.7.weight"] * float("nan")), path)


def infinite(path, state):
    bias = state["model.7.bias"].clone()
    bias[3] = float("inf")
    torch.save(_changed(state, model__7__bias=bias), path)


def too_large_for_float32(path, state):
    torch.save(_changed(state, model__7__bias=state["model.7.bias"].double() + 1e300), path)


def whole_numbers(path, state):
    torch.save({name: tensor.to(torch.int8) for name, tensor in state.items()}, path)


def half_precision(path, state):
    torch.save({name: tensor.half() for name, tensor in state.items()}, path)


def discriminator(path, state):
    torch.save({f"model.{index}.weight": torch.zeros(4, 3, 4, 4) for index in (0, 2, 5, 8, 11)}, path)


def pickle_that_runs_code(path, state):
    torch.save({"model": state, "options": Touch(path.with_name("executed"))}, path)


def model_of_another_kind(path, state):
    save_model(path, "upscaler", state, {}, {})


def student_without_a_layer(path, state):
    student = build_student("nano")
    weights = {name: tensor for name, tensor in student.state_dict().items() if not name.startswith("convs.stem")}
    save_model(path, STUDENT, weights, student_config(student.spec), {})


BROKEN = {
    truncated: "truncated or damaged",
    truncated_legacy: "truncated or damaged",
    truncated_safetensors: "not a whole safetensors file",
    empty: r"is empty \(0 bytes\)",
    text: "is a text file, not a file of generator weights",
    folder: "is a folder",
    absent: "does not exist",
    pipe: "is a named pipe, not a regular file",
    tflite: "is a TensorFlow Lite model",
    keras_hdf5: "is an HDF5 file",
    plain_pickle: "is a pickle that torch did not write",
    other_zip: "a zip archive but not a torch file: it holds word/document.xml",
    zip_bomb: "says that it unpacks to 33,554,432; .* It was not unpacked",
    tensor_list: "holds a list, not a dict of tensors",
    no_tensors: "holds no tensors, but 'epoch', 'lr'",
    whole_module: "asks to call torch.nn.modules.conv.Conv2d while loading; .* nothing was executed",
    stretched: r"model.1.weight declares shape \[4096, 4096, 4096, 4\] but holds 4 bytes",
    sparse: "model.1.weight is not a plain dense tensor",
    renamed: "(?s)v1 ResNet +12 of 36.*Nearest is DeblurGAN v1.*missing: model.10.conv_.*unexpected: model.10.block",
    other_network: "(?s)DeblurGAN v1 ResNet .*fpn_mobilenet .*fpn_inception .*U-Net.*None is near.*down.0.weight",
    wrong_ngf: r"(?s)Nearest is DeblurGAN v1.*model.4.weight \[12, 6, 3, 3\], expected \[10, 5, 3, 3\]",
    one_missing: "(?s)Nearest is DeblurGAN v1.*missing: model.23.bias",
    not_a_number: "model.7.weight has 1800 of 1800 weights that are NaN or infinite",
    infinite: "model.7.bias has 1 of 20 weights that are NaN or infinite",
    too_large_for_float32: "model.7.bias has 20 of 20 weights that are NaN or infinite",
    half_precision: r"(?s)stores 36 of 36 tensors in half precision \(torch.float16\).*--accept-half",
    discriminator: "(?s)Looked for.*None is near. The file has 5 tensors: model.0.weight",
    pickle_that_runs_code: "asks to call .*open while loading; .* nothing was executed",
    whole_numbers: "model.1.weight is torch.int8, not a floating type",
    model_of_another_kind: "holds an? upscaler, not a generator",
    student_without_a_layer: "lacks 'convs.stem",
}


@pytest.mark.parametrize("make", BROKEN, ids=lambda make: make.__name__)
def test_a_broken_file_gives_one_clear_message(make, small_v1_state, tmp_path):
    path = tmp_path / "weights.pth"
    make(path, dict(small_v1_state))
    with pytest.raises(UserError, match=BROKEN[make]) as refused:
        load_generator(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("make", BROKEN, ids=lambda make: make.__name__)
def test_distill_with_a_broken_teacher_ends_with_that_message_and_code_1(make, small_v1_state, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    make(path, dict(small_v1_state))
    files = sorted(tmp_path.iterdir())
    result = CliRunner().invoke(cli, ["distill", "--teacher", str(path), "--steps", "1"])
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.startswith("error: ") and result.stderr.count("error: ") == 1
    assert re.search(BROKEN[make], result.stderr) and "Traceback" not in result.stderr
    assert sorted(tmp_path.iterdir()) == files  # nothing written, and nothing executed that would have


def test_the_real_program_refuses_a_pickle_that_would_run_code(small_v1_state, tmp_path):
    path, marker = tmp_path / "weights.pth", tmp_path / "executed"
    torch.save({"model": small_v1_state, "options": Touch(marker)}, path)
    program = [sys.executable, "-m", "edgedeblur.cli.main", "distill", "--teacher", str(path), "--steps", "1"]
    done = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, env=os.environ)
    assert done.returncode == 1 and "nothing was executed" in done.stderr and "Traceback" not in done.stderr
    assert not marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["the file", "a tensor's place", "a checkpoint's option"])
def test_a_pickle_that_would_run_code_does_not(tmp_path, small_v1_state, zipped, place):
    marker, path = tmp_path / "executed", tmp_path / "weights.pth"
    evil = Touch(marker)
    content = {
        "the file": evil,
        "a tensor's place": small_v1_state | {"model.1.weight": evil},
        "a checkpoint's option": {"model": small_v1_state, "options": evil},
    }[place]
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert "nothing was executed" in refusal(path)
    assert not marker.exists()


def test_a_safetensors_header_larger_than_the_file_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", 2**31) + b'{"a": {}}')
    assert "not a whole safetensors file" in refusal(path)


def test_a_legacy_file_that_declares_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"model.1.bias": torch.zeros(77)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert data.count(b"K\x4d") >= 1  # 77 as a one-byte pickle integer: the storage's size and the shape
    path.write_bytes(data.replace(b"K\x4d", b"J\xff\xff\xff\x7f"))
    assert "truncated or damaged" in refusal(path)


def test_weights_saved_on_a_gpu_load_without_one(monkeypatch, small_v1_state, small_v1, tmp_path):
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:1")
    for zipped in (True, False):
        path = tmp_path / f"gpu{zipped}.pth"
        torch.save(small_v1_state, path, _use_new_zipfile_serialization=zipped)
        assert b"cuda:1" in path.read_bytes()
        image = torch.rand(1, 3, 8, 8)
        assert torch.equal(load_generator(path)(image), load_generator(small_v1)(image))


def test_a_file_that_somebody_compressed_is_still_read(small_v1, tmp_path):
    path = tmp_path / "deflated.pth"
    with zipfile.ZipFile(small_v1) as stored, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as deflated:
        for name in stored.namelist():
            deflated.writestr(name, stored.read(name))
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(load_generator(path)(image), load_generator(small_v1)(image))


def test_a_torch_file_named_safetensors_is_still_a_torch_file(small_v1, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(small_v1.read_bytes())
    assert load_generator(path).info.variant == "resnet_6blocks"


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_bytes_give_a_message_or_a_generator_but_never_a_traceback(small_v1_state, tmp_path, zipped):
    path = tmp_path / "weights.pth"
    torch.save(small_v1_state, path, _use_new_zipfile_serialization=zipped)
    data, chance = path.read_bytes(), random.Random(0)
    for _ in range(60):
        damaged = bytearray(data[: chance.choice([len(data), chance.randrange(1, len(data))])])
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(min(len(damaged), 4000))] = chance.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):
            load_generator(path)
