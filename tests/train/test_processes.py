"""Training in two processes is training in one with the doubled batch; only the first tells and writes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgedeblur.errors import UserError
from edgedeblur.student.model_file import read_model
from edgedeblur.train.generator import TrainOptions, train_generator
from edgedeblur.training.state import read_training_state

WORKER = Path(__file__).parents[1] / "support" / "training_process.py"
RECIPE = """
[network]
widths = [8, 8, 16]
encoder_blocks = [1, 1, 1]
decoder_blocks = [1, 1]
[fitting]
crop = 32
warm_up = 0
[adversary]
kind = "{kind}"
discriminator = "{discriminator}"
weight = 0.1
from_fraction = 0.0
width = 4
updates = 2
[blur]
max_length = 8.0
"""
KINDS = {"ragan-ls": "double", "wgan-gp": "patch"}


PYRAMID = """
[network]
name = "fpn_mobilenet"
filters = 4
[fitting]
average = 0.0
[adversary]
kind = "none"
"""


def torchrun(*words, timeout=180) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def job(folder: Path, kind: str, name: str, photos: str, pairs: str, **changes) -> dict:
    recipe = folder / f"{kind}.toml"
    recipe.write_text(RECIPE.format(kind=kind, discriminator=KINDS[kind]))
    fixed = {"output": str(folder / name), "data": [photos], "validation": [pairs], "recipe": str(recipe)}
    return fixed | {"batch": 2, "steps": 5} | changes


def pyramid_job(folder: Path, name: str, photos: str, pairs: str, batch: int) -> dict:
    """One whose network keeps running statistics."""
    settings = job(folder, "ragan-ls", name, photos, pairs, batch=batch, crop=64, steps=2)
    recipe = folder / "pyramid.toml"
    recipe.write_text(PYRAMID)
    return settings | {"recipe": str(recipe)}


def in_one_process(settings: dict) -> TrainOptions:
    fixed = {"device": "cpu", "precision": "float32", "tensorboard": False, "output": Path(settings["output"])}
    return TrainOptions(**settings | fixed | {name: tuple(settings[name]) for name in ("data", "validation")})


def test_two_processes_are_one_with_the_doubled_batch(tmp_path, photos, pairs, recorded):
    """Losses, resuming and interrupting; one start of the processes for all of it."""
    jobs = [job(tmp_path, kind, f"{kind}.safetensors", photos, pairs) for kind in KINDS]
    stopped = job(tmp_path, "ragan-ls", "stopped.safetensors", photos, pairs)
    jobs += [stopped | {"interrupt": 2}, stopped | {"resume": True}]
    jobs += [job(tmp_path, "ragan-ls", "none.safetensors", photos, pairs, resume=True)]
    jobs += [pyramid_job(tmp_path, "pyramid.safetensors", photos, pairs, batch=1)]
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    done = torchrun(WORKER, tmp_path / "jobs.json", tmp_path / "result.json")
    assert done.returncode == 0, done.stderr[-3000:]
    *both, interrupted, resumed, missing, _ = json.loads((tmp_path / "result.json").read_text())
    for kind, run in zip(KINDS, both, strict=True):
        recorded.clear()
        train_generator(in_one_process(job(tmp_path, kind, f"one-{kind}.safetensors", photos, pairs, batch=4)))
        assert len(recorded) == len(run["losses"]) == 5, run["ended"]
        for alone, together in zip(recorded, run["losses"], strict=True):
            assert together == pytest.approx(alone, rel=5e-5, abs=1e-7)
        first, second = (read_model(tmp_path / f"{name}.safetensors").state for name in (kind, f"one-{kind}"))
        assert all(torch.allclose(first[name], second[name], atol=2e-3) for name in first)
    assert "stopped at step 3" in interrupted["ended"]
    assert interrupted["losses"] + resumed["losses"] == both[0]["losses"]
    recorded.clear()
    alone = job(tmp_path, "ragan-ls", "ragan-ls.safetensors", photos, pairs, resume=True, steps=6)
    train_generator(in_one_process(alone | {"batch": 4}))
    assert len(recorded) == 1, "one process goes on where two with half the batch ended"
    with pytest.raises(UserError, match="another recipe"):
        train_generator(in_one_process(alone))
    train_generator(in_one_process(pyramid_job(tmp_path, "one-pyramid.safetensors", photos, pairs, batch=2)))
    together, alone = (load_file(tmp_path / f"{name}.safetensors") for name in ("pyramid", "one-pyramid"))
    for name in filter(lambda name: "running" in name, alone):
        assert torch.allclose(together[name], alone[name], rtol=1e-3, atol=5e-4), name
    assert "no training state" in missing["ended"] and not (tmp_path / "none.safetensors").exists()


def test_only_the_first_process_tells_and_writes(tmp_path, photos, pairs):
    settings = job(tmp_path, "wgan-gp", "t.safetensors", photos, pairs)
    words = ["--recipe", settings["recipe"], "--data", photos, "--validation", pairs, "-o", settings["output"]]
    train = [
        "-m",
        "edgedeblur.cli.main",
        "train",
        "--steps",
        "2",
        "--batch",
        "1",
        "--device",
        "cpu",
        "--no-tensorboard",
    ]
    done = torchrun(*train, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == [settings["output"]]
    assert done.stderr.count("step 2, validation") == 1
    assert read_training_state(tmp_path / "t.finished.pt")["step"] == 2
    failed = torchrun(*train, *words, "--recipe", "deblurgan-v3")
    assert failed.returncode != 0 and failed.stderr.count("no recipe 'deblurgan-v3'") == 1
