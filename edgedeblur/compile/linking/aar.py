"""The AAR: the library and its Kotlin class in the one file that an app's Gradle build takes.

By Android's "Anatomy of an AAR": a zip file with a manifest, classes.jar and jni/<ABI>/ at fixed places.
"""

import zipfile
from pathlib import Path

from edgedeblur.artefact.names import AAR, ANDROID_LIBRARY, LIBRARY
from edgedeblur.artefact.target import Target
from edgedeblur.storage.resources import resource_folder

_CLASSES = "classes.jar"  # of Deblurrer.kt, by `make android-classes`
_EPOCH = (1980, 1, 1, 0, 0, 0)  # zip's first date: the same content gives the same bytes
_MANIFEST = """<?xml version="1.0" encoding="utf-8"?>
<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="io.edgedeblur">
    <uses-sdk android:minSdkVersion="{api}" />
{more}</manifest>
"""
# From Android 12 on the system hides a vendor's library from apps that do not name it.
_DRIVER = """    <application>
        <uses-native-library android:name="libOpenCL.so" android:required="false" />
    </application>
"""
_KEEP = "-keep class io.edgedeblur.** { *; }\n"  # the library finds the class and its methods by name
_METADATA = "aarFormatVersion=1.0\naarMetadataVersion=1.0\n"  # no least compileSdk or Gradle plugin


def write_aar(folder: Path, target: Target) -> None:
    """Writes AAR into the folder, whose ANDROID_LIBRARY is there. Its parts are stored, not compressed: the app's own
    package compresses them."""
    parts = {
        "AndroidManifest.xml": _MANIFEST.format(api=target.android_api, more=_DRIVER if target.gpu else "").encode(),
        "META-INF/com/android/build/gradle/aar-metadata.properties": _METADATA.encode(),
        "R.txt": b"",
        "classes.jar": (resource_folder("runtime") / "android" / _CLASSES).read_bytes(),
        f"jni/arm64-v8a/{LIBRARY}": (folder / ANDROID_LIBRARY).read_bytes(),
        "proguard.txt": _KEEP.encode(),
    }
    with zipfile.ZipFile(folder / AAR, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
