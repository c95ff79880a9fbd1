"""Students with gates: what they compute, where they start, and that files and runs without them stay as they were."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open

from edgedeblur.cli.main import cli
from edgedeblur.data.images import write_image
from edgedeblur.distill import distillation
from edgedeblur.distill.distillation import DistillOptions, distill
from edgedeblur.distill.initial import widened
from edgedeblur.errors import UserError
from edgedeblur.generators.networks.unet import UNetConfig, build_unet
from edgedeblur.student import TIERS, Student, build_student, student_spec
from edgedeblur.student.model_file import (
    METADATA_KEY,
    UNET,
    load_student,
    save_model,
    save_student,
    spec_from_config,
    student_config,
)
from edgedeblur.training.muon import Muon
from edgedeblur.training.recipe import Fitting
from edgedeblur.training.session import new_optimiser
from edgedeblur.workflow.shipped import shipped_student

TINY = UNetConfig(widths=(8, 8, 16), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1))
IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def with_random_gates(tier: str, seed: int = 0) -> Student:
    student = build_student(tier, seed, gates=True)
    generator = torch.Generator().manual_seed(seed)
    for parameter in student.gates.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    torch.nn.init.normal_(student.conv("head").weight, std=0.01, generator=generator)
    return student.eval()


@torch.no_grad()
def test_a_gate_is_the_formula_in_numpy():
    """Of the convolution and means in float64: relu(conv(x)) * 2 / (1 + exp(-(G mean + g)))."""
    student = with_random_gates("small")
    tensors = student.activations(IMAGE)
    layer = next(layer for layer in student.spec.layers if layer.name == "dec2.0.a")
    assert layer.gate == "enc3.1.a"
    convolved = student.conv(layer.name)(tensors[layer.source]).double().numpy()
    mean = tensors[layer.gate].double().numpy().mean(axis=(2, 3))
    matrix, bias = (tensor.double().numpy() for tensor in student.gate(layer.name).parameters())
    factors = 2 / (1 + np.exp(-(mean @ matrix.T + bias)))
    assert factors.std() > 0.05
    expected = np.maximum(convolved, 0) * factors[:, :, None, None]
    assert np.allclose(tensors[layer.name], expected, rtol=1e-4, atol=1e-5)


def test_gates_are_on_every_first_convolution_below_the_finest_level():
    gates = {layer.name: layer.gate for layer in student_spec("small", gates=True).layers if layer.gate}
    order = [
        "enc0.1",
        "enc1.0",
        "enc1.1",
        "enc2.0",
        "enc2.1",
        "enc3.0",
        "enc3.1",
        "dec2.0",
        "dec2.1",
        "dec1.0",
        "dec1.1",
    ]
    names = [f"{block}.a" for block in order]
    assert gates == dict(zip(names[1:], names, strict=False))
    assert not any(layer.gate for tier in TIERS for layer in student_spec(tier).layers)
    assert student_spec("nano", gates=True).gated


@pytest.mark.parametrize("tier", TIERS)
def test_a_student_with_fresh_gates_computes_what_it_does_without(tier):
    plain, gated = build_student(tier, 3), build_student(tier, 3, gates=True)
    for student in (plain, gated):
        torch.nn.init.normal_(student.conv("head").weight, std=0.01, generator=torch.Generator().manual_seed(1))
    assert torch.equal(plain(IMAGE), gated(IMAGE))
    assert gated.spec.parameters == sum(parameter.numel() for parameter in gated.parameters())


def test_the_shipped_student_gets_gates_without_effect_and_they_learn():
    shipped, _ = load_student(shipped_student("small"))
    gated = widened(shipped, student_spec("small", gates=True))
    assert gated.spec == student_spec("small", gates=True) and torch.equal(gated(IMAGE), shipped(IMAGE))
    gated(IMAGE).square().mean().backward()
    for name, gate in gated.gates.items():
        assert gate.weight.grad.abs().max() > 0 and gate.bias.grad.abs().max() > 0, name


def test_gates_of_a_narrower_student_are_kept_in_a_wider_one():
    small = with_random_gates("small")
    large = widened(small, student_spec("large", gates=True), 2)
    with torch.no_grad():
        assert torch.allclose(large(IMAGE), small(IMAGE), atol=1e-5)
    assert widened(small, student_spec("large")) is None  # what has gates cannot become a network without


def test_a_file_tells_of_gates_and_one_without_them_is_as_before(tmp_path):
    gated = with_random_gates("nano")
    loaded, _ = load_student(save_student(tmp_path / "gated.safetensors", gated, {}))
    assert loaded.spec == gated.spec and torch.equal(loaded(IMAGE), gated(IMAGE))
    path = save_student(tmp_path / "plain.safetensors", build_student("nano"), {})
    with safe_open(str(path), "np") as file:
        layers = json.loads(file.metadata()[METADATA_KEY])["config"]["layers"]
        names = list(file.keys())
    assert not any("gate" in layer for layer in layers) and not any("gate" in name for name in names)


@pytest.mark.parametrize(
    "layer, gate, told",
    [
        ("enc1.0.a", "enc2.0.a", "not an earlier layer with ReLU"),
        ("enc1.0.a", "stem", "not an earlier layer with ReLU"),
        ("enc1.0.a", "image", "not an earlier layer with ReLU"),
        ("enc1.0.b", "enc1.0.a", "it needs ReLU, no residual"),
    ],
)
def test_gates_that_no_network_has_are_refused(layer, gate, told):
    config = student_config(student_spec("small"))
    for entry in config["layers"]:
        if entry["name"] == layer:
            entry["gate"] = gate
    with pytest.raises(UserError, match=told):
        spec_from_config("student.safetensors", config)


def test_means_of_bfloat16_features_are_taken_in_float32():
    student = with_random_gates("small")
    bright = torch.full((1, 16, 256, 256), 3.0, dtype=torch.bfloat16)  # a sum of 65,536 threes in bfloat16 is 512 or so
    exact = student.factors("enc1.0.a", bright.float())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(student.factors("enc1.0.a", bright).float(), exact, atol=0.02)
        assert student.activations(IMAGE)["enc1.0.a"].dtype == torch.bfloat16


def test_a_gated_student_compiles_as_one_graph():
    """What a step captured as a CUDA graph needs (training/captured.py): nothing that Python must decide in between."""
    student = with_random_gates("nano")
    with torch.no_grad():
        compiled = torch.compile(student, backend="eager", fullgraph=True, dynamic=False)
        assert torch.equal(compiled(IMAGE), student(IMAGE))


def test_muon_takes_the_matrices_of_gates_and_adam_their_biases():
    student = build_student("nano", gates=True)
    optimiser = new_optimiser(student.parameters(), Fitting(optimiser="muon"))
    assert isinstance(optimiser, Muon)
    hidden = {id(parameter) for group in optimiser.param_groups if group["orthogonal"] for parameter in group["params"]}
    for gate in student.gates.values():
        assert id(gate.weight) in hidden and id(gate.bias) not in hidden


@pytest.fixture
def run(tmp_path) -> DistillOptions:
    for number in range(2):
        picture = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        for folder in ("photos", "pairs/blur", "pairs/sharp"):
            write_image(tmp_path / folder / f"{number}.png", picture)
    save_model(tmp_path / "teacher.safetensors", UNET, build_unet(TINY).state_dict(), TINY.to_json(), {})
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[losses]\npsnr = 1.0\nsharp = 0.0\nteacher = 0.0\nfeature = 0.0\nfrequency = 0.0\n")
    return DistillOptions(
        output=tmp_path / "student.safetensors",
        teacher=tmp_path / "teacher.safetensors",
        tier="nano",
        init=shipped_student("nano"),
        recipe=recipe,
        data=(str(tmp_path / "photos"),),
        validation=(str(tmp_path / "pairs"),),
        steps=1,
        batch=1,
        crop=64,
        rate=1e-9,
        device="cpu",
        precision="float32",
        tensorboard=False,
    )


def test_a_recipe_s_gates_are_added_to_a_student_without_and_then_kept(run):
    plain_recipe = run.recipe.read_text()
    run.recipe.write_text("gates = true\n" + plain_recipe)
    gated, _ = load_student(distill(run))
    shipped, _ = load_student(run.init)
    assert gated.spec == student_spec("nano", gates=True)
    with torch.no_grad():
        assert torch.allclose(gated(IMAGE), shipped(IMAGE), atol=1e-4)
    run.recipe.write_text(plain_recipe)
    options = dataclasses.replace(run, init=run.output, output=run.output.with_name("2.safetensors"))
    assert load_student(distill(options))[0].spec.gated


def test_gates_of_the_command_line_count_whatever_the_recipe_says(run, monkeypatch):
    seen = []
    monkeypatch.setattr(distillation, "distill", lambda options, console: seen.append(options) or options.output)
    given = ["--workdir", str(run.output.parent), "--init", "none", "--recipe", str(run.recipe)]
    result = CliRunner().invoke(cli, ["distill", "--gates", *given])
    assert result.exit_code == 0, result.output
    assert seen[0].gates
    assert distillation._recipe(seen[0], torch.device("cpu")).gates
    assert not distillation._recipe(run, torch.device("cpu")).gates
