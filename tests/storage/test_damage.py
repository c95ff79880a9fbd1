"""What used to end in "unexpected ..., this is a defect": one message each now, with the file's name."""

import io
import json
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from model_files import write_quantised, write_student
from networks import random_network, tiny_spec
from safetensors.torch import save_file
from torch import nn

from edgedeblur.cli.main import cli
from edgedeblur.errors import UserError
from edgedeblur.generators.load import load_generator
from edgedeblur.generators.networks.unet import UNetConfig
from edgedeblur.quantize.edq import load_edq, save_edq
from edgedeblur.restore.open import open_model
from edgedeblur.student.model_file import METADATA_KEY, UNET, save_model
from edgedeblur.training.state import TrainingState


def run_fails(*arguments: object) -> str:
    """The message of a command that ends with exit code 1 or 2."""
    result = CliRunner().invoke(cli, [str(each) for each in arguments])
    assert result.exit_code in (1, 2), result.output
    assert f"\n{result.stderr}".count("\nerror: ") == 1 and "unexpected" not in result.stderr, result.stderr
    return result.stderr


def edited_zip(source: Path, destination: Path, change) -> Path:
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(destination, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return destination


def test_an_npy_header_that_is_no_python_literal_is_refused(tmp_path):
    whole = write_quantised(tmp_path / "a.edq")

    def change(members):
        stream = io.BytesIO(members["arrays/stem.bias.npy"])
        np.lib.format.read_magic(stream)
        data = bytearray(members["arrays/stem.bias.npy"])
        data[10:14] = b"(((["  # numpy's parser reports an unclosed bracket as tokenize.TokenError
        members["arrays/stem.bias.npy"] = bytes(data)

    with pytest.raises(UserError, match=r"b.edq: arrays/stem.bias.npy: not an .npy array"):
        load_edq(edited_zip(whole, tmp_path / "b.edq", change))


@pytest.mark.parametrize("name", ["edq", "pth"])
def test_a_member_name_that_is_not_in_its_encoding_is_refused(tmp_path, name):
    whole, broken = tmp_path / f"a.{name}", tmp_path / f"b.{name}"
    if name == "edq":
        write_quantised(whole)
    else:
        torch.save({"a": torch.zeros(2)}, whole)
    data = bytearray(whole.read_bytes())
    entry = data.index(b"PK\1\2")  # the directory's first entry: flags at 8, the name at 46
    struct.pack_into("<H", data, entry + 8, 0x800)  # "names are UTF-8"
    data[entry + 46] = 0xFF
    broken.write_bytes(data)
    with pytest.raises(UserError, match=str(broken)):
        open_model(broken)


@pytest.mark.parametrize("own", ["[]", "5", '"text"', '{"kind": 5}', "{", '{"a": 1e999}', "[" * 100_000])
def test_metadata_that_is_no_header_is_refused(tmp_path, own):
    path = tmp_path / "a.safetensors"
    save_file({"w": torch.zeros(2)}, path, metadata={METADATA_KEY: own})
    assert str(path) in run_fails("inspect", path)


def test_a_unet_that_says_it_is_huge_takes_no_memory(tmp_path):
    """Its configuration would need 20 GB of weights, which the file does not have."""
    config = UNetConfig((1024,) * 6, (64,) * 6, (64,) * 5, 160)
    save_model(tmp_path / "huge.safetensors", UNET, {"stem.weight": torch.zeros(3)}, config.to_json(), {})
    with pytest.raises(UserError, match="lacks"):
        load_generator(tmp_path / "huge.safetensors")


def state() -> TrainingState:
    network = nn.Conv2d(3, 4, 3)
    optimiser = torch.optim.AdamW(network.parameters(), 0.1)
    return TrainingState(
        {"net": network}, {"net": optimiser}, torch.amp.GradScaler("cpu", enabled=False), 0.9, {"a": 1}
    )


def whole_state(path: Path) -> dict:
    state().save(path)
    return torch.load(path)


FOREIGN = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello"),
    "zip of another program": lambda path: edited_zip(write_quantised(path.with_suffix(".edq")), path, lambda m: None),
    "weights": lambda path: torch.save({"w": torch.zeros(3)}, path),
    "a tensor": lambda path: torch.save(torch.zeros(3), path),
    "a whole module": lambda path: torch.save(nn.Conv2d(3, 3, 3), path),
    "a step that is text": lambda path: torch.save(whole_state(path) | {"step": "5"}, path),
    "seconds that are NaN": lambda path: torch.save(whole_state(path) | {"seconds": float("nan")}, path),
    "optimisers of nothing": lambda path: torch.save(whole_state(path) | {"optimisers": {}}, path),
    "networks of numbers": lambda path: torch.save(whole_state(path) | {"networks": {"net": 5}}, path),
    "an identity of tensors": lambda path: torch.save(whole_state(path) | {"identity": {"a": torch.zeros(2)}}, path),
    "random numbers of another kind": lambda path: torch.save(whole_state(path) | {"random": torch.zeros(3)}, path),
}


@pytest.mark.parametrize("content", FOREIGN)
def test_a_foreign_training_state_is_refused_with_what_to_do(tmp_path, content):
    path = tmp_path / "student.state.pt"
    FOREIGN[content](path)
    with pytest.raises(UserError) as refused:
        state().restore(path)
    assert str(path) in refused.value.message and refused.value.fix.endswith(f"rm {path}")


def test_a_state_that_is_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "student.state.pt")
    with pytest.raises(UserError, match="is a named pipe"):
        state().restore(tmp_path / "student.state.pt")


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_run_says_what_to_do_about_a_state_that_it_cannot_go_on_from(tmp_path, monkeypatch, content):
    """`run` has no --resume to leave out: it resumes by itself from a distillation that was interrupted."""
    monkeypatch.chdir(tmp_path)
    arguments = ("run", "--tier", "nano", "--steps", "1", "--target", "x86-64-v3")
    work = tmp_path / "edgedeblur-work"
    work.mkdir()
    (work / "student.state.pt").write_bytes(content)
    from edgedeblur.workflow import resume

    monkeypatch.setattr(resume, "_read_state", lambda path: {"distill": {"key": "k", "outputs": None}})
    monkeypatch.setattr(resume, "_key", lambda step: "k")
    message = run_fails(*arguments)
    assert "student.state.pt" in message and "rm " in message and "--resume" not in message


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [pipe, endless])
@pytest.mark.parametrize(
    "arguments",
    [
        ("deblur", "FILE.png", "out.png", "-m", "student.safetensors"),
        ("deblur", "FILE.avi", "out.avi", "-m", "student.safetensors"),
        ("inspect", "FILE"),
        ("quantize", "FILE"),
        ("quantize", "student.safetensors", "--calibration", "FILE.png"),
        ("compile", "FILE.edq"),
        ("compile", "network.edq", "--target", "./FILE.toml"),
        ("report", "FILE.json"),
        ("train", "--recipe", "FILE.toml", "--steps", "1"),
        ("distill", "--recipe", "FILE.toml", "--steps", "1"),
        ("distill", "--teacher", "FILE", "--steps", "1"),
        ("synth", "out", "--recipe", "FILE.toml"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_no_command_waits_for_a_pipe_or_reads_an_endless_file(tmp_path, monkeypatch, make, arguments):
    monkeypatch.chdir(tmp_path)
    write_student(Path("student.safetensors"))
    save_edq(random_network(tiny_spec()), Path("network.edq"))
    (name,) = (each for each in arguments if "FILE" in each)
    make(Path(name))
    assert "not a regular file" in run_fails(*arguments)


def test_a_manifest_with_wrong_types_is_refused_with_the_key(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": 1, "name": 5}))
    assert "damaged" in run_fails("inspect", tmp_path)
