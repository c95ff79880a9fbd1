"""Stands in for an Android NDK, a folder laid out as one whose clang is a script; and for bionic itself."""

import subprocess
import sys
from pathlib import Path

from edgedeblur.artefact.names import RUNTIME_FOLDER
from edgedeblur.compile.linking import android, link
from edgedeblur.compile.linking.elf import read_library
from edgedeblur.storage.resources import resource_folder

DOUBLE = Path(__file__).with_name("bionic_double.c")
EMUTLS = resource_folder("runtime") / "android" / "emutls.c"  # a real NDK has this function in its own compiler-rt

# Keeps its arguments in argv.json. zig takes the place of clang and musl's headers that of bionic's; there is no libdl.
_AS_CLANG = f"""#!{sys.executable}
import json, os, pathlib, sys
pathlib.Path("argv.json").write_text(json.dumps(sys.argv[1:]))
zig = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-none", *{android.bare_flags()!r}]
os.execv(sys.executable, [*zig, {str(EMUTLS)!r}, *filter("-ldl".__ne__, sys.argv[2:])])
"""


def fake_ndk(folder: Path, script: str = _AS_CLANG) -> Path:
    clang = folder / "ndk/toolchains/llvm/prebuilt/linux-x86_64/bin/clang"
    clang.parent.mkdir(parents=True)
    clang.write_text(script)
    clang.chmod(0o755)
    return folder / "ndk"


def build_double(folder: Path, artefact: Path, library: Path, gpu: bool = False) -> Path:
    """A static AArch64 program that loads an app library, or a program, as Android's loader does: bionic_double.c.

    It has what that takes from bionic, and nothing else. gpu: it also has OpenCL's library, that of opencl_double.c.
    """
    names = read_library(library).undefined
    declared = "".join(f'extern char s{i}[] __asm__("{name}");\n' for i, name in enumerate(names))
    listed = "".join(f'{{"{name}", s{i}}}, ' for i, name in enumerate(names))
    (folder / "symbols.c").write_text(
        f"#include <stddef.h>\n{declared}\n"
        f"const struct {{ const char *name; void *address; }} double_symbols[] = {{{listed}{{NULL, NULL}}}};\n"
    )
    flags = ["-O2", "-s", "-fPIC", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-static", f"-I{artefact}"]
    command = [*link.zig_cc("aarch64-linux-musl"), *flags, str(DOUBLE), "symbols.c", "-o", "bionic_double"]
    driver = [str(DOUBLE.with_name(name)) for name in ("opencl_on_phone.c", "opencl_double.c")]
    command += [f"-I{artefact / RUNTIME_FOLDER}", *driver] if gpu else []
    link.run_compiler(command, folder)
    return folder / "bionic_double"


def run_double(double: Path, cpu: str, library: Path, threads: int, image: bytes) -> subprocess.CompletedProcess:
    command = ["qemu-aarch64", "-cpu", cpu, str(double), str(library), str(threads)]
    return subprocess.run(command, input=image, capture_output=True, timeout=60)
