"""edgedeblur-bench: its options, its JSON, its output image, here and under qemu."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from artefacts import HEIGHT, WIDTH, compiled, expected, noise

from edgedeblur.artefact.cpu import runs_here
from edgedeblur.artefact.target import load_target
from edgedeblur.errors import UserError
from edgedeblur.runtime import program
from edgedeblur.runtime.program import parse_bench_output, run_program

needs_qemu = pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed")


def bench(*options: str, prefix: tuple[str, ...] = (), target: str = "host") -> subprocess.CompletedProcess:
    return subprocess.run([*prefix, compiled(target).bench, *options], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("threads", [None, 1, 2, 3])
def test_the_output_is_the_interpreters(threads):
    done = run_program(compiled("host").path, noise(), runs=3, warmup=1, threads=threads)
    np.testing.assert_array_equal(done.output, expected())
    assert done.result.threads == threads or threads is None
    assert not done.simulated


@needs_qemu
@pytest.mark.parametrize("threads", [None, 1, 3])
def test_the_output_under_qemu_is_the_interpreters(threads):
    done = run_program(compiled("android").path, noise(), runs=1, warmup=0, threads=threads)
    np.testing.assert_array_equal(done.output, expected())
    assert done.result.threads == (threads or 4)
    assert done.simulated


@needs_qemu
def test_an_arm_processor_without_dot_products_gets_a_message_and_no_signal():
    done = bench(prefix=("qemu-aarch64", "-cpu", "cortex-a57"), target="android")
    assert done.returncode == 1
    assert "this processor has no dot-product (SDOT) instructions" in done.stderr


def test_the_result_has_every_key_and_as_many_samples_as_runs():
    done = bench("--runs", "5", "--warmup", "2")
    assert done.returncode == 0
    result = json.loads(done.stdout)
    manifest = compiled("host").manifest
    assert result["schema_version"] == 1
    assert (result["model"], result["height"], result["width"]) == ("tiny-64x96", HEIGHT, WIDTH)
    assert len(result["samples_ms"]) == 5 and min(result["samples_ms"]) > 0
    assert result["load_ms"] > 0 and result["first_ms"] > 0
    assert result["peak_rss_source"] == "VmHWM" and 100 < result["peak_rss_kb"] < 100_000
    assert result["interrupted"] is False
    for key in ("arena_bytes", "workspace_bytes", "weights_bytes"):
        assert result[key] == manifest[key]
    assert [(layer["name"], layer["macs"]) for layer in result["layers"]] == [
        (layer["name"], layer["macs"]) for layer in manifest["layers"]
    ]
    assert all(layer["ms"] is None and layer["samples_ms"] == [] for layer in result["layers"])


def test_a_profile_has_a_time_for_every_layer_that_adds_up_to_less_than_the_run():
    result = run_program(compiled("host"), noise(), runs=20, profile=True).result
    assert all(layer.ms > 0 for layer in result.layers)
    assert all(len(layer.samples_ms) == 20 for layer in result.layers)
    medians = [np.median(layer.samples_ms) for layer in result.layers]
    assert [layer.ms for layer in result.layers] == pytest.approx(medians, abs=2e-6)
    assert sum(layer.ms for layer in result.layers) < max(result.samples_ms)


@pytest.mark.parametrize(
    "target", ["host", pytest.param("x86-64-v3", marks=pytest.mark.skipif(not runs_here("avx2"), reason="needs AVX2"))]
)
def test_a_profile_measures_the_instructions_peak(target):
    result = run_program(compiled(target), noise(), runs=1, profile=True).result
    products = {"vnni": 64, "avx2": 16, "avxvnni": 32, "sdot": 32}[result.isa]
    assert 0.3 * products < result.peak_gmacs < 6 * 2 * products, "one to two a cycle, 0.3 to 6 GHz"
    assert run_program(compiled(target), noise(), runs=1).result.peak_gmacs is None


def test_measuring_goes_on_until_the_seconds_are_over():
    result = run_program(compiled("host"), noise(), runs=1, warmup=0, min_seconds=0.2).result
    assert len(result.samples_ms) > 1
    assert sum(result.samples_ms) > 100


def test_without_an_input_the_image_is_the_same_noise_every_time(tmp_path):
    for name in ("a", "b"):
        assert bench("--output", str(tmp_path / name), "--runs", "1").returncode == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert len((tmp_path / "a").read_bytes()) == HEIGHT * WIDTH * 3


def test_cores_of_this_machine_are_accepted():
    core = min(os.sched_getaffinity(0))
    assert len(run_program(compiled("host"), noise(), runs=2, cores=str(core)).result.samples_ms) == 2


@pytest.mark.skipif(63 in os.sched_getaffinity(0), reason="this machine has a core 63")
def test_cores_that_the_machine_lacks_are_refused():
    done = bench("--cores", "63")
    assert done.returncode == 2 and "--cores" in done.stderr


def uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def test_every_run_is_told_with_its_end_on_the_clock_of_proc_uptime():
    begin = uptime()
    done = bench("--runs", "5", "--stream")
    end = uptime()
    told = [line.split() for line in done.stderr.splitlines()]
    assert [words[0] for words in told] == ["run"] * 5
    assert [float(words[2]) for words in told] == json.loads(done.stdout)["samples_ms"]
    at = [float(words[1]) for words in told]
    assert at == sorted(at) and begin - 0.02 <= at[0] and at[-1] <= end + 0.02


def write_zone(folder: Path, number: int, degrees: float, trips: tuple[tuple[str, float], ...]) -> None:
    zone = folder / f"thermal_zone{number}"
    zone.mkdir(parents=True, exist_ok=True)
    (zone / "temp").write_text(f"{1000 * degrees:.0f}\n")
    for index, (kind, at) in enumerate(trips):
        (zone / f"trip_point_{index}_type").write_text(f"{kind}\n")
        (zone / f"trip_point_{index}_temp").write_text(f"{1000 * at:.0f}\n")


def test_the_governor_leaves_a_level_that_is_hot_and_tells_its_readings(tmp_path):
    """Headroom is that of the zone that is nearest to its passive trip point; 40 runs a second at most, then 20."""
    write_zone(tmp_path, 0, 69.0, (("critical", 110.0), ("passive", 80.0), ("passive", 70.0)))
    write_zone(tmp_path, 2, 60.0, (("passive", 95.0),))
    write_zone(tmp_path, 3, 99.0, (("hot", 80.0), ("passive", -273.0)))
    write_zone(tmp_path, 4, 99.0, ())
    words = ["--govern", "1000", "--levels", "1@40,2@20", "--zones", str(tmp_path), "--stream", "--threads", "1"]
    done = bench(*words, "--min-seconds", "2.1", "--runs", "1", "--warmup", "0")
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stderr.splitlines()]
    levels = [
        (float(at), int(level), float(headroom)) for kind, at, level, headroom in (w for w in told if len(w) == 4)
    ]
    assert [level for _, level, _ in levels] == [1, 1]
    assert all(headroom == pytest.approx((69 - 40) / 30, abs=1e-3) for _, _, headroom in levels)
    ends = [float(words[1]) for words in told if words[0] == "run"]
    assert len(ends) == len(json.loads(done.stdout)["samples_ms"])
    before, after = (sum(low < at <= low + 1 for at in ends) for low in (levels[0][0] - 1, levels[0][0]))
    assert before <= 42 and after <= 22, "no more than the levels allow"


def test_without_zones_the_headroom_is_unknown(tmp_path):
    words = ["--govern", "1000", "--levels", "1@10", "--zones", str(tmp_path), "--stream", "--runs", "1"]
    done = bench(*words, "--min-seconds", "1.1")
    assert [line.split()[2:] for line in done.stderr.splitlines() if line.startswith("level")] == [["0", "nan"]]


OTHER_MS = 60
OTHER_NETWORK = f"""#!{sys.executable}
import os, sys, time
print(*sys.argv[1:], file=open(os.path.dirname(__file__) + "/words", "w"))
os.write(1, b"y")
while asked := os.read(0, 1):
    print(*asked, file=open(os.path.dirname(__file__) + "/asked", "a"))
    time.sleep({OTHER_MS / 1e3})
    os.write(1, b"y")
"""


def other_network(folder: Path, text: str = OTHER_NETWORK) -> list[str]:
    """Options for a program in another network's place, which takes OTHER_MS and writes down what it is asked."""
    program = folder / "other"
    program.write_text(text)
    program.chmod(0o755)
    write_zone(folder, 0, 69.0, (("passive", 70.0),))
    return ["--govern", "1000", "--zones", str(folder), "--network", str(program), "--stream", "--warmup", "0"]


def test_the_governor_changes_to_another_networks_program_and_times_it(tmp_path):
    """The levels of network 2 are its own first and second; the governor leaves level 0 after a second."""
    words = [*other_network(tmp_path), "--levels", "1@40,2:cpu:3@10,1@5,2:2", "--threads", "1", "--cores", "0"]
    done = bench(*words, "--min-seconds", "1.5", "--runs", "1")
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stderr.splitlines()]
    change = next(index for index, line in enumerate(told) if line[0] == "level")
    assert told[change][2] == "1"
    times = [float(line[2]) for line in told if line[0] == "run"]
    assert max(times[:change]) < OTHER_MS <= min(times[change:]) and len(times[change:]) >= 2
    assert (tmp_path / "words").read_text() == (
        "--serve --unit cpu --threads 3 --levels cpu:3,2 --canary 0 --cores 0\n"
    )
    assert (tmp_path / "asked").read_text() == "0\n" * len(times[change:])


def test_a_program_that_serves_answers_each_level_and_ends_with_who_asks():
    asked = bytes([0, 1, 1, 0])
    words = [compiled("host").bench, "--serve", "--levels", "1,2"]
    done = subprocess.run(words, input=asked, capture_output=True, timeout=60)
    assert (done.returncode, len(done.stdout), done.stderr) == (0, 1 + len(asked), b"")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("#!/bin/sh\nexit 3\n", "other: it did not start"),
        ("#!/bin/sh\necho; read -n 1 x; exit 3\n", "other: it has ended"),
        ("no program", "other: Exec format error"),
    ],
)
def test_another_network_that_fails_ends_the_measurement_with_a_message(tmp_path, text, told):
    done = bench(*other_network(tmp_path, text), "--levels", "2:1", "--runs", "2")
    assert done.returncode == 1 and told in done.stderr and done.stdout == ""


def test_help_names_every_option_and_exits_0():
    done = bench("--help")
    assert done.returncode == 0
    for option in ("input", "output", "runs", "warmup", "min-seconds", "threads", "cores", "profile", "stream", "help"):
        assert f"--{option}" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--runs", "0"), "--runs 0: a whole number from 1 to 1000000 is needed"),
        (("--runs", "ten"), "--runs ten"),
        (("--runs", "99999999999999999999"), "--runs 99999999999999999999"),
        (("--warmup", "-1"), "--warmup -1"),
        (("--threads", "65"), "--threads 65: a whole number from 0 to 64"),
        (("--min-seconds", "nan"), "--min-seconds nan"),
        (("--cores", "4-"), "--cores 4-"),
        (("--cores", "3-1"), "--cores 3-1"),
        (("--cores", "64"), "cores 0 to 63"),
        (("--cores", ""), "--cores"),
        (("--speed",), "speed"),
        (("--govern", "-1"), "--govern -1: a number from 0 to 60000"),
        (("--levels", "4@"), "--levels 4@: a list such as 4,4@20"),
        (("--levels", "4,,2"), "--levels 4,,2"),
        (("--levels", "0"), "--levels 0"),
        (("--levels", "npu:4"), "--levels npu:4"),
        (("--levels", "2:4"), "of 1 networks"),
        (("--levels", "0:4"), "--levels 0:4"),
        (("--network", "other"), "--network is for --govern"),
        (4 * ("--network", "other"), "--network other: at most 3"),
        (("--levels", ",".join(17 * "4")), "at most 16"),
        (("extra",), "extra: no such option"),
        (("--input", "/no/such/file"), "/no/such/file: No such file"),
    ],
)
def test_bad_options_exit_2_with_a_message_and_no_result(options, message):
    done = bench(*options)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("size", "word"), [(HEIGHT * WIDTH * 3 - 1, "fewer"), (HEIGHT * WIDTH * 3 + 1, "more"), (0, "fewer")]
)
def test_an_input_of_another_size_is_refused(tmp_path, size, word):
    (tmp_path / "image").write_bytes(bytes(size))
    done = bench("--input", str(tmp_path / "image"))
    assert done.returncode == 2
    assert f"{word} than 64 x 96 x 3 = 18432 bytes" in done.stderr


def test_an_output_that_cannot_be_written_exits_1(tmp_path):
    done = bench("--output", str(tmp_path / "no" / "folder"), "--runs", "1")
    assert done.returncode == 1 and "No such file" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_measurement_with_what_was_measured(number):
    process = subprocess.Popen(
        [compiled("host").bench, "--runs", "1000000", "--profile"], stdout=subprocess.PIPE, text=True
    )
    time.sleep(0.5)
    process.send_signal(number)
    text, _ = process.communicate(timeout=30)
    result = parse_bench_output(text)
    assert process.returncode == 0
    assert result.interrupted
    assert 0 < len(result.samples_ms) < 1_000_000
    assert all(layer.ms > 0 for layer in result.layers)
    assert all(len(layer.samples_ms) == len(result.samples_ms) for layer in result.layers)


def test_bad_options_become_the_users_error():
    with pytest.raises(UserError, match="--runs 0") as caught:
        run_program(compiled("host"), noise(), runs=0)
    assert caught.value.exit_code == 2


def test_an_image_of_another_size_is_refused():
    with pytest.raises(UserError, match="takes uint8"):
        run_program(compiled("host"), noise()[:32])


def test_running_out_of_time_is_told():
    with pytest.raises(UserError, match="did not end within 0.3 s"):
        run_program(compiled("host"), noise(), runs=1, min_seconds=60, timeout_s=0.3)


def test_a_missing_simulator_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(program.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="qemu-aarch64 is not installed") as caught:
        run_program(compiled("android"), noise())
    assert caught.value.fix == "apt-get install qemu-user"
    assert load_target("android").runner[0] == "qemu-aarch64"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema_version": 1, "layers": []}', "Segmentation fault"])
def test_what_is_no_result_is_refused(text):
    with pytest.raises(UserError, match="printed no result"):
        parse_bench_output(text)


def test_a_result_of_another_version_is_refused():
    with pytest.raises(UserError, match="schema_version 2"):
        parse_bench_output('{"schema_version": 2, "layers": []}')
