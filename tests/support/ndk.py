"""Stands in for an Android NDK: a folder laid out as one, whose clang is a script."""

import sys
from pathlib import Path

JNI = Path(__file__).with_name("jni")  # the NDK has jni.h in its own system headers

# Keeps its arguments in argv.json. zig takes the place of clang and musl that of bionic, with bionic's name for errno.
_AS_CLANG = f"""#!{sys.executable}
import json, os, pathlib, sys
pathlib.Path("argv.json").write_text(json.dumps(sys.argv[1:]))
zig = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl", "-D__errno_location=__errno"]
os.execv(sys.executable, [*zig, "-I{JNI}", *sys.argv[2:]])
"""


def fake_ndk(folder: Path, script: str = _AS_CLANG) -> Path:
    clang = folder / "ndk/toolchains/llvm/prebuilt/linux-x86_64/bin/clang"
    clang.parent.mkdir(parents=True)
    clang.write_text(script)
    clang.chmod(0o755)
    return folder / "ndk"
