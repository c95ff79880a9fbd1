"""The library for apps: laid out for an app's build, loadable on the phones it is for, callable from Kotlin."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from artefacts import compiled, expected, noise
from ndk import fake_ndk
from networks import random_network, tiny_spec

from edgedeblur.artefact import names
from edgedeblur.artefact.folder import load_artefact
from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.linking import link
from edgedeblur.compile.linking.bionic import check_bionic, missing_symbols, undefined_symbols
from edgedeblur.errors import UserError
from edgedeblur.storage.resources import resource_folder

WRAPPER = resource_folder("runtime") / "android"


@pytest.fixture(scope="module")
def with_ndk(tmp_path_factory):
    """An artefact for any arm64 phone, compiled with an NDK, and what its clang was told."""
    folder = tmp_path_factory.mktemp("ndk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_NDK_HOME", str(fake_ndk(folder)))
        network, target = random_network(tiny_spec()), load_target("android-arm64")
        told = []
        patch.setattr(link, "check_bionic", lambda library, api: told.append((library.name, api)))
        artefact = compile_network(network, target, 16, 24, folder / "artefact")
        check_bionic(artefact.library, target.android_api)
    return artefact, told, json.loads((artefact.path / "argv.json").read_text())


def test_an_app_finds_the_library_where_its_build_looks_for_it(with_ndk):
    artefact, told, argv = with_ndk
    assert artefact.library == artefact.path / "jniLibs/arm64-v8a/libedgedeblur_model.so"
    assert told == [("libedgedeblur_model.so", 24)], "its symbols are checked against bionic's"
    assert argv[0] == "--target=aarch64-linux-android24"
    assert {"-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-z,max-page-size=16384"} <= set(argv)
    assert not any("bench" in argument for argument in argv if argument.endswith(".c"))
    assert load_artefact(artefact.path).library == artefact.library


def test_the_api_level_is_the_targets(tmp_path, monkeypatch):
    text = (resource_folder("targets") / "android.toml").read_text().replace("android_api = 24", "android_api = 29")
    (tmp_path / "new_phones.toml").write_text(text)
    monkeypatch.setenv("ANDROID_NDK_HOME", str(fake_ndk(tmp_path)))
    network, target = random_network(tiny_spec()), load_target(tmp_path / "new_phones.toml")
    artefact = compile_network(network, target, 16, 16, tmp_path / "artefact")
    assert json.loads((artefact.path / "argv.json").read_text())[0] == "--target=aarch64-linux-android29"


def test_the_library_shows_the_header_and_the_wrapper_and_nothing_else(with_ndk):
    artefact, _, _ = with_ndk
    lines = subprocess.run(["nm", "-D", "--defined-only", artefact.library], capture_output=True, text=True, check=True)
    defined = {line.split()[-1] for line in lines.stdout.splitlines()}
    header = (artefact.path / names.HEADER).read_text()
    natives = {name for name in defined if name.startswith("Java_")}
    assert natives == {f"Java_io_edgedeblur_Deblurrer_{name}" for name in kotlin_natives()}
    assert all(f" {name}(" in header or f"*{name}(" in header for name in defined - natives)


def kotlin_natives() -> set[str]:
    return set(re.findall(r"external fun (\w+)\(", (WRAPPER / "Deblurrer.kt").read_text()))


def test_every_android_artefact_has_the_wrapper_and_says_how_to_call_it():
    artefact = compiled("android")
    assert artefact.library is None
    readme = (artefact.path / "android/README.md").read_text()
    code = readme.split("```kotlin\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line]) == 5
    public = set(
        re.findall(r"^    (?:val|fun|override fun) (\w+)", (WRAPPER / "Deblurrer.kt").read_text(), re.MULTILINE)
    )
    assert set(re.findall(r"deblurrer\.(\w+)", code)) <= public
    assert {"android/Deblurrer.kt", "android/edgedeblur_jni.c"} <= set(artefact.manifest["files"])


def build(folder: Path, code: str) -> Path:
    (folder / "code.c").write_text(code)
    command = [*link.zig_cc("aarch64-linux-musl"), "-O2", "-shared", "-s", "-fPIC", "code.c", "-o", "library.so"]
    link.run_compiler(command, folder)
    return folder / "library.so"


def test_a_library_that_asks_for_more_than_bionic_has_is_refused_with_the_level_that_has_it(tmp_path):
    library = build(
        tmp_path,
        "int getentropy(void *, unsigned long); void *malloc(unsigned long); int from_nowhere(void);\n"
        "__attribute__((weak)) int perhaps(void);\n"
        "int f(void) { return getentropy(malloc(9), 9) + from_nowhere() + (perhaps ? perhaps() : 0); }\n",
    )
    assert undefined_symbols(library) == ["from_nowhere", "getentropy", "malloc"]
    assert missing_symbols(["getentropy", "malloc"], 28) == []
    with pytest.raises(UserError, match=r"API 24: .* no from_nowhere \(unknown\), getentropy \(from API 28 on\)"):
        check_bionic(library, 24)
    with pytest.raises(UserError, match=r"no from_nowhere \(unknown\)\n"):
        check_bionic(library, 28)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:90], lambda data: b"MZ" + data[2:]])
def test_what_is_no_library_is_refused(tmp_path, damage):
    library = build(tmp_path, "int f(void) { return 1; }")
    library.write_bytes(damage(library.read_bytes()))
    with pytest.raises(UserError, match="is not a 64-bit ELF library"):
        undefined_symbols(library)


@pytest.mark.parametrize("symbol", ["memcpy", "pthread_create", "__errno", "getauxval", "posix_memalign"])
def test_what_the_runtime_calls_has_been_there_since_the_first_arm64_android(symbol):
    assert missing_symbols([symbol], 21) == []


JAVA = """
package io.edgedeblur;

public class Deblurrer {
    private native long nativeCreate(int threads);
    private native void nativeRun(long handle, int[] argb);
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
        d.nativeDestroy(handle);
        System.out.println(d.nativeInstructionSet());
    }
}
"""


@pytest.mark.skipif(shutil.which("javac") is None, reason="needs a JDK")
def test_a_java_virtual_machine_gets_the_interpreters_bytes_and_exceptions(tmp_path):
    artefact, jdk = compiled("host"), Path(shutil.which("javac")).resolve().parents[1]
    folder = Path(shutil.copytree(artefact.path, tmp_path / "app"))
    source = WRAPPER / link._JNI_SOURCE
    includes = [f"-I{jdk}/include", f"-I{jdk}/include/linux"]
    arguments = [*link._library_arguments("with_jni.so", str(source)), *includes]
    link.run_compiler([*link.zig_cc(f"{artefact.target.architecture}-linux-gnu.2.17"), *arguments], folder)
    (folder / "Deblurrer.java").write_text(JAVA)
    (folder / "in.rgb").write_bytes(noise().tobytes())
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
    ]
    said = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=120).stdout
    assert (folder / "out.rgb").read_bytes() == expected().tobytes()
    assert "not of the network's width and height\nthis Deblurrer is closed\n99 threads; allowed are 1 to 64" in said
    assert said.strip().endswith(artefact.target.isa)
    assert set(re.findall(r"native \w+(?:\[\])? (native\w+)\(", JAVA)) == kotlin_natives()
