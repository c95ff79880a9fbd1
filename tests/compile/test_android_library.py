"""The library for apps, linked without an NDK: where an app's build looks for it, loadable on phones, callable."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from artefacts import compiled, expected, noise
from ndk import build_double, run_double

from edgedeblur.artefact import names
from edgedeblur.artefact.folder import load_artefact
from edgedeblur.compile.linking import android, link
from edgedeblur.compile.linking.bionic import PAGE_BYTES, missing_symbols
from edgedeblur.compile.linking.elf import read_library
from edgedeblur.runtime.frame import Frame, empty_frame
from edgedeblur.runtime.session import Session
from edgedeblur.storage.resources import resource_folder

WRAPPER = resource_folder("runtime") / "android"


@pytest.fixture(scope="module")
def artefact():
    return compiled("android-arm64")


def readelf(artefact, *options: str) -> str:
    return subprocess.run(
        ["readelf", "-W", *options, artefact.library], capture_output=True, text=True, check=True
    ).stdout


def test_an_app_finds_the_library_where_its_build_looks_for_it(artefact):
    assert artefact.library == artefact.path / "jniLibs/arm64-v8a/libedgedeblur_model.so"
    assert load_artefact(artefact.path).library == artefact.library
    assert "stubs" not in {path.name for path in artefact.path.iterdir()}


def test_it_needs_bionics_c_library_and_only_functions_that_the_target_api_has(artefact):
    needed = re.findall(r"\(NEEDED\) +Shared library: \[(.*)\]", readelf(artefact, "-d"))
    assert "libc.so" in needed and set(needed) <= {"libc.so", "libdl.so", "libm.so"}
    assert re.findall(r"\(SONAME\) +Library soname: \[(.*)\]", readelf(artefact, "-d")) == [names.LIBRARY]
    undefined = re.findall(r" UND (\S+)$", readelf(artefact, "--dyn-syms"), re.MULTILINE)
    assert {"malloc", "pthread_create", "__errno", "getauxval"} <= set(undefined)
    assert missing_symbols(undefined, artefact.target.android_api) == []
    assert tuple(sorted(undefined)) == read_library(artefact.library).undefined


def test_its_segments_suit_pages_of_16_kib(artefact):
    segments = re.findall(
        r"^  (LOAD|GNU_RELRO) +\S+ (\S+) \S+ \S+ (\S+) ([RWE ]{3}) (\S+)$", readelf(artefact, "-l"), re.M
    )
    loads = [segment for segment in segments if segment[0] == "LOAD"]
    assert len(loads) >= 3 and {int(alignment, 16) for *_, alignment in loads} == {PAGE_BYTES}
    pages = [
        range(int(at, 16) // PAGE_BYTES, (int(at, 16) + int(size, 16) - 1) // PAGE_BYTES + 1)
        for _, at, size, *_ in loads
    ]
    assert all(before.stop <= after.start for before, after in zip(pages, pages[1:], strict=False))


def test_it_has_no_thread_local_segment_and_no_relocation_that_old_loaders_lack(artefact):
    assert " TLS " not in readelf(artefact, "-l") and "TLS" not in readelf(artefact, "-d")
    kinds = set(re.findall(r" (R_AARCH64_\w+) ", readelf(artefact, "-r")))
    assert kinds <= {"R_AARCH64_RELATIVE", "R_AARCH64_JUMP_SLOT", "R_AARCH64_GLOB_DAT", "R_AARCH64_ABS64"}
    assert "R_AARCH64_JUMP_SLOT" in kinds and "TEXTREL" not in readelf(artefact, "-d")


@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed")
def test_loaded_as_a_phone_loads_it_it_gives_the_interpreters_bytes_on_every_core(artefact, tmp_path):
    double = build_double(tmp_path, artefact.path, artefact.library)
    for cpu, isa in {"max": "i8mm", "cortex-a76": "sdot", "cortex-a53": "neon"}.items():
        done = run_double(double, cpu, artefact.library, 3, noise().tobytes())
        assert done.returncode == 0, done.stderr
        assert done.stderr.decode() == f"99 threads; allowed are 1 to 64\n{isa}\n"
        assert done.stdout == expected().tobytes()


def test_the_library_shows_the_header_and_the_wrapper_and_nothing_else(artefact):
    lines = subprocess.run(["nm", "-D", "--defined-only", artefact.library], capture_output=True, text=True, check=True)
    defined = {line.split()[-1] for line in lines.stdout.splitlines()}
    header = (artefact.path / names.HEADER).read_text()
    natives = {name for name in defined if name.startswith("Java_")}
    assert natives == {f"Java_io_edgedeblur_Deblurrer_{name}" for name in kotlin_natives()}
    assert all(f" {name}(" in header or f"*{name}(" in header for name in defined - natives)


def test_the_same_sources_give_the_same_library_in_another_folder(artefact, tmp_path):
    again = Path(shutil.copytree(artefact.path, tmp_path / "elsewhere"))
    android.link_with_zig(again, artefact.target, "again.so")
    assert (again / "again.so").read_bytes() == artefact.library.read_bytes()


def kotlin_natives() -> set[str]:
    return set(re.findall(r"external fun (\w+)\(", (WRAPPER / "Deblurrer.kt").read_text()))


def test_every_android_artefact_has_the_wrapper_and_says_how_to_call_it():
    artefact = compiled("android")
    readme = (artefact.path / "android/README.md").read_text()
    code = readme.split("```kotlin\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line]) == 5
    public = set(
        re.findall(r"^    (?:val|fun|override fun) (\w+)", (WRAPPER / "Deblurrer.kt").read_text(), re.MULTILINE)
    )
    camera = (Path(__file__).parents[2] / "docs/camera.md").read_text().split("```kotlin\n")[1].split("```")[0]
    assert set(re.findall(r"deblurrer\.(\w+)", code + camera)) <= public
    assert {"android/Deblurrer.kt", "android/edgedeblur_jni.c", "android/jni_table.h"} <= set(
        artefact.manifest["files"]
    )


def jdk_headers() -> Path:
    return Path(shutil.which("javac")).resolve().parents[1] / "include"


@pytest.mark.skipif(shutil.which("javac") is None, reason="needs a JDK")
def test_the_functions_of_jni_are_where_a_jdk_has_them(tmp_path):
    text = (jdk_headers() / "jni.h").read_text().split("struct JNINativeInterface_ {")[1].split("\n};")[0]
    functions = re.findall(r"\(JNICALL \*(\w+)\)", text)
    functions = functions[: functions.index("GetObjectRefType") + 1]  # the last of JNI 1.6; Android has no later ones
    assert len(functions) == 229

    def places(tag: str, header: str, *folders: Path) -> list[int]:
        values = ", ".join(f"offsetof(struct {tag}, {name})" for name in functions)
        (tmp_path / "table.c").write_text(
            f"#include <stddef.h>\n#include <{header}>\nconst size_t values[] = {{{values}, sizeof(jvalue)}};\n"
        )
        flags = [*(f"-I{folder}" for folder in folders), "-S", "table.c", "-o", "table.s"]
        link.run_compiler([*link.zig_cc("aarch64-linux-musl"), *flags], tmp_path)
        return [int(value) for value in re.findall(r"\.xword\s+(\d+)", (tmp_path / "table.s").read_text())]

    own = places("JNINativeInterface", "jni_table.h", WRAPPER)
    assert own == places("JNINativeInterface_", "jni.h", jdk_headers(), jdk_headers() / "linux")
    assert own == [*range(4 * 8, 233 * 8, 8), 8]


JAVA = """
package io.edgedeblur;

public class Deblurrer {
    private native long nativeCreate(int threads);
    private native void nativeRun(long handle, int[] argb);
    private native void nativeRunFrame(
        long h, Object[] from, int[] read, Object[] to, int[] written, int rotation, Object mask, int across, int down);
    private native void nativeDestroy(long handle);
    private native int nativeWidth();
    private native int nativeHeight();
    private native String nativeInstructionSet();

    static void refused(Runnable call, Class<?> kind) throws Exception {
        try { call.run(); } catch (RuntimeException e) {
            if (e.getClass() != kind) throw e;
            System.out.println(e.getMessage());
            return;
        }
        throw new Exception("not refused");
    }

    // Android's YUV_420_888 as phones give it: chroma in turn, each plane's buffer ending with its last sample.
    static void runFrame(Deblurrer d, long handle, String in, String out) throws Exception {
        byte[] bytes = java.nio.file.Files.readAllBytes(java.nio.file.Path.of(in));
        java.nio.ByteBuffer all = java.nio.ByteBuffer.allocateDirect(bytes.length).put(bytes);
        java.nio.ByteBuffer rgba = java.nio.ByteBuffer.allocateDirect(4 * 50 * 70);
        Object[] planes = {all.slice(0, 70 * 50), all.slice(3500, 35 * 50 - 1), all.slice(3501, 35 * 50 - 1)};
        int[] read = {50, 70, 5, 0, 1, 50, 50, 50, 1, 2, 2}, written = {70, 50, 1, 0, 1, 280, 1, 1, 1, 1, 1};
        java.nio.ByteBuffer mask = java.nio.ByteBuffer.allocateDirect(6);
        for (int i = 0; i < 6; i++) mask.put(i, (byte) (51 * i));
        d.nativeRunFrame(handle, planes, read, new Object[] {rgba}, written, 90, mask, 2, 3);
        byte[] restored = new byte[rgba.capacity()];
        rgba.get(restored);
        java.nio.file.Files.write(java.nio.file.Path.of(out), restored);
        Object[] small = {rgba.slice(0, 4 * 50 * 70 - 1)}, whole = {rgba};
        int[] wrong = read.clone();
        wrong[5] = 0;
        Class<?> argument = IllegalArgumentException.class;
        refused(() -> d.nativeRunFrame(handle, planes, read, small, written, 90, null, 0, 0), argument);
        refused(() -> d.nativeRunFrame(handle, planes, wrong, whole, written, 90, null, 0, 0), argument);
        refused(() -> d.nativeRunFrame(handle, planes, read, whole, read, 90, null, 0, 0), argument);
        refused(() -> d.nativeRunFrame(handle, planes, read, whole, written, 90, mask, 3, 3), argument);
        refused(() -> d.nativeRunFrame(0, planes, read, planes, read, 0, null, 0, 0), IllegalStateException.class);
    }

    public static void main(String[] words) throws Exception {
        System.load(words[0]);
        Deblurrer d = new Deblurrer();
        long handle = d.nativeCreate(2);
        byte[] rgb = java.nio.file.Files.readAllBytes(java.nio.file.Path.of(words[1]));
        int[] argb = new int[d.nativeWidth() * d.nativeHeight()];
        for (int i = 0; i < argb.length; i++)
            argb[i] = i << 24 | (rgb[3 * i] & 255) << 16 | (rgb[3 * i + 1] & 255) << 8 | rgb[3 * i + 2] & 255;
        d.nativeRun(handle, argb);
        for (int i = 0; i < argb.length; i++) {
            if (argb[i] >>> 24 != (i & 255)) throw new Exception("alpha changed");
            for (int c = 0; c < 3; c++) rgb[3 * i + c] = (byte) (argb[i] >> 16 - 8 * c);
        }
        java.nio.file.Files.write(java.nio.file.Path.of(words[2]), rgb);
        refused(() -> d.nativeRun(handle, new int[7]), IllegalArgumentException.class);
        refused(() -> d.nativeRun(0, argb), IllegalStateException.class);
        refused(() -> d.nativeCreate(99), IllegalStateException.class);
        runFrame(d, handle, words[3], words[4]);
        d.nativeDestroy(handle);
        System.out.println(d.nativeInstructionSet());
    }
}
"""


@pytest.mark.skipif(shutil.which("javac") is None, reason="needs a JDK")
def test_a_java_virtual_machine_gets_the_interpreters_bytes_and_exceptions(tmp_path):
    artefact = compiled("host")
    folder = Path(shutil.copytree(artefact.path, tmp_path / "app"))
    arguments = link.library_arguments("with_jni.so", str(WRAPPER / android.JNI_SOURCE))
    link.run_compiler([*link.zig_cc(f"{artefact.target.architecture}-linux-gnu.2.17"), *arguments], folder)
    (folder / "Deblurrer.java").write_text(JAVA)
    (folder / "in.rgb").write_bytes(noise().tobytes())
    planes = np.random.default_rng(0).integers(0, 256, (105, 50), np.uint8)
    (folder / "in.yuv").write_bytes(planes.tobytes())
    subprocess.run(["javac", "-d", ".", "Deblurrer.java"], cwd=folder, check=True)
    command = [
        "java",
        "-Xcheck:jni",
        "-cp",
        ".",
        "io.edgedeblur.Deblurrer",
        str(folder / "with_jni.so"),
        "in.rgb",
        "out.rgb",
        "in.yuv",
        "out.rgba",
    ]
    said = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=120).stdout
    assert (folder / "out.rgb").read_bytes() == expected().tobytes()
    assert "not of the network's width and height\nthis Deblurrer is closed\n99 threads; allowed are 1 to 64" in said
    frame = Frame("nv12", (planes[:70], planes[70:].reshape(35, 25, 2)), "bt601", "full")
    with Session(artefact) as session:
        mask = np.arange(0, 256, 51, dtype=np.uint8).reshape(3, 2)
        due = session.run_frame(frame, rotation=90, mask=mask, out=empty_frame(frame, 90, "rgba"))
    assert (folder / "out.rgba").read_bytes() == due.planes[0].tobytes()
    assert said.strip().endswith(artefact.target.isa)
    assert set(re.findall(r"native \w+(?:\[\])? (native\w+)\(", JAVA)) == kotlin_natives()
