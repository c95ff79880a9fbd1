"""`bench --adb` from end to end: through the real adb server to a phone that runs the ARM program under qemu.

The phone's times are qemu's and mean nothing; what is checked is the way of the data, the bytes, and every fault.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from adbd.phone import Faults
from adbd.sandbox import Build, battery, set_zone
from artefacts import compiled
from click.testing import CliRunner
from needs import needs_mca
from PIL import Image

from edgedeblur.bench import phone as bench_phone
from edgedeblur.bench.latency import MIN_RUNS
from edgedeblur.cli.main import cli
from edgedeblur.report.schema import read_report

PLAIN = ["--runs", "50", "--warmup", "1", "--min-seconds", "0"]
QUICK = [*PLAIN, "--threads", "1"]  # under qemu several threads are slower than one

pytestmark = pytest.mark.usefixtures("arm")


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """The folder that the command is run in; its work directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "edgedeblur-work"


def bench(*words, code=None, artefact=None, quick=QUICK):
    """Runs the command; on success code 0 or 3 is expected, as qemu's speed may be. code: one, or several allowed."""
    codes = (0, 3) if code is None else code if isinstance(code, tuple) else (code,)
    folder = str(artefact or compiled("android").path)
    result = CliRunner().invoke(cli, ["bench", folder, *quick, *map(str, words)])
    assert "unexpected" not in result.stderr and "Traceback" not in result.output, result.output
    assert result.exit_code in codes, result.output
    return result


def process_ids(played):
    """Of the programs that run on it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            line = path.read_bytes()
            if bytes(played.root) in line and b"edgedeblur-bench" in line:
                found.append(int(path.parent.name))
    return found


def ended(played):
    for _ in range(100):
        if not process_ids(played):
            return True
        time.sleep(0.05)
    return False


def partial_report(work, played):
    path = work / f"partial-report-android-{played.serial.replace(':', '_')}.json"
    assert not (work / "report.json").exists()
    return read_report(path)


def test_the_report_is_of_the_phone_and_the_output_is_the_interpreters(fake, work):
    played = fake()
    result = bench("--adb", quick=PLAIN)
    report = read_report(work / "report.json")
    assert (work / "report-android.json").read_bytes() == (work / "report.json").read_bytes()
    assert result.exit_code == {"pass": 0, "fail": 3}[report.budget.verdict]
    assert report.provenance == "measured" and len(report.latency_ms.samples) == 50
    assert report.latency_ms.first is not None and report.latency_ms.load is not None
    assert report.device.output_identical is True and report.device.partial is None and report.sustained is None
    assert report.target.threads == 4 and report.device.used_cores == "4-7"
    assert [layer.name for layer in report.layers] == [spec["name"] for spec in compiled("android").manifest["layers"]]
    assert sum(layer.share for layer in report.layers) == pytest.approx(1)
    assert all(layer.mac_per_cycle == pytest.approx(layer.macs / (layer.ms * 10_099_200)) for layer in report.layers)
    assert 0 < report.memory_mb.peak_rss < 150 and report.peers == []
    assert any("--cores 4-7" in service and "--threads 4" in service for service in played.services)
    for text in ("Acme Sharp 5, Android 13, QTI SM8250", "4-7 of 8: 1x 2.84 GHz + 3x 2.42 GHz + 4x 1.80 GHz", "81 %"):
        assert text in result.stdout


def test_environment_and_device_are_the_phones_before_and_after(fake, work):
    played = fake()

    def heat():
        set_zone(played.root, 1, "cpu-1-3-usr", "61000")
        played.place("/dumpsys-battery").write_text(battery(80, 340, 3, False))

    played.at_run(10, heat)
    assert "the phone is charging" in bench("--adb", "--no-profile").stderr
    report = read_report(work / "report.json")
    environment, device = report.environment, report.device
    assert (environment.cpu, environment.cores, environment.governor) == ("QTI SM8250 (kona)", 8, "schedutil")
    assert (environment.temperature_c_before, environment.temperature_c_after) == (44.5, 61.0)
    assert environment.tool_versions["adb"] == "1.0.41" and "adbutils" in environment.tool_versions
    assert (device.serial, device.model, device.android_version) == (played.serial, "Sharp 5", "13")
    assert [zone.name for zone in device.thermal_zones] == ["battery", "cpu-0-0-usr", "cpu-1-3-usr"]
    before, after = device.battery_before, device.battery_after
    assert (before.level_percent, before.charging, before.source) == (81.0, True, "USB")
    assert (after.level_percent, after.charging, after.temperature_c) == (80.0, False, 34.0)


@needs_mca
def test_an_estimate_stands_beside_the_phones_times_with_its_error(fake, work):
    fake()
    result = bench("--adb", "--estimate", "--no-profile")
    report = read_report(work / "report.json")
    assert report.provenance == "measured" and report.estimate.threads == report.target.threads == 1
    assert report.estimate.error == pytest.approx(report.estimate.latency_ms / report.latency_ms.p50 - 1)
    assert "estimated, not measured" in result.stdout


def test_a_second_measurement_pushes_nothing_and_clean_leaves_nothing(fake, work):
    played = fake()
    assert "pushed edgedeblur-bench, input.rgb" in bench("--adb", "--no-profile").stderr
    before = played.pushed_bytes
    result = bench("--adb", played.serial, "--no-profile", "--adb-clean")
    assert (
        "it has all files already" in result.stderr and "removed /data/local/tmp/edgedeblur from phone" in result.stderr
    )
    assert played.pushed_bytes == before and not played.folder.exists()


def test_the_word_after_adb_may_be_the_artefact(fake, work):
    fake()
    result = CliRunner().invoke(cli, ["bench", "--adb", str(compiled("android").path), *QUICK, "--no-profile"])
    assert result.exit_code in (0, 3) and read_report(work / "report.json").device is not None


def test_cores_and_threads_can_be_chosen(fake, work):
    played = fake()
    bench("--adb", "--cores", "0,4-5", "--threads", "2", "--no-profile")
    assert any("--threads 2" in service and "--cores 0,4-5" in service for service in played.services)
    assert read_report(work / "report.json").device.used_cores == "0,4-5"
    assert "the phone has 0-7" in bench("--adb", "--cores", "4-9", code=2).stderr


def test_output_that_is_not_the_interpreters_has_no_report(fake, work, monkeypatch):
    fake()
    pull = bench_phone.pull
    monkeypatch.setattr(bench_phone, "pull", lambda *given: bytes([pull(*given)[0] ^ 1]) + pull(*given)[1:])
    assert "1 of 18,432 bytes differ, the first at row 0" in bench("--adb", code=1).stderr
    monkeypatch.setattr(bench_phone, "pull", lambda *given: b"short")
    assert "wrote an image of 5 bytes, not 18,432" in bench("--adb", code=1).stderr
    assert not work.exists()


def test_a_phone_of_another_abi_gets_nothing_pushed(fake, work):
    played = fake(Build(abis="armeabi-v7a,armeabi"))
    assert "runs armeabi-v7a, armeabi; the artefact is for arm64-v8a" in bench("--adb", code=1).stderr
    assert played.pushed_bytes == 0 and not work.exists()


def test_an_artefact_for_this_machine_is_refused_with_the_command_for_a_phone(fake):
    fake()
    refused = bench("--adb", code=1, artefact=compiled("host").path).stderr
    assert "the artefact is for x86_64" in refused and "edgedeblur compile --target android" in refused


def test_a_full_phone_is_said(fake):
    fake(faults=Faults(storage_bytes=10_000))
    stderr = bench("--adb", code=1).stderr
    assert "has no room in /data/local/tmp/edgedeblur" in stderr and "free some storage" in stderr


def test_one_of_two_phones_must_be_named(fake):
    first, second = fake(), fake()
    stderr = bench("--adb", code=2).stderr
    assert "2 phones are attached: " in stderr and first.serial in stderr and second.serial in stderr
    assert second.serial in bench("--adb", second.serial, "--no-profile").stdout


def test_unplugging_before_the_first_run_leaves_no_report(fake, work):
    played = fake(faults=Faults(vanish_after_pushed=50_000))
    assert f"phone {played.serial} went away" in bench("--adb", code=1).stderr
    assert not work.exists()


def test_unplugging_in_mid_run_keeps_the_runs_until_then_marked_as_partial(fake, work):
    played = fake()
    played.at_run(20, played.unplug)
    stderr = bench("--adb", "--min-seconds", "60", code=1).stderr
    assert (
        f"phone {played.serial} went away" in stderr and "marked as partial" in stderr and "check the cable" in stderr
    )
    report = partial_report(work, played)
    assert "went away" in report.device.partial and report.device.output_identical is None
    count = len(report.latency_ms.samples)  # told four times a second: many at once on a quick machine
    assert 10 <= count < 1000 and (report.latency_ms.p90 is None) == (count < MIN_RUNS)
    assert (report.budget.latency, report.budget.verdict, report.memory_mb.peak_rss) == ("unknown", "unknown", None)
    assert ended(played)


def test_a_program_that_hangs_is_ended_after_the_time_limit(fake, work, monkeypatch):
    monkeypatch.setattr("edgedeblur.device.program._GRACE_S", 0.5)
    played = fake()
    played.at_run(5, played.hang)
    stderr = bench("--adb", "--timeout", "1", "--min-seconds", "60", code=1).stderr
    assert "did not respond for 1 s" in stderr and "--timeout" in stderr
    assert "did not respond" in partial_report(work, played).device.partial
    assert ended(played)


def test_ctrl_c_ends_the_program_on_the_phone_and_keeps_what_it_had_measured(fake, work):
    played = fake()
    running = []

    def interrupt():
        running.extend(process_ids(played))
        os.kill(os.getpid(), signal.SIGINT)

    played.at_run(60, interrupt)
    stderr = bench("--adb", "--min-seconds", "60", code=130).stderr
    assert "interrupted; the program on phone" in stderr and "marked as partial" in stderr
    report = partial_report(work, played)
    assert len(report.latency_ms.samples) >= 60 and report.latency_ms.p90 is not None
    assert report.memory_mb.peak_rss > 0  # the program printed its result when it was asked to end
    assert report.budget.verdict == "unknown" and "interrupted" in report.device.partial
    assert len(running) == 1 and ended(played)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_something_on_the_phone_ended_is_partial_too(fake, work):
    """Android's low-memory killer, for one."""
    played = fake()
    played.at_run(12, lambda: [os.kill(pid, signal.SIGKILL) for pid in process_ids(played)])
    stderr = bench("--adb", "--min-seconds", "60", "--adb-clean", code=1).stderr
    assert "was ended by SIGKILL" in stderr and "marked as partial" in stderr
    assert len(partial_report(work, played).latency_ms.samples) >= 12
    assert not played.folder.exists()


def test_unplugging_is_no_way_to_clean_up(fake):
    played = fake()
    played.at_run(12, played.unplug)
    stderr = bench("--adb", "--adb-clean", code=1).stderr
    assert f"is still on phone {played.serial}" in stderr and "marked as partial" in stderr


def test_a_model_name_that_looks_like_markup_is_shown_as_it_is(fake):
    fake(Build(model="[/red] [x]"))
    assert "Acme [/red] [x]" in bench("--adb", "--no-profile").stdout
    assert "Acme [/red] [x]" in bench("--devices", "all", "--no-profile").stdout.replace("\n", " ")


def test_a_sustained_run_is_watched_plotted_and_judged(fake, work):
    fake()
    result = bench("--adb", "--no-profile", "--sustained", "0.05")
    report = read_report(work / "report.json")
    sustained = report.sustained
    assert sustained.throttled is not True  # however slow other work makes it: its clock stays
    assert sustained.seconds > 2.9 and sustained.runs == len(sustained.samples_ms) == len(sustained.at_s)
    assert len(report.latency_ms.samples) == 50  # the verdict is of the timed runs alone
    assert len(sustained.readings) >= 2
    assert all(reading.clock_mhz == 2841.6 for reading in sustained.readings)
    assert all(reading.temperature_c == 44.5 for reading in sustained.readings)
    assert Image.open(work / sustained.plot).width > 500
    assert "throttled" in result.stdout
    page = CliRunner().invoke(cli, ["report"])
    assert page.exit_code == 0
    text = (work / "report.html").read_text()
    assert text.count("<svg") == 2 and "A window is throttled when" in text and "Acme Sharp 5" in text


def test_unplugging_in_a_sustained_run_keeps_its_beginning(fake, work):
    played = fake()
    played.at_run(90, played.unplug)
    bench("--adb", "--no-profile", "--sustained", "5", code=1)
    report = partial_report(work, played)
    assert report.device.output_identical is True and report.latency_ms.p90 is not None
    assert "went away" in report.sustained.partial and 20 <= report.sustained.runs < 1000
    assert report.budget.verdict == "unknown"


def test_cooldown_waits_before_anything_is_timed(fake, work, monkeypatch):
    played = fake()
    monkeypatch.setattr("edgedeblur.device.cooldown._POLL_S", 0.01)
    said = []

    def tell(line):
        said.append(line)
        if line.startswith("waiting"):
            set_zone(played.root, 1, "cpu-1-3-usr", "31000")
            set_zone(played.root, 0, "cpu-0-0-usr", "34000")

    monkeypatch.setattr("edgedeblur.cli.bench.say", tell)
    bench("--adb", "--cooldown", "35", "--no-profile")
    waits, timings = (
        [index for index, line in enumerate(said) if line.startswith(word)] for word in ("waiting for 35 C", "timing")
    )
    assert len(waits) == len(timings) == 1 and waits < timings
    assert read_report(work / "report.json").environment.temperature_c_before == 34.0


def test_every_attached_phone_is_measured_and_one_that_fails_does_not_stop_the_others(fake, work):
    first, second = fake(), fake(Build(model="Soft 3", soc="SM7150", clocks_khz=(1_800_000,) * 6 + (2_200_000,) * 2))
    wrong = fake(Build(model="Old 1", abis="armeabi-v7a"))
    result = bench("--devices", "all", "--no-profile", code=(1, 3), quick=PLAIN)
    for played, threads in ((first, 4), (second, 2)):
        report = read_report(work / f"report-android-{played.serial.replace(':', '_')}.json")
        assert report.device.serial == played.serial and report.target.threads == threads
        assert played.serial in result.stdout
    assert "Acme Sharp 5" in result.stdout and "Acme Soft 3" in result.stdout and "SM7150" in result.stdout
    assert f"({wrong.serial}) runs armeabi-v7a" in result.stderr
    slowest = max(
        (read_report(path) for path in work.glob("report-android-*")), key=lambda report: report.latency_ms.p90
    )
    assert read_report(work / "report.json") == slowest


def test_an_emulator_has_output_and_memory_but_never_a_time(fake, work):
    fake(Build(emulator=True))
    assert "its times say nothing about a phone" in bench("--adb", code=0).stderr
    report = read_report(work / "report.json")
    assert report.provenance == "simulated" and report.latency_ms.samples == [] and report.latency_ms.p90 is None
    assert all(layer.ms is None for layer in report.layers)
    assert (report.budget.latency, report.budget.memory) == ("unknown", "pass") and report.device.output_identical
    assert "emulator" in bench("--adb", "--sustained", "1", code=2).stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sustained", "1"], "go with --adb or --devices all"),
        (["--adb-clean"], "go with --adb or --devices all"),
        (["--adb", "x", "--devices", "all"], "give either"),
        (["--devices", "some"], "'some'"),
        (["--adb", "--sustained", "0"], "above 0 to 1440 minutes"),
        (["--adb", "--timeout", "-1"], "above 0 to 86400 seconds"),
        (["--adb", "--timeout", "inf"], "above 0 to 86400 seconds"),
        (["--adb", "--cooldown", "300"], "0 to 100 degrees"),
        (["--adb", "--cooldown", "nan"], "0 to 100 degrees"),
        (["--adb", "--min-seconds", "-1"], "-1"),
    ],
)
def test_bad_use_is_said_before_any_phone_is_asked(words, message):
    assert message in bench(*words, code=2).stderr


def test_peers_do_not_run_on_phones(fake):
    fake()
    assert "leave out --against" in bench("--adb", "--against", "litert", code=2).stderr


def test_without_a_phone_the_command_says_so_and_writes_nothing(fake, work):
    assert "no phone is attached" in bench("--adb", code=1).stderr
    assert not work.exists()
