"""A short version of `make faults`: commands that are killed, run out of disk, or meet another of their kind."""

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import trials
from commands import commands, make_inputs
from trials import Server, Tally, Trials, undisturbed


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def disturb(server, tmp_path_factory):
    """Gives the trials of a command, with a tally of their own."""
    inputs, known = make_inputs(tmp_path_factory.mktemp("faults") / "inputs"), {}

    def trials(name: str) -> Trials:
        command, folder = commands()[name], tmp_path_factory.mktemp(name)
        if name not in known:
            known[name] = undisturbed(server, inputs, folder / "first", command)
        return Trials(server, inputs, folder, command, *known[name], Tally())

    return trials


def test_the_harness_sees_what_it_looks_for(disturb, tmp_path):
    """A file cut short, one that was left over and another result are failures, or all of this would say nothing."""
    trials = disturb("deblur")
    place, what = trials._place("spoilt")
    place.run(trials.command.words)
    trials._compare(place, what)
    assert not trials.tally.failures
    restored = place.work / "restored" / "0.png"
    restored.write_bytes(restored.read_bytes()[:200])
    (place.work / ".left").touch()
    trials._look_at_files(place, what)
    trials._compare(place, what)
    assert ["not whole" in trials.tally.failures[0], "left over" in trials.tally.failures[1]] == [True, True]
    assert "another result" in trials.tally.failures[2]


def test_the_harness_sees_a_program_that_still_runs(monkeypatch):
    monkeypatch.setattr(trials, "_SURVIVAL_S", 0.0)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as program:
        while not Path(f"/proc/{program.pid}/cmdline").read_bytes():  # the kernel has not set it yet
            time.sleep(0.001)
        assert trials.survivors(program.pid) == ["sleep 60 "]
        trials.end_by(program.pid, signal.SIGINT)
        assert program.wait() == -signal.SIGINT and trials.survivors(program.pid) == []


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("distill", signal.SIGKILL),
        ("distill", signal.SIGINT),
        ("deblur", signal.SIGTERM),
        ("video", signal.SIGINT),
        ("synth", signal.SIGTERM),
    ],
)
def test_a_killed_command_goes_on(disturb, name, number):
    trials = disturb(name)
    trials.kill(number, random.Random(f"{name} {number}"))
    assert not trials.tally.failures and sum(trials.tally.counts.values())


@pytest.mark.parametrize(("name", "call"), [("distill", 9), ("deblur", 5)])
def test_a_command_killed_while_it_changes_names_goes_on(disturb, name, call):
    trials = disturb(name)
    assert trials.kill_at_call(call) and not trials.tally.failures


@pytest.mark.parametrize(("name", "kilobytes"), [("distill", 4000), ("deblur", 24)])
def test_a_full_disk_costs_nothing_but_the_rest(disturb, name, kilobytes):
    trials = disturb(name)
    assert trials.fill_disk(kilobytes) and not trials.tally.failures


def test_a_read_only_disk_is_told_as_such(disturb):
    trials = disturb("deblur")
    trials.read_only()
    assert not trials.tally.failures


def test_of_two_at_once_one_works_and_both_end_well(disturb):
    trials = disturb("distill")
    trials.two_at_once(random.Random(3))
    assert not trials.tally.failures and trials.tally.counts["distill: two at once"] == 1
