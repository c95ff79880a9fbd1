"""Phones that send too much, for ever, or what no phone sends: every read ends, with a message, in bounded memory."""

import time
import tracemalloc

import pytest
from adbd import hostile
from adbd.hostile import block, for_ever, once, packet, says
from adbd.sandbox import hide_zones

from edgedeblur.device import program, shell, transfer
from edgedeblur.device.condition import parse_battery, parse_thermal_service, read_condition
from edgedeblur.device.errors import BadAnswer, ContactLost, PhoneSilent
from edgedeblur.device.facts import parse_core_list, parse_properties, read_facts
from edgedeblur.device.program import run_program_on
from edgedeblur.device.shell import run
from edgedeblur.device.transfer import pull, push, remote_folder
from edgedeblur.device.watch import Watch
from edgedeblur.errors import UserError
from edgedeblur.runtime.program import parse_bench_output

FOLDER = remote_folder("hostile")
DIGITS = "9" * 5000
SHORT_S = 0.5
SLACK_S = 60.0  # of a busy machine
MOST_MB = 60

# As a Pixel prints it, with the field that LineageOS on other phones leaves empty, with and without the blank.
BATTERY = """\
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Max charging current:
  status: 2
  health: 2
  present: true
  level: 57
  scale: 100
  temperature: 287
  technology: \n"""


@pytest.fixture(autouse=True)
def bounded():
    """Time and memory of every test here."""
    begin = time.monotonic()
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    assert time.monotonic() - begin < SLACK_S and peak < MOST_MB, f"{peak:.0f} MB"


def asked(phone, answer, timeout_s=SHORT_S):
    """What becomes of a question that is answered so."""
    played, connection = phone
    played.faults.shell["what-is-it"] = answer
    return run(connection, "what-is-it", timeout_s)


@pytest.mark.parametrize("answer", [hostile.ENDLESS_OUTPUT, hostile.ENDLESS_ERRORS], ids=["output", "errors"])
def test_an_answer_without_an_end_is_broken_off_by_its_size(phone, answer):
    with pytest.raises(BadAnswer, match=r"sent more than 1,048,576 bytes in answer to: what-is-it") as raised:
        asked(phone, answer, timeout_s=SLACK_S)
    assert "adb kill-server" in raised.value.fix


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (hostile.EMPTY_PACKETS, PhoneSilent, "did not respond for 0.5 s"),
        (hostile.UNKNOWN_PACKETS, PhoneSilent, "did not respond for 0.5 s"),
        (hostile.SLOW_OUTPUT, ContactLost, "had not ended its answer after 0.5 s|did not respond"),
        (once(packet(1, b"begun")), ContactLost, "had not ended its answer after 0.5 s|did not respond"),
        (hostile.EXIT_WITHOUT_STATUS, BadAnswer, "does not speak the shell protocol"),
        (hostile.EXIT_OF_GIGABYTES, BadAnswer, "does not speak the shell protocol"),
        (hostile.PACKET_OF_GIGABYTES, BadAnswer, "does not speak the shell protocol"),
        (hostile.NOISE, ContactLost, "phone"),
    ],
    ids=["empty", "unknown", "slow", "stopped", "no status", "long status", "long packet", "noise"],
)
def test_an_answer_that_is_none_is_given_up_in_time(phone, answer, error, message):
    with pytest.raises(error, match=message):
        asked(phone, answer)


def test_what_is_not_utf8_is_read_all_the_same(phone):
    assert asked(phone, says(b"a\xff\xfe\x00b"), SLACK_S).output == "a\ufffd\ufffd\x00b"
    played, connection = phone
    played.faults.shell["getprop"] = says(b"[ro.product.model]: [\xc3\x28]\n[ro.product.cpu.abilist]: [arm64-v8a]\n")
    assert read_facts(connection).model == "\ufffd("


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (for_ever(block(b"DATA", b"x" * 65_536)), UserError, "more than the 300,000 bytes expected"),
        (for_ever(block(b"DATA", b"")), BadAnswer, "sent an empty block"),
        (for_ever(block(b"DATA", b"x"), 0.02), ContactLost, "when its time was up|did not respond"),
        (once(block(b"DATA", b"", 0xFFFFFFFF)), BadAnswer, "sent a block of 4,294,967,295 bytes"),
        (once(block(b"FAIL", b"", 0xFFFFFFFF)), BadAnswer, "sent a block of 4,294,967,295 bytes"),
        (once(block(b"FAIL", b"\xffno" * 9000)), UserError, "cannot read"),
        (once(block(b"SPAM", b"spam")), BadAnswer, "sent b'SPAM'"),
        (once(block(b"DATA", b"half", 8)), PhoneSilent, "did not respond for 0.2 s"),
        (once(b"DA"), PhoneSilent, "did not respond for 0.2 s"),
    ],
    ids=["endless", "empty", "slow", "long block", "long reason", "odd reason", "unknown", "half", "header"],
)
def test_a_file_without_an_end_or_out_of_protocol_is_given_up(phone, answer, error, message):
    played, connection = phone
    played.faults.sync[b"RECV"] = answer
    with pytest.raises(error, match=message) as raised:
        pull(connection, f"{FOLDER}/file", 300_000, 0.2)
    assert len(raised.value.message) < 500


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (once(block(b"FAIL", b"\xff" * 9)), UserError, "did not take"),
        (once(block(b"FAIL", b"", 1 << 31)), BadAnswer, "sent a block of 2,147,483,648 bytes"),
        (once(block(b"WHAT", b"")), BadAnswer, "answered b'WHAT'"),
        (for_ever(b"O", 0.2), PhoneSilent, "did not respond"),
    ],
    ids=["odd reason", "long reason", "unknown", "slow"],
)
def test_a_push_that_is_answered_out_of_protocol_is_given_up(phone, answer, error, message):
    played, connection = phone
    played.faults.sync[b"SEND"] = answer
    with pytest.raises(error, match=message):
        push(connection, FOLDER, {"file": b"pixels"}, SHORT_S)


def runs(count, at_s=100.0, ms=5.0):
    return b"".join(packet(2, f"run {at_s + 0.005 * index:.3f} {ms:.6f}\n".encode()) for index in range(count))


PID = packet(2, b"pid 4711\n")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (hostile.after(PID, for_ever(packet(2, b"nonsense\n"), 0.05)), "did not respond for 0.5 s"),
        (hostile.after(PID, hostile.EMPTY_PACKETS), "did not respond for 0.5 s"),
        (hostile.after(PID, for_ever(packet(1, b"{"), 0.05)), "did not respond for 0.5 s"),
        (hostile.after(PID, for_ever(packet(2, b"run 100.000 5.000000\n"), 0.05)), "did not respond for 0.5 s"),
        (hostile.after(PID, hostile.ENDLESS_ERRORS), "sent a line of more than 65,536 bytes"),
        (hostile.after(PID, hostile.ENDLESS_OUTPUT), r"sent [\d,]+ bytes of a program's output"),
        (once(PID + runs(3) + runs(1, at_s=7.0)), "says that a run took 5 ms and ended at 7 s"),
        (once(PID + runs(3) + runs(1, at_s=1e11)), "says that a run took 5 ms and ended at 1e"),
        (once(PID + runs(1, ms=1e11)), "says that a run took 1e"),
        (once(PID + runs(1) + packet(2, b"level 100.000 0 0.500\n")), "says that level 0 was chosen at 100 s"),
        (once(PID + packet(2, f"run {DIGITS}.0 1.0\npid {DIGITS}\n".encode()) + packet(3, b"")), "shell protocol"),
    ],
    ids=["chatter", "empty", "output", "runs", "line", "flood", "back", "forward", "slow", "level", "digits"],
)
def test_a_program_that_says_too_much_or_nothing_is_broken_off(phone, monkeypatch, answer, message):
    monkeypatch.setattr(program, "_GRACE_S", 0.2)
    monkeypatch.setattr(program, "_MOST_BYTES", 1 << 20)
    played, connection = phone
    played.faults.shell["/edgedeblur-bench"] = answer
    outcome = run_program_on(connection, f"{FOLDER}/edgedeblur-bench", ["--runs", "8"], timeout_s=SHORT_S)
    assert outcome.result is None and len(outcome.runs) < 100
    with pytest.raises(ContactLost, match=message):
        raise outcome.failure


def test_complaints_of_a_program_are_cut(phone):
    played, connection = phone
    lines = b"".join(packet(2, b"\xff" * 2000 + b"\n") for _ in range(500))
    played.faults.shell["/edgedeblur-bench"] = hostile.after(lines, says(b"", 1))
    with pytest.raises(UserError) as raised:
        run_program_on(connection, f"{FOLDER}/edgedeblur-bench", [], timeout_s=SLACK_S)
    assert 1000 < len(raised.value.message) < 20_000


def result_text(**changes):
    plain = {"model": '"m"', "height": "64", "width": "96", "threads": "1", "interrupted": "false", "load_ms": "1.5"}
    plain |= {"first_ms": "2.5", "samples_ms": "[1.5,2]", "peak_rss_kb": "900", "peak_rss_source": '"VmHWM"'}
    plain |= {"arena_bytes": "1", "workspace_bytes": "2", "weights_bytes": "3", "schema_version": "1"}
    plain |= {"layers": '[{"name":"a","macs":4,"ms":0.5,"samples_ms":[0.5,0.5]}]'}
    return "{" + ",".join(f'"{name}":{value}' for name, value in (plain | changes).items()) + "}"


@pytest.mark.parametrize(
    "changes",
    [
        {"load_ms": "NaN"},
        {"load_ms": "1e999"},
        {"first_ms": "-Infinity"},
        {"first_ms": "-1"},
        {"peak_rss_kb": DIGITS},
        {"peak_rss_kb": "9" * 30},
        {"peak_rss_kb": "true"},
        {"samples_ms": '["1"]'},
        {"samples_ms": "{}"},
        {"samples_ms": "[1.5]"},
        {"samples_ms": "[" * 100_000},
        {"threads": '"1"'},
        {"interrupted": "0"},
        {"model": "null"},
        {"layers": '[{"name":"a","macs":4,"ms":"x","samples_ms":[]}]'},
        {"layers": '["a"]'},
        {"unknown": "1"},
    ],
    ids=lambda changes: next(f"{name}={value[:12]}" for name, value in changes.items()),
)
def test_a_result_is_taken_only_with_the_types_and_numbers_that_a_measurement_has(changes):
    assert parse_bench_output(result_text()).samples_ms == (1.5, 2)
    with pytest.raises(UserError, match="printed no result") as raised:
        parse_bench_output(result_text(**changes))
    assert len(raised.value.message) < 1000


def test_a_battery_with_empty_fields_is_read():
    found = parse_battery(BATTERY)
    assert (found.level, found.temperature_c, found.charging, found.source) == (57.0, 28.7, True, "USB")
    assert parse_battery(BATTERY.replace("technology: ", "technology:")) == found
    bare = parse_battery(BATTERY.replace("level: 57", "level:").replace("temperature: 287", "temperature:"))
    assert (bare.level, bare.temperature_c, bare.charging) == (None, None, True)


@pytest.mark.parametrize("value", [DIGITS, "1.5", "-", "0x10", "٣", "2147483647", "-7"])
def test_a_battery_with_nonsense_in_its_fields_has_no_such_reading(value):
    found = parse_battery(BATTERY.replace("57", value).replace("287", "9" + value))
    assert found.level is None and found.temperature_c is None


def thermal(value, name="CPU0"):
    return f"Current temperatures from HAL:\n\tTemperature{{mValue={value}, mType=0, mName={name}, mStatus=0}}\n"


@pytest.mark.parametrize("value", ["1.2.3", ".", "-", "-.", "1.", "1..2", DIGITS, f"1.{DIGITS}", "NaN", "1e5"])
def test_a_temperature_that_is_no_number_is_left_out(value):
    assert parse_thermal_service(thermal(value) + thermal("38.25", "CPU1").partition("\n")[2]) == {"CPU1": 38.25}


def test_numbers_of_thousands_of_digits_in_a_phones_files_are_no_numbers(phone):
    played, connection = phone
    cpu = played.place("/sys/devices/system/cpu")
    (cpu / "cpu0" / "cpufreq" / "cpuinfo_max_freq").write_text(DIGITS)
    played.place("/proc/meminfo").write_text(f"MemTotal: {DIGITS} kB\n")
    for zone in played.place("/sys/class/thermal").glob("*/temp"):
        zone.write_text(DIGITS)
    facts = read_facts(connection)
    assert facts.cores[0].max_mhz is None and facts.memory_mb is None
    assert read_condition(connection).temperatures_c == {}
    hide_zones(played.root)
    played.faults.shell["thermalservice"] = says(thermal("1.2.3").encode())
    played.faults.shell["battery"] = says(BATTERY.encode())
    assert read_condition(connection).cpu_c == 28.7


@pytest.mark.parametrize("text", ["[a]: [" * 150_000, "[\n" * 100_000, "[a]: [b\n" * 100_000, "[" * 1_000_000])
def test_properties_are_read_in_linear_time(text):
    assert len(parse_properties(text)) <= 1


def test_a_list_of_cores_that_no_phone_has_is_none(phone):
    assert parse_core_list("0-999," * 150_000) == []
    played, connection = phone
    played.place("/sys/devices/system/cpu/online").write_text("0-999," * 10_000)
    with pytest.raises(UserError, match="does not say which cores"):
        read_facts(connection)


@pytest.mark.parametrize(
    "output",
    [b"x" * 60_000, b"=== end\n" * 5000, b"/proc/uptime:1.5 2\n=== end\n" * 2000],
    ids=["text", "ends", "readings"],
)
def test_a_watch_ends_by_itself_where_the_loop_sends_more_than_it_can(phone, output):
    played, connection = phone
    played.faults.shell["while ["] = for_ever(packet(1, output))
    with Watch(connection, longest_s=30.0, spare_cores=None) as watch:
        watch._thread.join(SLACK_S / 2)
        assert not watch._thread.is_alive() and len(watch.readings) < 10_000


def test_the_bounds_are_those_of_the_protocols():
    assert shell._MAX_PACKET >= 1 << 20 and transfer._BLOCK == 1 << 16
