"""What phones' loaders and bionic refuse is refused when the library is linked, by name."""

import subprocess
from pathlib import Path

import pytest

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.linking import android, link
from edgedeblur.compile.linking.bionic import bionic, check_bionic, missing_symbols, stub_sources
from edgedeblur.compile.linking.elf import read_library
from edgedeblur.errors import UserError
from edgedeblur.storage.resources import resource_folder

SOURCES = resource_folder("runtime") / "android"


def build(folder: Path, code: str, *flags: str) -> Path:
    (folder / "code.c").write_text(code)
    command = [
        *link.zig_cc("aarch64-linux-musl"),
        "-O2",
        "-shared",
        "-s",
        "-fPIC",
        "code.c",
        *flags,
        "-o",
        "library.so",
    ]
    link.run_compiler(command, folder)
    return folder / "library.so"


def test_a_library_that_asks_for_more_than_bionic_has_is_refused_with_the_level_that_has_it(tmp_path):
    library = build(
        tmp_path,
        "int getentropy(void *, unsigned long); void *malloc(unsigned long); int from_nowhere(void);\n"
        "__attribute__((weak)) int perhaps(void);\n"
        "int f(void) { return getentropy(malloc(9), 9) + from_nowhere() + (perhaps ? perhaps() : 0); }\n",
    )
    assert read_library(library).undefined == ("from_nowhere", "getentropy", "malloc")
    assert missing_symbols(["getentropy", "malloc"], 28) == []
    with pytest.raises(UserError, match=r"API 24: .* no from_nowhere \(unknown\), getentropy \(from API 28 on\)"):
        check_bionic(library, 24, bionics_headers=True)
    with pytest.raises(UserError, match=r"no from_nowhere \(unknown\)\n"):
        check_bionic(library, 28, bionics_headers=True)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:90], lambda data: b"MZ" + data[2:]])
def test_what_is_no_library_is_refused(tmp_path, damage):
    library = build(tmp_path, "int f(void) { return 1; }")
    library.write_bytes(damage(library.read_bytes()))
    with pytest.raises(UserError, match="is not a 64-bit ELF library"):
        read_library(library)


@pytest.mark.parametrize("symbol", ["memcpy", "pthread_create", "__errno", "getauxval", "posix_memalign"])
def test_what_the_runtime_calls_has_been_there_since_the_first_arm64_android(symbol):
    assert missing_symbols([symbol], 21) == []


def test_what_differs_between_musl_and_bionic_is_only_for_code_with_bionics_headers(tmp_path):
    library = build(tmp_path, "long sysconf(int); long f(void) { return sysconf(84); }")
    check_bionic(library, 24, bionics_headers=True)
    with pytest.raises(UserError, match="sysconf needs bionic's headers: the _SC_ numbers differ"):
        check_bionic(library, 24, bionics_headers=False)
    assert set(bionic().differs) <= set(bionic().levels)
    assert "sysconf" not in "".join(stub_sources(24).values())


def test_thread_local_variables_that_the_loader_cannot_place_are_refused(tmp_path):
    library = build(tmp_path, "_Thread_local int i; int *f(void) { return &i; }")
    message = "thread-local relocations .TLSDESC., which the loader has from API 29 on; it has a thread-local segment"
    with pytest.raises(UserError, match=message):
        check_bionic(library, 24, bionics_headers=True)
    check_bionic(library, 29, bionics_headers=True)


def test_segments_for_small_pages_only_are_refused(tmp_path):
    library = build(tmp_path, "int f(void) { return 1; }", "-Wl,-z,max-page-size=4096")
    with pytest.raises(UserError, match="aligned to 4096 bytes; phones with 16 KiB pages need 16384"):
        check_bionic(library, 24, bionics_headers=True)


def test_stub_libraries_have_what_the_api_level_has():
    assert set(stub_sources(24)) == {"libc.so", "libdl.so", "libm.so"}
    assert ".globl dlopen\n" in stub_sources(24)["libdl.so"] and ".globl lrintf\n" in stub_sources(24)["libm.so"]
    assert "getentropy" not in stub_sources(27)["libc.so"] and "getentropy" in stub_sources(28)["libc.so"]


def test_the_compiler_stops_where_a_layout_is_not_bionics(tmp_path):
    code = (SOURCES / "bionic_layout.c").read_text()
    (tmp_path / "layout.c").write_text(code.replace("LAYOUT(pthread_mutex_t, 40, 4)", "LAYOUT(pthread_mutex_t, 44, 4)"))
    command = [*link.zig_cc("aarch64-linux-none"), *android.bare_flags(), "-c", "layout.c"]
    with pytest.raises(UserError, match="expression evaluates to .40 == 44"):
        link.run_compiler(command, tmp_path)


EMULATED = """
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
static _Thread_local int counter = 40;
static _Thread_local char zeros[300];
static _Thread_local _Alignas(128) struct { long a, b; } wide = {1, 2};
_Thread_local unsigned char many[12];
static void *thread(void *places) {
  int bad = counter != 40 || wide.a != 1 || wide.b != 2 || (uintptr_t)&wide % 128 != 0;
  for (int i = 0; i < 300; i++) bad += zeros[i] != 0;
  ((void **)places)[0] = &counter;
  counter += 2, zeros[7] = 1, wide.a = 9, many[3] = 4;
  return (void *)(intptr_t)(bad + (counter != 42) + (&counter != ((int **)places)[0]));
}
int main(void) {
  void *own[1], *other[4][1], *result;
  pthread_t threads[4];
  int bad = thread(own) != NULL;
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, thread, other[i]);
  for (int i = 0; i < 4; i++) {
    pthread_join(threads[i], &result);
    bad += result != NULL || other[i][0] == own[0];
  }
  printf("%d %d %ld\\n", bad, counter, wide.a);
}
"""


def test_emulated_thread_local_variables_are_each_threads_own(tmp_path):
    (tmp_path / "test.c").write_text(EMULATED)
    flags = ["-O2", "-s", "-fPIC", "-Wall", "-Wextra", "-static", "-femulated-tls"]  # of which zig has its C library
    command = [
        *link.zig_cc(load_target("host").zig_target),
        *flags,
        "test.c",
        str(SOURCES / "emutls.c"),
        "-o",
        "program",
    ]
    link.run_compiler(command, tmp_path)
    assert subprocess.run([tmp_path / "program"], capture_output=True, text=True).stdout == "0 42 9\n"
