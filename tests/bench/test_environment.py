"""What is said of the machine comes from Linux's own files."""

import os

from edgedeblur.bench.environment import after, read_environment, temperature_c


def test_the_hottest_sensor_counts_and_unreadable_ones_do_not(tmp_path):
    for zone, text in (("thermal_zone0", "41500"), ("thermal_zone1", "55250"), ("thermal_zone2", "n/a")):
        folder = tmp_path / "class" / "thermal" / zone
        folder.mkdir(parents=True)
        (folder / "temp").write_text(text + "\n")
    assert temperature_c(tmp_path) == 55.25


def test_without_a_sensor_the_temperature_is_unknown(tmp_path):
    assert temperature_c(tmp_path) is None


def test_the_environment_names_the_processor_its_usable_cores_and_the_tools():
    environment = after(read_environment({"qemu": "7.2"}))
    assert environment.cpu and environment.cores == len(os.sched_getaffinity(0))
    assert {"python", "numpy", "qemu"} <= environment.tool_versions.keys()
