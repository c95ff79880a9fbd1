"""Students as TOML files: the tiers, what is filled in, and what is refused."""

from pathlib import Path

import pytest
from model_files import write_student

from edgedeblur.distill.named_student import named_network, trained_student
from edgedeblur.errors import UserError
from edgedeblur.student import IMAGE, MAX_PARAMETERS, TIERS, ConvSpec, student_spec
from edgedeblur.student.model_file import load_student
from edgedeblur.student.table import cost_sentence, read_student_table, tier_table
from edgedeblur.workflow.shipped import shipped_student

SMALL = """
name = "own"
[[layers]]
name = "stem"
out_channels = 8
space_to_depth = 4
[[layers]]
name = "body"
out_channels = 8
relu = true
[[layers]]
name = "head"
out_channels = 48
depth_to_space = 4
residual = "image"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("tier", TIERS)
def test_a_shipped_student_has_the_layers_of_its_tier_s_file(tier):
    spec = load_student(shipped_student(tier))[0].spec
    assert spec == student_spec(tier, spec.gated)
    assert not student_spec(tier).gated and student_spec(tier, gates=True) == tier_table(tier).spec
    assert spec.parameters < MAX_PARAMETERS and spec.macs() / 1e9 <= tier_table(tier).budget_gmac


def test_sources_channels_bottleneck_and_multiple_follow_from_the_layers(tmp_path):
    spec = read_student_table(written(tmp_path, SMALL)).spec
    assert spec.layers == (
        ConvSpec("stem", IMAGE, 48, 8, space_to_depth=4),
        ConvSpec("body", "stem", 8, 8, relu=True),
        ConvSpec("head", "body", 8, 48, depth_to_space=4, residual=IMAGE),
    )
    assert (spec.name, spec.bottleneck, spec.multiple) == ("own", "body", 4)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("relu = true", "reul = true", r"unknown key layers\[1\].reul; allowed are name"),
        ("relu = true", 'relu = "yes"', "true or false is needed"),
        ("relu = true", "kernel = 4", r"layers\[1\]: kernel is 4; allowed are 1, 3, 5, 7"),
        ("out_channels = 8", "out_channels = 0", "out_channels is 0; allowed are 1 to 4096"),
        ("out_channels = 8", "out_channels = 1000", "9,866,048 parameters; a student has fewer than 5,000,000"),
        ("out_channels = 48", "out_channels = 47", "47 channels do not divide by depth_to_space 4"),
        ('residual = "image"', 'residual = "stem"', "adds 'stem' of another shape"),
        ('residual = "image"', 'source = "nothing"', "reads 'nothing', which no earlier layer makes"),
        ("relu = true", 'gate = "stem"', "its gate 'stem' is not an earlier layer with ReLU"),
        ('name = "own"', 'name = "own"\nmultiple = 6', "cannot divide a size of 6 by 4"),
        ('name = "own"', 'name = "own"\nbottleneck = "image"', "the bottleneck 'image' is not a layer"),
        ('name = "own"', 'name = "own"\nbudget_gmac = -1', "budget_gmac is -1.0; it must be above 0"),
        ('name = "body"', 'name = "stem"', "two tensors are named 'stem'"),
        ('depth_to_space = 4\nresidual = "image"', "depth_to_space = 2", "must give an image of the input's size"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_layer_and_what_is_allowed(old, new, message, tmp_path):
    assert old in SMALL
    with pytest.raises(UserError, match=message) as refused:
        read_student_table(written(tmp_path, SMALL.replace(old, new)))
    assert "own.toml" in refused.value.message


def test_the_cost_is_told_against_the_budget(tmp_path):
    table = read_student_table(written(tmp_path, SMALL.replace('name = "own"', 'name = "own"\nbudget_gmac = 0.01')))
    assert cost_sentence(table.spec, table.budget_gmac) == (
        "7,552 parameters, 0.12 GMAC at 512x512, warning: over the budget of 0.01 GMAC"
    )


def test_a_table_with_the_weights_of_a_model_file_is_that_student(tmp_path):
    path = written(tmp_path, SMALL)
    with pytest.raises(UserError, match="which layers there are, not their weights"):
        trained_student(path)
    with pytest.raises(UserError, match="a student of other layers"):
        trained_student(path, write_student(tmp_path / "tiny.safetensors"))


def test_a_student_s_own_file_names_its_layers(tmp_path):
    path = write_student(tmp_path / "tiny.safetensors")
    assert named_network(str(path), "small").spec == load_student(path)[0].spec
