"""The doctor finds what is there and says how to fix what is not."""

import configparser
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from edgedeblur.workflow import doctor


@pytest.mark.parametrize(
    ("text", "status", "fix"),
    [
        ("numpy>=1.26", "ok", None),
        ("numpy<1", "missing", "pip install 'numpy<1'"),
        ("no-such-package-anywhere>=1", "missing", "pip install 'no-such-package-anywhere>=1'"),
        ("numpy<1; extra == 'peers'", "optional", "only for bench --against: pip install 'edgedeblur[peers]'"),
    ],
)
def test_a_package_is_held_against_its_declared_range(text, status, fix):
    check = doctor.check_requirement(Requirement(text))
    assert (check.status, check.fix) == (status, fix)


def test_what_every_extra_is_for_is_known_so_that_none_counts_as_missing():
    declared = configparser.ConfigParser()
    declared.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
    assert set(declared["options.extras_require"]) == set(doctor.EXTRAS)


def test_the_ffi_version_that_crashes_tvm_is_found(monkeypatch):
    monkeypatch.setattr(doctor, "version_of", lambda name: "0.1.15.post1" if name == "apache-tvm-ffi" else "9")
    found = {check.name: check for check in doctor.check_requirements()}["apache-tvm-ffi"]
    assert found.status == "missing" and "0.1.15.post1, outside" in found.found and "<0.1.15" in found.fix


def test_a_tool_that_is_not_there_is_optional_and_named_with_its_package():
    check = doctor.check_tool("no-such-tool", "--version", "phones", "apt-get install it")
    assert check.status == "optional" and check.fix == "only for phones: apt-get install it"


def test_the_adb_in_the_path_goes_before_the_one_that_adbutils_brings(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.check_adb().found.endswith("adbutils/binaries/adb")
    (tmp_path / "adb").write_text("#!/bin/sh\necho version 1\n")
    (tmp_path / "adb").chmod(0o755)
    check = doctor.check_adb()
    assert check.status == "ok" and check.found == f"version 1, {tmp_path}/adb"


def test_without_adbutils_there_are_no_phones(monkeypatch):
    monkeypatch.setitem(sys.modules, "adbutils", None)
    check = doctor.check_adb()
    assert check.status == "optional" and check.fix == "only for phones: pip install 'edgedeblur[adb]'"


@pytest.mark.parametrize("has_toolchain", [False, True])
def test_an_ndk_is_one_that_holds_a_toolchain(tmp_path, monkeypatch, has_toolchain):
    if has_toolchain:
        (tmp_path / "toolchains" / "llvm" / "prebuilt").mkdir(parents=True)
    monkeypatch.setenv("ANDROID_NDK_HOME", str(tmp_path))
    assert doctor.check_ndk().status == ("ok" if has_toolchain else "optional")


def test_a_full_disk_is_found_where_the_work_directory_will_be(tmp_path, monkeypatch):
    assert doctor.check_disk(tmp_path / "not" / "yet").found.endswith(str(tmp_path))
    monkeypatch.setattr(doctor, "MIN_FREE_GB", 1e9)
    assert doctor.check_disk(tmp_path).status == "missing"
