"""Choosing a phone: the only one, the named one, and one clear message for everything that is in the way."""

import re
import sys
import time

import pytest
from adbd.phone import Faults

from edgedeblur.device.connect import choose_phone, ready_phones
from edgedeblur.errors import UserError


def until_state(server, phone, state):
    for _ in range(100):
        if server.state(phone.serial) == state:
            return
        time.sleep(0.05)
    raise AssertionError(f"{server.state(phone.serial)}, not {state}")


def test_the_only_phone_is_taken(fake):
    only = fake()
    assert choose_phone().serial == only.serial


def test_without_a_phone_the_message_says_how_to_attach_one(fake):
    with pytest.raises(UserError, match="no phone is attached") as raised:
        choose_phone()
    assert "USB debugging" in raised.value.fix


def test_of_several_phones_one_must_be_named(fake, monkeypatch):
    first, second = fake(), fake()
    with pytest.raises(UserError, match="2 phones are attached") as raised:
        choose_phone()
    assert first.serial in raised.value.message and second.serial in raised.value.message
    assert "--adb" in raised.value.fix and "--devices all" in raised.value.fix and raised.value.exit_code == 2
    assert choose_phone(second.serial).serial == second.serial
    monkeypatch.setenv("ANDROID_SERIAL", first.serial)
    assert choose_phone().serial == first.serial
    assert sorted(phone.serial for phone in ready_phones()[0]) == sorted([first.serial, second.serial])


def test_a_serial_number_that_is_not_there_is_answered_with_those_that_are(fake):
    there = fake()
    with pytest.raises(UserError, match=f"no phone R58M; attached: {there.serial}"):
        choose_phone("R58M")


@pytest.mark.parametrize(
    ("fault", "state", "message", "fix"),
    [
        ({"unauthorised": True}, "unauthorized", "has not authorised this computer", "tap Allow"),
        ({"offline": True}, "offline", "is offline", "plug it in again"),
    ],
)
def test_a_phone_that_is_not_ready_is_said_with_what_to_do(fake, server, fault, state, message, fix):
    bad = fake(faults=Faults(**fault), wait=False)
    until_state(server, bad, state)
    for serial in (None, bad.serial):
        with pytest.raises(UserError, match=message) as raised:
            choose_phone(serial)
        assert fix in raised.value.fix and raised.value.exit_code == 1
    good = fake()
    assert choose_phone().serial == good.serial
    phones, refused = ready_phones()
    assert [phone.serial for phone in phones] == [good.serial] and re.search(message, refused[0])


def test_a_daemon_from_before_android_7_is_refused(fake):
    old = fake(features=("cmd",))
    with pytest.raises(UserError, match="without shell_v2") as raised:
        choose_phone(old.serial)
    assert "Android 7" in raised.value.fix


def test_without_adbutils_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "adbutils", None)
    with pytest.raises(UserError, match="adbutils is not installed") as raised:
        choose_phone()
    assert raised.value.fix == "pip install 'edgedeblur[adb]'"


def test_an_adb_that_does_not_start_is_a_message(monkeypatch, tmp_path):
    program = tmp_path / "adb"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(program))
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    with pytest.raises(UserError, match="there is no adb server"):
        choose_phone()
