"""Running programs on a phone, one and many: what they print, what they refuse, and what Ctrl-C does to them."""

import numpy as np
import pytest
from artefacts import compiled, expected, noise

from edgedeblur.device.batch import run_batch
from edgedeblur.device.errors import PhoneGone
from edgedeblur.device.program import PROGRAM, run_program_on
from edgedeblur.device.shell import run
from edgedeblur.device.transfer import pull, push, remote_folder
from edgedeblur.errors import UserError

FOLDER = remote_folder("programs")
FILES = ["--input", f"{FOLDER}/in", "--output", f"{FOLDER}/out"]

pytestmark = pytest.mark.usefixtures("arm")


def test_a_program_restores_its_image_on_the_phone_and_tells_of_every_run(phone):
    _, connection = phone
    push(connection, FOLDER, {PROGRAM: compiled("android").bench, "in": noise().tobytes()})
    counted = []
    done = run_program_on(connection, f"{FOLDER}/{PROGRAM}", ["--runs", "5", *FILES], "0-3", on_run=counted.append)
    assert done.failure is None and counted == [1, 2, 3, 4, 5]
    assert [told.ms for told in done.runs] == pytest.approx(done.result.samples_ms)
    ends = [told.at_s for told in done.runs]
    assert ends == sorted(ends) and ends[-1] <= float(run(connection, "cat /proc/uptime").output.split()[0])
    np.testing.assert_array_equal(np.frombuffer(pull(connection, f"{FOLDER}/out"), np.uint8), expected().ravel())


def test_what_the_program_refuses_is_the_users_message(phone):
    _, connection = phone
    push(connection, FOLDER, {PROGRAM: compiled("android").bench})
    with pytest.raises(UserError, match="--runs 0: a whole number") as raised:
        run_program_on(connection, f"{FOLDER}/{PROGRAM}", ["--runs", "0"])
    assert raised.value.exit_code == 2


def test_a_program_that_cannot_run_is_a_message(phone):
    _, connection = phone
    push(connection, FOLDER, {PROGRAM: b"#!/no/such/interpreter\n"})
    with pytest.raises(UserError, match=f"phone {connection.serial}: .*not found"):
        run_program_on(connection, f"{FOLDER}/{PROGRAM}", [])


def test_many_programs_are_pushed_once_and_one_that_fails_does_not_stop_the_others(phone):
    played, connection = phone
    program = compiled("android").bench
    broken = played.root / "broken"
    broken.write_bytes(b"#!/bin/sh\necho no luck >&2; exit 1\n")
    programs = {"candidate-0": program, "candidate-1": broken, "candidate-2": program}
    told = []
    outcomes = run_batch(
        connection, FOLDER, programs, ["--runs", "3"], cores="4-7", on_result=lambda name, outcome: told.append(name)
    )
    assert told == list(programs) == list(outcomes)
    assert [len(outcomes[name].samples_ms) for name in ("candidate-0", "candidate-2")] == [3, 3]
    assert isinstance(outcomes["candidate-1"], UserError) and "no luck" in outcomes["candidate-1"].message
    pushed = played.pushed_bytes
    run_batch(connection, FOLDER, programs, ["--runs", "1"])
    assert played.pushed_bytes == pushed


def test_losing_the_phone_ends_the_batch_after_what_was_measured(phone):
    played, connection = phone
    played.at_run(7, played.unplug)
    told = {}
    program = compiled("android").bench
    with pytest.raises(PhoneGone):
        run_batch(connection, FOLDER, {"a": program, "b": program}, ["--runs", "5"], on_result=told.__setitem__)
    assert list(told) == ["a"] and len(told["a"].samples_ms) == 5
