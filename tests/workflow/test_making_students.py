"""The Makefile's commands that make the shipped students again are commands of this project, in order."""

import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
import torch
from model_files import photo

from edgedeblur.cli.main import cli
from edgedeblur.data.images import write_image
from edgedeblur.distill.distillation import distill
from edgedeblur.distill.recipe import DistillRecipe
from edgedeblur.student import TIERS, build_student
from edgedeblur.student.model_file import load_student, save_student
from edgedeblur.training.recipe import RECIPES, read_recipe
from edgedeblur.workflow.distill import distill_options
from edgedeblur.workflow.workdir import WorkDir

ROOT = Path(__file__).parents[2]
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def lines(target: str, *variables: str) -> list[list[str]]:
    """The words of the lines that make would run for `target`."""
    listed = subprocess.run(
        ["make", "--dry-run", "--always-make", "-o", "setup", target, *variables],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [shlex.split(line) for line in listed.replace("\\\n", " ").splitlines()]


def commands(target: str, *variables: str) -> list[click.Context]:
    """edgedeblur's own commands among them, parsed but not run."""
    words = [line for line in lines(target, *variables) if line and line[0].endswith("/edgedeblur")]
    return [cli.get_command(None, name).make_context(name, rest) for _, name, *rest in words]


@needs_make
@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_is_made_in_stages_and_quantised(tier):
    *stages, quantised = commands(f"build/students/{tier}.edq")
    assert stages[-1].params["tier"] == tier and len(stages) == len(RATES[tier])
    assert stages[0].params["init"] == "none"
    for before, after in zip(stages, stages[1:], strict=False):
        assert Path(after.params["init"]) == before.params["output"]
    for stage in stages:
        read_recipe(ROOT / stage.params["recipe"], DistillRecipe)
        assert not any("/pairs/" in f"{source}/" for source in stage.params["data"])  # they are for validation alone
        assert (stage.params["steps"] is None) != (stage.params["minutes"] is None)
    made = Path("build/students/nano.between.safetensors") if tier == "nano" else stages[-1].params["output"]
    assert quantised.params["student_file"] == made
    assert quantised.params["output"] == Path(f"build/students/{tier}.edq")


RATES = {  # of each stage's hidden layers, in order
    "nano": (2.5e-3, 6e-4),
    "small": (2.5e-3, 6e-4),
    "large": (2.5e-3, 6e-4, 1.2e-3, 6e-4),  # small's, then its own
}


def run_one_step(folder: Path, tier: str, **given) -> list[float]:
    """The learning rates that the optimiser of a distillation on tiny pictures has kept in its state, highest first."""
    for side in ("blur", "sharp"):
        write_image(folder / "pairs" / side / "1.png", photo(64, 64))
    write_image(folder / "photos" / "1.png", photo(64, 64))
    tiny = {"data": (str(folder / "photos"),), "validation": (str(folder / "pairs"),), "batch": 1, "crop": 32}
    tiny |= {"device": "cpu", "tensorboard": False, "steps": 1, "output": folder / "student.safetensors"}
    distill(distill_options(WorkDir(folder / "work"), None, tier, **given, **tiny))
    state = torch.load(folder / "student.finished.pt", weights_only=True)
    return sorted((group["base_rate"] for group in state["optimisers"]["student"]["param_groups"]), reverse=True)


@needs_make
@pytest.mark.parametrize("tier", TIERS)
def test_the_optimiser_has_the_rate_that_the_recipe_or_the_command_says(tier, tmp_path):
    *stages, _ = commands(f"build/students/{tier}.edq")
    start = save_student(tmp_path / "start.safetensors", build_student(tier), {})
    for stage, wanted in zip(stages, RATES[tier], strict=True):
        recipe, rate = ROOT / stage.params["recipe"], stage.params["rate"]
        init = "none" if stage.params["init"] == "none" else str(start)
        rates = run_one_step(tmp_path, tier, init=init, recipe=recipe, rate=rate)
        written = tomllib.loads(recipe.read_text())
        assert rates == pytest.approx([wanted, wanted, wanted * written["head_rate"]])
        assert wanted == (rate or written["fitting"]["rate"])


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("student*.toml")), ids=lambda path: path.stem)
def test_a_shipped_recipe_s_rate_is_the_optimiser_s_from_fresh_weights_and_from_trained_ones(recipe, tmp_path):
    written = tomllib.loads(recipe.read_text())
    start = save_student(tmp_path / "start.safetensors", build_student("nano"), {})
    rate = written["fitting"]["rate"]
    assert run_one_step(tmp_path, "nano", init="none", recipe=recipe)[0] == pytest.approx(rate)
    tuned = rate * written.get("tuning_rate", 1.0)
    assert run_one_step(tmp_path, "nano", init=str(start), recipe=recipe)[0] == pytest.approx(tuned)


@needs_make
def test_nano_is_a_mean_of_both_its_stages(tmp_path):
    (mixing,) = (line[1:] for line in lines("build/students/nano.edq") if "benchmarks/training/between.py" in line)
    first, second, _ = commands("build/students/nano.edq")
    assert [Path(file) for file in mixing[1:3]] == [first.params["output"], second.params["output"]]
    students = [build_student("nano", seed=seed) for seed in (1, 2)]
    before, after = (save_student(tmp_path / f"{index}.safetensors", one, {}) for index, one in enumerate(students))
    made = tmp_path / "made.safetensors"
    subprocess.run([sys.executable, ROOT / mixing[0], before, after, mixing[3], made], check=True)
    mixed, _ = load_student(made)
    for name, weight in mixed.state_dict().items():
        low, high = (one.state_dict()[name] for one in students)
        torch.testing.assert_close(weight, torch.lerp(low, high, 0.7))


@needs_make
def test_the_first_stage_can_be_cut_short():
    (first,) = commands("build/students/small.gated.safetensors", "FIRST=--minutes 10")
    assert first.params["minutes"] == 10 and first.params["steps"] is None
