"""Tuning for a processor that is not at hand: by the estimate, labelled as one, with the simulator as the judge."""

import shutil

import pytest
from networks import random_network, tiny_spec

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.kernels import instruction_set
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.schedules.default import default_schedule
from edgedeblur.compile.schedules.tuned import layer_shape, read_database
from edgedeblur.errors import UserError
from edgedeblur.estimate import mca
from edgedeblur.estimate.candidates import schedule_ms
from edgedeblur.tune import estimate
from edgedeblur.tune.estimate import estimating_device
from edgedeblur.tune.tuning import TuneOptions, tune

pytestmark = [
    pytest.mark.skipif(mca.find_mca() is None, reason="llvm-mca is not installed"),
    pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed"),
]
TARGET = load_target("android")
NETWORK = random_network(tiny_spec())


def tuned(path, layer="head"):
    options = TuneOptions((layer,), trials=6)
    return tune(NETWORK, TARGET, (32, 96), estimating_device(TARGET), path, options, print, lambda *_: None)


def test_an_entry_says_that_it_is_estimated_and_its_times_are_the_estimates_of_its_schedules(tmp_path):
    result = tuned(tmp_path / "x.toml")
    assert result.comparison is None
    layer = conv_layers(NETWORK, 32, 96)[-1]
    entry = read_database(tmp_path / "x.toml").find(layer_shape(layer), "sdot", 4)
    assert entry.provenance == "estimated" and "llvm-mca" in entry.measured_by and "cortex-a77" in entry.measured_by
    schedule = entry.schedule or default_schedule(layer, instruction_set("sdot"), 4)
    assert entry.tuned_ms == pytest.approx(schedule_ms(layer, schedule, TARGET), rel=1e-5)
    assert entry.tuned_ms <= entry.default_ms


def test_the_winners_output_is_the_interpreters_in_the_simulator_or_it_is_not_kept(tmp_path, monkeypatch):
    checked = []

    def check(run, trial, schedules, target, folder):
        checked.extend(schedules)
        return [False] * len(schedules)

    monkeypatch.setattr(estimate, "check_outputs", check)
    monkeypatch.setattr(estimate, "schedule_costs", _narrow_is_cheap)
    result = tuned(tmp_path / "x.toml")
    assert len(checked) == 1 and [shape.status for shape in result.shapes] == ["default"]


def _narrow_is_cheap(candidates, target):
    class Cost:
        def __init__(self, ms):
            self.ms = ms

    return [Cost(float(schedule.tile_width)) for _, schedule in candidates]


def test_without_a_description_of_the_cores_there_is_no_estimate():
    with pytest.raises(UserError, match=r"\[estimate\]"):
        estimating_device(load_target("linux-arm64"))
