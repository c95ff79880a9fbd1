"""Distillation and quantisation of networks that are no tiers: fresh, from a module's weights, from their own file."""

from pathlib import Path

import own_networks
import pytest
import torch
from click.testing import CliRunner
from model_files import photo, write_teacher

from edgedeblur.cli.main import cli
from edgedeblur.data.images import write_image
from edgedeblur.distill.distillation import distill
from edgedeblur.errors import UserError
from edgedeblur.quantize.edq import load_edq
from edgedeblur.student import IMAGE
from edgedeblur.student.model_file import load_student
from edgedeblur.workflow.distill import distill_options
from edgedeblur.workflow.workdir import WorkDir

OWN = """
name = "own"
[[layers]]
name = "first"
out_channels = 12
depth_to_space = 2
space_to_depth = 4
[[layers]]
name = "deep"
out_channels = 8
space_to_depth = 4
relu = true
[[layers]]
name = "last"
out_channels = 192
depth_to_space = 8
residual = "image"
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A current folder with a teacher, photographs, pairs and a network as TOML."""
    monkeypatch.chdir(tmp_path)
    write_teacher(Path("teacher.safetensors"))
    for name in ("photos/1.png", "pairs/blur/1.png", "pairs/sharp/1.png"):
        write_image(Path(name), photo(64, 64))
    Path("own.toml").write_text(OWN)
    return tmp_path


def distilled(init: str | None = None, **given) -> Path:
    tiny = {"data": ("photos",), "validation": ("pairs",), "batch": 1, "crop": 32, "steps": 1}
    tiny |= {"device": "cpu", "precision": "float32", "tensorboard": False, "output": Path("student.safetensors")}
    options = {"student": "own.toml"} | tiny | given
    return distill(distill_options(WorkDir(Path("work")), Path("teacher.safetensors"), "small", init, **options))


def test_a_network_in_a_toml_file_is_distilled_and_goes_on_from_its_own_file(here):
    student, facts = load_student(distilled())
    assert [layer.name for layer in student.spec.layers] == ["first", "deep", "last"]
    assert facts["tier"] == student.spec.name == "own" and facts["parameters"] == student.spec.parameters
    again = distilled("student.safetensors", student="student.safetensors", output=Path("again.safetensors"))
    assert load_student(again)[0].spec == student.spec


def test_a_student_of_other_layers_is_not_gone_on_from_and_the_way_is_told(here):
    distilled()
    with pytest.raises(UserError, match="of other layers, own; asked for is small") as refused:
        distilled("student.safetensors", student=None, output=Path("again.safetensors"))
    assert refused.value.fix.endswith("--student student.safetensors --init student.safetensors")


def test_a_module_s_weights_are_what_a_distillation_starts_from(here):
    network = own_networks.everything()
    torch.save(network.state_dict(), "trained.pth")
    student, _ = load_student(distilled("trained.pth", student="own_networks:everything", rate=1e-9))
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(student(image).clamp(0, 1), network(image), atol=1e-3)
    assert student.spec.layers[-1].residual == IMAGE


def test_shipped_weights_and_gates_are_for_tiers(here):
    with pytest.raises(UserError, match=r"no weights ship for own\.toml"):
        distilled("shipped")
    with pytest.raises(UserError, match=r"--gates is for tiers; own\.toml has none"):
        distilled(gates=True)


def quantize(*arguments: str):
    options = ["--calibration", "pairs", "--finetune-steps", "0", "--observer", "mse", "-o", "own.edq"]
    return CliRunner().invoke(cli, ["quantize", *arguments, *options])


def test_a_trained_module_is_quantised_as_it_is(here):
    torch.save(own_networks.everything().state_dict(), "trained.pth")
    result = quantize("--student", "own_networks:everything", "--weights", "trained.pth")
    assert result.exit_code == 0, result.output
    assert "parameters," in result.stderr and "within the budget of 6 GMAC" in result.stderr
    network = load_edq("own.edq")
    assert network.spec.name == "everything" and len(network.layers) == 7
    assert network.provenance["student_sha256"]


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["--student", "own_networks:untaken"], 2, "3 operators are not taken"),
        (["trained.pth"], 1, "--student package.module:callable --weights trained.pth"),
        (["own.toml"], 2, "add --weights FILE"),
        (["own.toml", "--student", "own_networks:everything"], 2, "not both"),
        (["nothing.onnx"], 2, "no file nothing.onnx"),
        (["--student", "own_networks:nothing"], 2, "no callable 'nothing'"),
    ],
)
def test_what_cannot_be_quantised_is_told_in_one_message(here, arguments, code, message):
    torch.save({"weight": torch.zeros(3)}, "trained.pth")
    result = quantize(*arguments)
    assert result.exit_code == code and message in result.stderr
    assert "Traceback" not in result.output and not Path("own.edq").exists()
