"""The library for apps, and programs that load other libraries: linked against bionic by zig alone, the library by an
NDK's clang where ANDROID_NDK_HOME names one.

zig has no bionic, so it compiles with musl's headers, whose layouts bionic_layout.c compares with bionic's, and links
against stub libraries that have bionic's names only. What the two C libraries do not share is refused
(bionic_symbols.toml).
"""

import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from edgedeblur.artefact.names import ANDROID_FOLDER, ANDROID_LIBRARY, BENCH
from edgedeblur.artefact.target import Target
from edgedeblur.compile.linking import link
from edgedeblur.compile.linking.bionic import check_bionic, stub_sources
from edgedeblur.compile.linking.elf import read_library
from edgedeblur.errors import UserError
from edgedeblur.storage.resources import resource_folder

JNI_SOURCE = "edgedeblur_jni.c"
_APP_FILES = (JNI_SOURCE, "jni_table.h", "Deblurrer.kt", "README.md")
_BARE_SOURCES = ("emutls.c", "bionic_layout.c")  # what an NDK brings, and a check that it makes needless
_START = "crt0.c"  # of programs
_LOADER = "/system/bin/linker64"
_STUBS = "stubs"  # a folder that is there while zig links
_HEADERS = ("aarch64-linux-musl", "generic-musl", "aarch64-linux-any", "any-linux-any")  # in zig's own order


def copy_android_sources(folder: Path) -> None:
    """Puts the wrapper for Kotlin and Java into the folder, and how an app calls it."""
    (folder / ANDROID_FOLDER).mkdir()
    for name in _APP_FILES:
        shutil.copyfile(resource_folder("runtime") / "android" / name, folder / ANDROID_FOLDER / name)


def link_android_library(folder: Path, target: Target, log: Callable[[str], None], ndk: Path | None = None) -> None:
    """Builds ANDROID_LIBRARY in the folder against bionic, with the wrapper for Kotlin in it.

    Args:
        log: told by what, and how an NDK's library differs from zig's.
        ndk: the folder of an Android NDK, r23 or later; None: zig does it.

    Raises:
        UserError: zig is missing, not an NDK for this machine, a compiler fails, the library would not load on phones.
    """
    tool = "zig" if ndk is None else f"the NDK in {ndk}"
    log(f"linking {ANDROID_LIBRARY} for Android API {target.android_api} with {tool}")
    output = folder / ANDROID_LIBRARY
    output.parent.mkdir(parents=True, exist_ok=True)
    if ndk is None:
        link_with_zig(folder, target, ANDROID_LIBRARY)
        return
    link_with_ndk(folder, target, ndk)
    zigs = output.with_name("zig.so")
    link_with_zig(folder, target, zigs.relative_to(folder).as_posix())
    for line in compare_libraries(output, zigs):
        log(f"note: {line}")
    zigs.unlink()


def link_with_zig(folder: Path, target: Target, output: str) -> None:
    """As link_android_library, without an NDK. Thread-local variables are emulated at every API level.

    Raises:
        UserError: zig is missing or fails, the library would not load on phones.
    """
    sources = [f"{ANDROID_FOLDER}/{JNI_SOURCE}", *(f"{_STUBS}/{name}" for name in _BARE_SOURCES)]
    _link_bare(folder, target, output, link.library_arguments(output, *sources, gpu=target.gpu))


def link_android_bench(folder: Path, target: Target) -> None:
    """Builds the BENCH program in the folder against bionic, for phones' GPUs: a static program could not load their
    driver's library. zig does it, where there is an NDK too.

    Raises:
        UserError: zig is missing or fails, the program would not start on phones.
    """
    sources = [f"{_STUBS}/{name}" for name in (_START, *_BARE_SOURCES)]
    arguments = link.program_arguments(BENCH, *sources, gpu=target.gpu)
    api = f'-DED_ANDROID_API="{target.android_api}"'
    _link_bare(folder, target, BENCH, [*arguments, api, "-fPIE", "-pie", f"-Wl,-dynamic-linker,{_LOADER}"])


def _link_bare(folder: Path, target: Target, output: str, arguments: list[str]) -> None:
    """Symbols that the stubs lack are left to check_bionic, which names the level that has them."""
    stubs = folder / _STUBS
    stubs.mkdir()
    try:
        _write_stubs(stubs, target.android_api)
        libraries = [f"{_STUBS}/{library}" for library in stub_sources(target.android_api)]
        command = [*_bare_zig(), *bare_flags(), *arguments, "-Wl,-z,undefs", "-Wl,--as-needed", *libraries]
        link.run_compiler(command, folder)
    finally:
        shutil.rmtree(stubs)
    check_bionic(folder / output, target.android_api, bionics_headers=False)


def _write_stubs(stubs: Path, api: int) -> None:
    """What zig needs besides the artefact's own sources: bionic's libraries in name, and the package's own sources."""
    for library, source in stub_sources(api).items():
        assembly = stubs / f"{library}.S"
        assembly.write_text(source)
        flags = ["-nostdlib", "-shared", f"-Wl,-soname,{library}", assembly.name, "-o", library]
        link.run_compiler([*_bare_zig(), *flags], stubs)
    for name in (_START, *_BARE_SOURCES):
        shutil.copyfile(resource_folder("runtime") / "android" / name, stubs / name)


def link_with_ndk(folder: Path, target: Target, ndk: Path) -> None:
    """As link_android_library, with an NDK's clang.

    Raises:
        UserError: not an NDK for this machine, its clang fails, the library would not load on phones.
    """
    compiler = [str(ndk_clang(ndk)), f"--target={target.architecture}-linux-android{target.android_api}"]
    arguments = link.library_arguments(ANDROID_LIBRARY, f"{ANDROID_FOLDER}/{JNI_SOURCE}", gpu=target.gpu)
    link.run_compiler([*compiler, *arguments, "-ldl"], folder)
    check_bionic(folder / ANDROID_LIBRARY, target.android_api, bionics_headers=True)


def compare_libraries(ndks: Path, zigs: Path) -> list[str]:
    """How the library that an NDK linked differs from zig's of the same sources: a line for the symbols that it offers,
    one for those that it takes, one for the sizes of its code and constants."""
    ndk, zig = read_library(ndks), read_library(zigs)
    lines = []
    for what, ours, theirs in (("offers", ndk.defined, zig.defined), ("takes", ndk.undefined, zig.undefined)):
        more, less = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
        found = [f"besides {', '.join(more)}"] * bool(more) + [f"but not {', '.join(less)}"] * bool(less)
        lines.append(f"the NDK's library {what} the {len(theirs)} symbols of zig's {' '.join(found)}".rstrip())
    sizes = [
        f"{name} {ndk.sections.get(name, 0):,} (zig's {zig.sections.get(name, 0):,})" for name in (".text", ".rodata")
    ]
    return [*lines, f"bytes of the NDK's library: {', '.join(sizes)}"]


def ndk_from_environment(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The NDK that ANDROID_NDK_HOME names, None when it is not set."""
    value = environment.get("ANDROID_NDK_HOME", "")
    return Path(value) if value else None


def ndk_clang(ndk: Path) -> Path:
    """The clang of an NDK.

    Raises:
        UserError: there is none where the NDK's layout has it.
    """
    clang = ndk.resolve() / "toolchains/llvm/prebuilt/linux-x86_64/bin/clang"
    if not clang.is_file():
        raise UserError(
            f"ANDROID_NDK_HOME is {ndk}, which has no {clang.relative_to(ndk.resolve())}",
            "set ANDROID_NDK_HOME to the folder of an NDK r23 or later for Linux, or unset it to compile without",
        )
    return clang


def _bare_zig() -> list[str]:
    """zig cc for AArch64 Linux without a C library."""
    return link.zig_cc("aarch64-linux-none")


def bare_flags() -> list[str]:
    """What makes musl's headers do for bionic, and clang compile as for Android before API 29.

    Raises:
        UserError: zig's headers are not where ziglang has them.
    """
    library = Path(importlib.util.find_spec("ziglang").origin).with_name("lib")
    headers = [library / "include", *(library / "libc" / "include" / name for name in _HEADERS)]
    for folder in headers:
        if not folder.is_dir():
            raise UserError(f"the installed ziglang has no {folder}", "pip install --force-reinstall ziglang")
    return [
        "-nostdlib",
        "-nostdlibinc",
        *(f"-isystem{folder}" for folder in headers),
        "-D__ANDROID__",
        "-D__errno_location=__errno",  # of what musl's errno is, under bionic's name
        "-femulated-tls",
        "-fno-stack-protector",
    ]
