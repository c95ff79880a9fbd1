"""The Makefile's commands that make the shipped students again are commands of this project, in order."""

import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from edgedeblur.cli.main import cli
from edgedeblur.distill.recipe import DistillRecipe
from edgedeblur.student import TIERS
from edgedeblur.train.recipe import read_recipe

ROOT = Path(__file__).parents[2]
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def commands(target: str, *variables: str) -> list[click.Context]:
    """What make would run for `target`, parsed but not run."""
    listed = subprocess.run(
        ["make", "--dry-run", "--always-make", "-o", "setup", target, *variables],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    words = [shlex.split(line) for line in listed.replace("\\\n", " ").splitlines() if "/edgedeblur " in line]
    return [cli.get_command(None, name).make_context(name, rest) for _, name, *rest in words]


@needs_make
@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_is_made_in_stages_and_quantised(tier):
    *stages, quantised = commands(f"build/students/{tier}.edq")
    assert stages[-1].params["tier"] == tier and len(stages) == (2 if tier == "nano" else 3)
    assert stages[0].params["init"] == "none"
    for before, after in zip(stages, stages[1:], strict=False):
        assert Path(after.params["init"]) == before.params["output"]
    for stage in stages:
        read_recipe(ROOT / stage.params["recipe"], DistillRecipe)
        assert not any("pairs" in source for source in stage.params["data"])  # they are for validation alone
        assert (stage.params["steps"] is None) != (stage.params["minutes"] is None)
    assert quantised.params["student"] == stages[-1].params["output"]
    assert quantised.params["output"] == Path(f"build/students/{tier}.edq")


@needs_make
def test_the_first_stage_can_be_cut_short():
    (first,) = commands("build/students/small.1.safetensors", "FIRST=--minutes 10")
    assert first.params["minutes"] == 10 and first.params["steps"] is None
