"""What phones print, as phones print it: Qualcomm, Exynos, Tensor, restricted and broken ones, and any text at all."""

import pytest
from adbd.sandbox import battery, hide_zones, set_zone
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedeblur.device.condition import (
    hottest_cpu,
    parse_battery,
    parse_thermal_service,
    read_condition,
    zone_names,
    zone_temperatures,
)
from edgedeblur.device.cooldown import wait_until_cool
from edgedeblur.device.facts import (
    Core,
    check_abi,
    parse_core_list,
    parse_files,
    parse_properties,
    read_facts,
)
from edgedeblur.errors import UserError

# As `dumpsys thermalservice` prints it on Android 13 (AOSP, ThermalManagerService.dump).
THERMAL_SERVICE = """\
IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 2
Thermal Status: 0
Cached temperatures:
\tTemperature{mValue=99.0, mType=0, mName=CPU0, mStatus=0}
HAL Ready: true
HAL connection:
\tThermalHAL 2.0 connected: yes
Current temperatures from HAL:
\tTemperature{mValue=38.2, mType=0, mName=CPU0, mStatus=0}
\tTemperature{mValue=45.5, mType=0, mName=CPU7, mStatus=0}
\tTemperature{mValue=31.0, mType=2, mName=battery, mStatus=0}
\tTemperature{mValue=-3.4028235E38, mType=3, mName=skin, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=cpu0}
"""
TYPE, TEMP = "/sys/class/thermal/thermal_zone{}/type", "/sys/class/thermal/thermal_zone{}/temp"


def zones(**texts):
    files = {}
    for number, (kind, text) in enumerate(texts.items()):
        files[TYPE.format(number)], files[TEMP.format(number)] = kind, text
    return zone_temperatures(files, zone_names(files))


def test_a_phone_tells_what_it_is(phone):
    facts = read_facts(phone[1])
    assert (facts.name, facts.soc, facts.android, facts.sdk) == ("Acme Sharp 5", "QTI SM8250 (kona)", "13", 33)
    assert facts.kernel == "4.19.113-perf" and facts.memory_mb == pytest.approx(7_999.84, abs=0.01)
    assert [core.max_mhz for core in facts.cores] == [1804.8] * 4 + [2419.2] * 3 + [2841.6]
    assert facts.cores[7] == Core(7, 2841.6, None, "schedutil") and not facts.is_emulator


def test_capacities_are_read_where_the_kernel_has_them_and_cores_that_are_off_are_left_out(phone):
    played, connection = phone
    cpu = played.place("/sys/devices/system/cpu")
    (cpu / "online").write_text("0-3,7\n")
    (cpu / "cpu7" / "cpu_capacity").write_text("1024\n")
    (cpu / "cpu7" / "cpufreq" / "scaling_governor").unlink()
    facts = read_facts(connection)
    assert [core.number for core in facts.cores] == [0, 1, 2, 3, 7]
    assert facts.cores[-1] == Core(7, 2841.6, 1024, None)


def test_a_phone_that_does_not_name_its_cores_is_a_message(phone):
    played, connection = phone
    played.place("/sys/devices/system/cpu/online").write_text("all\n")
    with pytest.raises(UserError, match="does not say which cores"):
        read_facts(connection)


@pytest.mark.parametrize(
    ("abis", "architecture", "fix"),
    [
        ("armeabi-v7a,armeabi", "aarch64", "a phone with 64-bit ARM Android is needed"),
        ("arm64-v8a,armeabi-v7a", "x86_64", "edgedeblur compile --target android"),
        ("", "aarch64", "64-bit"),
    ],
)
def test_a_phone_of_another_abi_is_refused(phone, abis, architecture, fix):
    played, connection = phone
    text = played.place("/properties").read_text()
    played.place("/properties").write_text(text.replace("[arm64-v8a,armeabi-v7a,armeabi]", f"[{abis}]"))
    with pytest.raises(UserError, match="the artefact is for") as raised:
        check_abi(read_facts(connection), architecture)
    assert fix in raised.value.fix and (abis.split(",")[0] or "unknown ABIs") in raised.value.message


def test_temperatures_come_from_the_kernel_and_from_androids_service_where_the_kernels_are_closed(phone):
    played, connection = phone
    condition = read_condition(connection)
    assert condition.temperatures_c == {"battery": 30.5, "cpu-0-0-usr": 41.2, "cpu-1-3-usr": 44.5}
    assert condition.cpu_c == 44.5
    hide_zones(played.root)
    assert read_condition(connection).cpu_c == 30.5  # the battery's, when nothing else can be read
    played.place("/dumpsys-thermalservice").write_text(THERMAL_SERVICE)
    assert read_condition(connection).temperatures_c == {"CPU0": 38.2, "CPU7": 45.5, "battery": 31.0}
    assert read_condition(connection).cpu_c == 45.5


def test_the_hottest_sensor_of_the_processor_counts_whatever_it_is_called():
    assert hottest_cpu({"cpu-1-0-usr": 50.0, "battery": 60.0}) == 50.0  # Qualcomm
    assert hottest_cpu({"BIG": 55.0, "LITTLE": 51.0, "G3D": 70.0}) == 55.0  # Exynos, Tensor
    assert hottest_cpu({"mtktscpu": 47.0, "mtktspa": 52.0}) == 47.0  # MediaTek
    assert hottest_cpu({"tz1": 30.0, "tz2": 40.0}) == 40.0
    assert hottest_cpu({}) is None


@pytest.mark.parametrize(
    ("text", "degrees"),
    [("41200", 41.2), ("-5300", -5.3), ("412", 41.2), ("41", 41.0), ("1000", 1.0), ("150000", 150.0)],
)
def test_zones_count_in_thousandths_tenths_or_whole_degrees(text, degrees):
    assert zones(cpu=text) == {"cpu": pytest.approx(degrees)}


@pytest.mark.parametrize("text", ["", "0", "-273000", "2147483647", "n/a", "200000", "-40000000"])
def test_sensors_that_are_off_are_left_out(text):
    assert zones(cpu=text, skin="30000") == {"skin": 30.0}


def test_zones_of_the_same_name_are_told_apart():
    files = {TYPE.format(0): "cpu", TYPE.format(12): "cpu", TEMP.format(0): "30000", TEMP.format(12): "31000"}
    assert zone_temperatures(files, zone_names(files)) == {"cpu.0": 30.0, "cpu.12": 31.0}


@pytest.mark.parametrize(
    ("status", "usb", "charging", "source"),
    [(2, True, True, "USB"), (5, True, True, "USB"), (5, False, False, None), (3, False, False, None)],
)
def test_the_battery_tells_its_level_and_whether_it_is_charged(status, usb, charging, source):
    found = parse_battery(battery(64, 312, status, usb))
    assert (found.level, found.temperature_c, found.charging, found.source) == (64.0, 31.2, charging, source)


def test_a_device_without_a_battery_has_none():
    assert parse_battery("Can't find service: battery\n") is None


def test_properties_and_files_are_read_line_by_line():
    assert parse_properties("[a.b]: [x]\r\n[c]: [two\nlines]\n[d]: []\n") == {"a.b": "x", "c": "two\nlines", "d": ""}
    assert parse_files("/a:1\n/b:x:y\n/b:z\ngrep: noise\n") == {"/a": "1", "/b": "x:y\nz"}
    assert [parse_core_list(text) for text in ("0-3,6", "5", "", "x", "0-", "-1")] == [
        [0, 1, 2, 3, 6],
        [5],
        [],
        [],
        [],
        [],
    ]


@settings(max_examples=50)
@given(st.text())
def test_no_text_from_a_phone_breaks_a_parser(text):
    for parse in (parse_battery, parse_thermal_service, parse_properties, parse_files):
        parse(text)
    files = parse_files(text)
    zone_temperatures(files, zone_names(files))


@given(st.integers())
def test_no_number_in_a_zone_breaks_it(value):
    assert all(-40 <= degrees <= 150 for degrees in zones(cpu=str(value)).values())


def test_cooling_down_ends_when_the_phone_is_cool_and_tells_how_hot_it_was(phone, monkeypatch):
    played, connection = phone
    monkeypatch.setattr("edgedeblur.device.cooldown._POLL_S", 0.01)
    said = []

    def tell(line):
        said.append(line)
        set_zone(played.root, 1, "cpu-1-3-usr", "39800")
        set_zone(played.root, 0, "cpu-0-0-usr", "39000")

    wait_until_cool(connection, 40.0, tell)
    assert said == ["waiting for 40 C; the phone is at 44.5 C"]
    wait_until_cool(connection, 40.0, tell)
    assert len(said) == 1


def test_a_phone_that_stays_hot_is_given_up(phone, monkeypatch):
    monkeypatch.setattr("edgedeblur.device.cooldown._POLL_S", 0.01)
    with pytest.raises(UserError, match=r"still at 44.5 C after .* not 30 C"):
        wait_until_cool(phone[1], 30.0, print, longest_s=0.05)


def test_a_phone_without_any_thermometer_cannot_be_waited_for(phone):
    played, connection = phone
    hide_zones(played.root)
    played.place("/dumpsys-battery").unlink()
    with pytest.raises(UserError, match="gives no temperature") as raised:
        wait_until_cool(connection, 40.0, print)
    assert raised.value.fix == "leave out --cooldown"
