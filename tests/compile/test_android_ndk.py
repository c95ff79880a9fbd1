"""With an NDK on request: its clang links the library, which is compared with zig's."""

import json
import shutil
from pathlib import Path

import pytest
from artefacts import compiled
from ndk import fake_ndk
from networks import random_network, tiny_spec

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.linking import android
from edgedeblur.compile.linking.elf import read_library
from edgedeblur.errors import UserError
from edgedeblur.storage.resources import resource_folder


def test_an_ndks_clang_links_for_the_targets_api_level(tmp_path, monkeypatch):
    text = (resource_folder("targets") / "android.toml").read_text().replace("android_api = 24", "android_api = 29")
    (tmp_path / "new_phones.toml").write_text(text)
    monkeypatch.setenv("ANDROID_NDK_HOME", str(fake_ndk(tmp_path)))
    network, target, lines = random_network(tiny_spec()), load_target(tmp_path / "new_phones.toml"), []
    artefact = compile_network(network, target, 16, 16, tmp_path / "artefact", lines.append)
    told = json.loads((artefact.path / "argv.json").read_text())
    assert told[0] == "--target=aarch64-linux-android29"
    assert {"-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-z,max-page-size=16384"} <= set(told)
    assert not any("bench" in argument for argument in told if argument.endswith(".c"))
    assert any("for Android API 29 with the NDK in " in line for line in lines)
    zigs = "of zig's"
    compared = [line for line in lines if "the NDK's library" in line]
    assert len(compared) == 3 and compared[0].endswith(zigs) and compared[1].endswith(zigs)
    assert [path.name for path in artefact.library.parent.iterdir()] == [artefact.library.name]


def test_the_comparison_names_what_only_one_library_has():
    def listed(lines):
        return "\n".join(lines)

    phones, linux = compiled("android-arm64").library, compiled("host").library
    same = listed(android.compare_libraries(phones, phones))
    assert "besides" not in same and "but not" not in same
    told = listed(android.compare_libraries(linux, phones))
    assert f"takes the {len(read_library(phones).undefined)} symbols of zig's besides " in told
    assert "but not Java_io_edgedeblur_Deblurrer_nativeCreate, " in told
    sizes = read_library(linux).sections[".text"], read_library(phones).sections[".text"]
    assert ".text {:,} (zig's {:,})".format(*sizes) in told


def test_a_failing_ndk_is_quoted(tmp_path):
    ndk = fake_ndk(tmp_path, "#!/bin/sh\necho error: no such cpu >&2\nexit 3\n")
    with pytest.raises(UserError, match="(?s)clang --target=.*ended with status 3:\nerror: no such cpu"):
        android.link_with_ndk(tmp_path, load_target("android"), ndk)


def test_a_folder_that_is_no_ndk_is_refused(tmp_path):
    with pytest.raises(UserError, match="ANDROID_NDK_HOME is .*, which has no toolchains/llvm"):
        android.ndk_clang(tmp_path)


def test_the_ndk_comes_from_the_environment():
    assert android.ndk_from_environment({}) is None
    assert android.ndk_from_environment({"ANDROID_NDK_HOME": ""}) is None
    assert str(android.ndk_from_environment({"ANDROID_NDK_HOME": "/opt/ndk"})) == "/opt/ndk"


def test_a_link_that_fails_leaves_no_stubs(tmp_path):
    folder = Path(shutil.copytree(compiled("android-arm64").path, tmp_path / "artefact"))
    (folder / "runtime/pool.c").write_text("#error broken\n")
    with pytest.raises(UserError, match="pool.c:1:2: error: broken"):
        android.link_with_zig(folder, load_target("android-arm64"), "again.so")
    assert not (folder / "stubs").exists()
