"""The AAR: what an app's Gradle build finds in it."""

import io
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
import zipfile

import pytest
from artefacts import compiled

from edgedeblur.compile.linking.aar import write_aar
from edgedeblur.storage.digests import digest
from edgedeblur.storage.resources import resource_folder

WRAPPER = resource_folder("runtime") / "android"


@pytest.fixture(scope="module")
def parts():
    with zipfile.ZipFile(compiled("android-arm64").path / "edgedeblur.aar") as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_everything_lies_where_androids_build_looks_for_it(parts):
    assert {"AndroidManifest.xml", "R.txt", "classes.jar", "proguard.txt"} <= set(parts)
    assert parts["jni/arm64-v8a/libedgedeblur_model.so"] == compiled("android-arm64").library.read_bytes()
    assert "aarFormatVersion=1.0\n" in parts["META-INF/com/android/build/gradle/aar-metadata.properties"].decode()


def test_the_manifest_names_the_package_and_the_targets_api_level(parts):
    root = ET.fromstring(parts["AndroidManifest.xml"])
    assert (root.tag, root.get("package")) == ("manifest", "io.edgedeblur")
    least = root.find("uses-sdk").get("{http://schemas.android.com/apk/res/android}minSdkVersion")
    assert int(least) == compiled("android-arm64").target.android_api
    assert root.find("application") is None, "no driver's library to name without kernels for a GPU"


def test_the_classes_are_those_of_the_kotlin_source_that_ships(parts):
    with zipfile.ZipFile(io.BytesIO(parts["classes.jar"])) as jar:
        manifest = jar.read("META-INF/MANIFEST.MF").decode()
        assert f"Source-SHA256: {digest(WRAPPER / 'Deblurrer.kt')}" in manifest, (
            "Deblurrer.kt has changed: make android-classes"
        )
        code = jar.read("io/edgedeblur/Deblurrer.class")
    natives = re.findall(r"external fun (\w+)\(", (WRAPPER / "Deblurrer.kt").read_text())
    assert code[:8] == b"\xca\xfe\xba\xbe\0\0\0\x34" and natives  # a class file of Java 8
    assert all(b"\x01\0" + bytes([len(name)]) + name.encode() in code for name in natives)


@pytest.mark.skipif(shutil.which("javap") is None, reason="needs a JDK")
def test_a_jdk_reads_the_class(parts, tmp_path):
    (tmp_path / "classes.jar").write_bytes(parts["classes.jar"])
    command = ["javap", "-p", "-cp", tmp_path / "classes.jar", "io.edgedeblur.Deblurrer"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "public final class io.edgedeblur.Deblurrer implements java.lang.AutoCloseable" in said
    assert "public final android.graphics.Bitmap run(android.graphics.Bitmap);" in said
    assert "private final native void nativeRun(long, int[]);" in said
    assert "android.graphics.Bitmap run(android.media.Image, int, int, int, io.edgedeblur.Mask);" in said


def test_the_same_artefact_gives_the_same_bytes(tmp_path):
    folder = shutil.copytree(compiled("android-arm64").path, tmp_path / "artefact")
    (folder / "edgedeblur.aar").unlink()
    write_aar(folder, compiled("android-arm64").target)
    assert (folder / "edgedeblur.aar").read_bytes() == (compiled("android-arm64").path / "edgedeblur.aar").read_bytes()
