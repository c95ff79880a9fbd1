"""`tune --adb`: many candidates in one program, pushed, timed and checked on a phone, and the network by both."""

import dataclasses

import pytest
from adbd.sandbox import Build
from click.testing import CliRunner
from networks import random_network, tiny_spec

from edgedeblur.artefact.target import load_target
from edgedeblur.cli.main import cli
from edgedeblur.compile.kernels import instruction_set
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.schedules.tuned import read_database
from edgedeblur.device.errors import PhoneGone
from edgedeblur.errors import UserError
from edgedeblur.quantize.edq import save_edq
from edgedeblur.tune import network
from edgedeblur.tune.measure import measure_with
from edgedeblur.tune.phone import phone_device, run_on
from edgedeblur.tune.space import schedule_space
from edgedeblur.tune.trial import layer_on_trial

pytestmark = pytest.mark.usefixtures("arm")
TARGET = load_target("android")


def upsampling_layer():
    tiny = random_network(tiny_spec())
    layer = conv_layers(tiny, 16, 40)[6]
    return layer_on_trial(tiny, tiny.layers[6], layer, instruction_set(TARGET.isa), 0)


def test_a_batch_of_candidates_is_one_push_for_checking_and_one_for_timing(phone, tmp_path):
    played, connection = phone
    trial = upsampling_layer()
    schedules = schedule_space(trial.layer, trial.isa, TARGET.threads)[:5]
    samples = measure_with(run_on(connection, "4-7"), trial, TARGET, tmp_path)(schedules, 6)
    assert len(samples[0]) == 6 and all(samples)
    assert played.services.count("sync:") == 4, "two programs there, two outputs back"
    spoilt = dataclasses.replace(trial, expected=bytes(len(trial.expected)))
    assert measure_with(run_on(connection, "4-7"), spoilt, TARGET, tmp_path)(schedules, 6) == [None] * 5


def test_losing_the_phone_is_told(phone, tmp_path):
    played, connection = phone
    played.at_run(3, played.unplug)
    trial = upsampling_layer()
    measure = measure_with(run_on(connection, None), trial, TARGET, tmp_path)
    with pytest.raises(PhoneGone):
        measure(schedule_space(trial.layer, trial.isa, TARGET.threads)[:2], 6)


def test_an_emulator_is_refused(fake):
    played = fake(Build(emulator=True))
    with pytest.raises(UserError, match="is an emulator"):
        phone_device(played.serial, TARGET)


def test_the_command_tunes_and_compares_the_network_on_the_phone(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(network, "TURNS", 1)
    monkeypatch.chdir(tmp_path)
    played = fake()
    save_edq(random_network(tiny_spec()), tmp_path / "tiny.edq")
    words = ["tune", "tiny.edq", "--adb", played.serial, "--target", "android", "--size", "16x40"]
    result = CliRunner().invoke(cli, [*words, "--layers", "up0", "--trials", "2"])
    assert result.exit_code == 0, result.output
    (entry,) = read_database(tmp_path / "edgedeblur-work" / "tuned" / "cortex-a77.toml").layers
    assert entry.provenance == "measured" and played.build.model in entry.measured_by and "4-7" in entry.measured_by
    assert (entry.isa, entry.threads) == ("sdot", 4)
