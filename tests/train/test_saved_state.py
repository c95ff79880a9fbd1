"""The state of an interrupted run is never written over, and the commands that are printed go on."""

import os
import shlex
import signal
import sys

import pytest
import torch
from click.testing import CliRunner
from model_files import write_teacher
from torch import nn

from edgedeblur import command_line
from edgedeblur.cli.main import cli
from edgedeblur.errors import UserError
from edgedeblur.training.progress import Reporter
from edgedeblur.training.saved_state import finished_path, mark_finished, path_to_resume, refuse_to_replace, state_path
from edgedeblur.training.state import TrainingState, read_training_state


@pytest.fixture
def output(tmp_path, monkeypatch):
    """A model file's name with the state of a run that `distill --seed 3` began, at step 7."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["edgedeblur"])
    network = nn.Linear(2, 2)
    optimisers = {"net": torch.optim.AdamW(network.parameters(), 1e-3)}
    state = TrainingState({"net": network}, optimisers, torch.amp.GradScaler(enabled=False), 0.9, {"seed": 3})
    state.step = 7
    with command_line.running(["distill", "--seed", "3"]):
        state.save(tmp_path / "my model.state.pt")
    return tmp_path / "my model.safetensors"


def refusal(output, *words):
    with command_line.running(words), pytest.raises(UserError, match="saved state of an interrupted run") as raised:
        refuse_to_replace(output)
    return raised.value


def test_the_refusal_names_the_step_and_both_commands(output):
    told = refusal(output, "distill", "--seed", "4")
    assert "at step 7" in told.message
    resume, start_over = told.fix.splitlines()
    assert resume == "to resume: edgedeblur distill --seed 3 --resume"
    assert start_over.endswith(f"rm '{state_path(output)}' && edgedeblur distill --seed 4")


def test_from_another_folder_the_command_to_go_on_is_this_one(output, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    told = refusal(output, "distill", "--seed", "4", "-o", str(output))
    assert f"to resume: edgedeblur distill --seed 4 -o {shlex.quote(str(output))} --resume" in told.fix


def test_a_damaged_state_is_not_written_over_either(output):
    state_path(output).write_bytes(b"half a state")
    assert "rm " in refusal(output, "train").fix


def test_the_state_of_a_finished_run_stops_nobody_and_can_be_gone_on_from(output):
    mark_finished(output)
    refuse_to_replace(output)
    assert path_to_resume(output) == finished_path(output) and read_training_state(finished_path(output))["step"] == 7
    state_path(output).write_bytes(b"a newer run's")
    assert path_to_resume(output) == state_path(output)
    refusal(output, "distill")


@pytest.fixture
def distill(tmp_path, photos, pairs, monkeypatch):
    """Types a distillation of three steps; gives the result of the command."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["edgedeblur"])
    write_teacher(tmp_path / "teacher.safetensors")
    words = ["distill", "--teacher", "teacher.safetensors", "--tier", "nano", "--init", "none", "--data", photos]
    words += ["--validation", pairs, "--steps", "3", "--batch", "1", "--crop", "32", "--device", "cpu"]
    words += ["--precision", "float32", "--no-tensorboard", "-o", "my student.safetensors"]
    return lambda *more: CliRunner().invoke(cli, [*words, *more])


def test_the_command_that_ctrl_c_prints_goes_on(distill, tmp_path, monkeypatch):
    original = Reporter.step

    def interrupted(reporter, state, budget, losses):
        if state.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        original(reporter, state, budget, losses)

    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "step", interrupted)
        stopped = distill()
    assert stopped.exit_code == 128 + signal.SIGTERM and "stopped at step" in stopped.stderr
    state = tmp_path / "my student.state.pt"
    before = state.read_bytes()
    again = distill("--seed", "5")
    assert again.exit_code == 1 and "would write over it" in again.stderr and state.read_bytes() == before
    for told in (stopped.stderr, again.stderr):
        program, *printed = shlex.split(told.partition("to resume: ")[2].splitlines()[0])
        assert program == "edgedeblur" and printed[-1] == "--resume" and "5" not in printed
    finished = CliRunner().invoke(cli, printed)
    assert finished.exit_code == 0 and "my student.safetensors" in finished.stdout, finished.stderr
    assert not state.exists() and finished_path(tmp_path / "my student.safetensors").exists()
    assert distill("--seed", "5").exit_code == 0


def test_ctrl_c_in_the_last_step_is_not_lost(distill, tmp_path, monkeypatch):
    """It comes when no further step asks for it; `run` would go on with quantising."""

    def interrupted(reporter, state, budget, losses):
        if state.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "step", interrupted)
        stopped = distill()
    assert stopped.exit_code == 130 and "to resume: edgedeblur distill" in stopped.stderr
    assert read_training_state(tmp_path / "my student.state.pt")["step"] == 3
    assert distill("--resume").exit_code == 0


def test_ctrl_c_before_anything_is_saved_says_so(distill, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgedeblur.distill.distillation.load_generator", interrupt)
    stopped = distill()
    assert stopped.exit_code == 130 and "nothing to resume from" in stopped.stderr and "--resume" not in stopped.stderr


def test_a_folder_that_cannot_be_written_is_told_before_the_training(distill, tmp_path, monkeypatch):
    monkeypatch.setattr("edgedeblur.distill.distillation.load_generator", lambda *a, **b: pytest.fail("too late"))
    (tmp_path / "file").touch()
    refused = distill("-o", "file/student.safetensors")
    assert refused.exit_code == 1 and "a part of its path is a file" in refused.stderr
    refused = distill("-o", "n" * 250 + ".safetensors")
    assert refused.exit_code == 1 and "name is too long" in refused.stderr
