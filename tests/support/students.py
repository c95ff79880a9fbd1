"""A small float student, trained in seconds on drawn pictures: real enough for tests of quantisation."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import torch
from networks import tiny_spec
from once import made_once
from torch.nn import functional as F

from edgedeblur.student import Student

_STEPS, _SIZE, _BATCH = 400, 32, 8


def drawn_pair(seed: int, height: int = 64, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """(blurred, sharp) uint8 [H, W, 3]: overlapping coloured rectangles, and the same blurred along a short line."""
    rng = np.random.default_rng(seed)
    sharp = np.tile(rng.integers(0, 256, 3), (height, width + 2, 1)).astype(np.float64)
    for _ in range(25):
        top, left = rng.integers(-8, height), rng.integers(-8, width)
        tall, wide = rng.integers(3, 24, 2)
        sharp[max(top, 0) : top + tall, max(left, 0) : left + wide] = rng.integers(0, 256, 3)
    blurred = np.mean([sharp[:, shift : shift + width] for shift in range(3)], axis=0)
    return np.rint(blurred).astype(np.uint8), sharp[:, 1 : 1 + width].astype(np.uint8)


@functools.cache
def trained_student() -> Student:
    """A student of `tiny_spec` that removes some of that blur, on pictures it has not seen too.

    The same for every caller: do not change it.
    """
    with torch.random.fork_rng(devices=[]):
        student = Student(tiny_spec())
    student.load_state_dict(torch.load(made_once("trained-student.pt", _save_trained)))
    return student.eval()


def _save_trained(path: Path) -> None:
    pairs = [drawn_pair(seed, _SIZE, _SIZE) for seed in range(1024)]
    blurred, sharp = (torch.from_numpy(np.stack(side)).permute(0, 3, 1, 2) / 255 for side in zip(*pairs, strict=True))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the work is too small to share
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            student = Student(tiny_spec())
        _train(student, blurred, sharp)
    finally:
        torch.set_num_threads(threads)
    torch.save(student.state_dict(), path)


def _train(student: Student, blurred: torch.Tensor, sharp: torch.Tensor) -> None:
    optimiser = torch.optim.Adam(student.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, _STEPS)
    for step in range(_STEPS):
        start = step * _BATCH % len(sharp)
        batch = slice(start, start + _BATCH)
        loss = F.mse_loss(student(blurred[batch]), sharp[batch])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        schedule.step()


@functools.cache
def gated_student() -> Student:
    """The trained student with a gate, whose factors differ by channel and by image."""
    plain = trained_student()
    gates = {"enc1.0.a": "enc0.0.a"}
    layers = tuple(dataclasses.replace(layer, gate=gates.get(layer.name)) for layer in plain.spec.layers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        student = Student(dataclasses.replace(plain.spec, layers=layers))
        student.load_state_dict(plain.state_dict(), strict=False)
        for gate in student.gates.values():
            torch.nn.init.normal_(gate.weight, std=1.0)
            torch.nn.init.normal_(gate.bias, std=0.5)
    return student.eval()


def dead_student() -> Student:
    """A student with dead channels: no weights and no bias, no weights but a bias, and one layer without anything."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        student = Student(tiny_spec())
    with torch.no_grad():
        stem = student.conv("stem")
        stem.weight[0] = 0
        stem.weight[1] = 0
        stem.bias[1] = 0.7
        student.conv("enc1.0.a").weight.zero_()
        torch.nn.init.normal_(student.conv("head").weight, std=0.01)
    return student.eval()
