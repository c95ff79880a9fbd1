"""Damaged files give a result or one message: no other exception, no crash, no hang, no gigabyte. See harness.py."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import harness
import pytest
from loaders import LOADERS, Loader
from once import made_once

from edgedeblur.errors import UserError

COUNT = 100


@pytest.fixture(scope="module")
def outcomes() -> dict:
    """Of every loader."""
    folder = made_once("fuzz", _fuzz)
    return {name: outcome for path in folder.iterdir() for name, outcome in json.loads(path.read_text()).items()}


def _fuzz(folder: Path) -> None:
    """By two processes: they are forked for each loader, and this one's threads do not survive that."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, harness.__file__, "--count", str(COUNT)]
    parts = [
        subprocess.Popen(
            [*command, "--part", f"{part}/2", "--json", folder / f"{part}.json"], stdout=subprocess.PIPE, text=True
        )
        for part in range(2)
    ]
    print(*(part.communicate()[0] for part in parts))


@pytest.mark.parametrize("loader", LOADERS)
def test_damaged_files_are_read_or_refused_with_a_message(outcomes, loader):
    outcome = outcomes[loader]
    assert outcome["failures"] == []
    assert outcome["read"] + outcome["refused"] == COUNT


def test_the_corpus_is_whole(tmp_path):
    """What is damaged later is read before, but for what is refused on principle."""
    for name, loader in LOADERS.items():
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        path = loader.corpus(folder)[0]
        if name == "torch.export, not trusted":
            with pytest.raises(UserError, match="must be trusted"):
                loader.load(path)
        else:
            loader.load(path)


def _file(folder: Path) -> list[Path]:
    (folder / "a").write_bytes(b"whole")
    return [folder / "a"]


def _outcome(load, **limits) -> harness.Outcome:
    loader = Loader(_file, lambda rng, data: data, load)
    return harness.fuzz("own", loader, 3, 0, harness.Limits(**limits))


def _too_much(path: Path) -> None:
    bytearray(b"x" * (80 << 20)).count(1)


def _spin(path: Path) -> None:
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass


def _refuse(message: str, exit_code: int = 1):
    def load(path: Path) -> None:
        raise UserError(message.format(path=path), exit_code=exit_code)

    return load


def test_the_harness_counts_what_is_read_and_what_is_refused():
    assert (_outcome(lambda path: None).read, _outcome(_refuse("{path}: no")).refused) == (3, 3)


@pytest.mark.parametrize(
    ("load", "limits", "what"),
    [
        (lambda path: {}["key"], {}, "KeyError: 'key'"),
        (lambda path: os.kill(os.getpid(), signal.SIGSEGV), {}, "the process ended with SIGSEGV"),
        (lambda path: time.sleep(60), {"wait": 0.2}, "it did not end within 0.2 s"),
        (_spin, {"seconds": 0.1}, "s of processor time"),
        (_too_much, {"megabytes": 20}, "MB of memory|MemoryError"),
        (_refuse("no"), {}, "a message without the file's name"),
        (_refuse("{path}: no", exit_code=3), {}, "exit code 3"),
        (_refuse("{path}" + "x" * 5000), {}, "a message of 5,"),
    ],
)
def test_the_harness_finds_every_kind_of_failure(load, limits, what):
    outcome = _outcome(load, **limits)
    assert [number for number, _ in outcome.failures] == [0, 1, 2]
    assert all(any(part in text for part in what.split("|")) for _, text in outcome.failures)
