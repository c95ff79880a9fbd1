"""From kernels and generated C to a program and a library, with zig for every target. Android apps: android.py.

The sources lie in the artefact's folder and all commands run there with relative paths, so that neither the outputs nor
their bytes depend on where the folder is.
"""

import filecmp
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edgedeblur.artefact.names import (
    BENCH,
    CMAKE_LISTS,
    GPU_C,
    HEADER,
    INCLUDE_FOLDER,
    LIBRARY,
    MODEL_C,
    OBJECT,
    RUNTIME_FOLDER,
)
from edgedeblur.artefact.target import Target
from edgedeblur.errors import UserError
from edgedeblur.processes import run_to_end
from edgedeblur.storage.locks import locked
from edgedeblur.storage.places import cache_folder
from edgedeblur.storage.resources import resource_folder

_GLIBC = "2.17"  # the oldest that zig's AArch64 and x86-64 share: the library loads on any Linux still in use
_LIBRARY_SOURCES = ("cpu.c", "error.c", "instance.c", "pool.c", "workspace.c")
_LIBRARY_HEADERS = ("cpu.h", "error.h", "instance.h", "pool.h", "tables.h", "workspace.h")
_UNIT_SOURCES = ("cpu_unit.c", "self_test.c", "sha256.c")
_UNIT_HEADERS = ("cpu_unit.h", "gpu_unit.h", "self_test.h", "sha256.h")
_GPU_SOURCES = {  # of artefacts with kernels for a GPU, by language
    "opencl": ("opencl.c", "opencl_api.c", "opencl_cache.c"),
    "cuda": ("cuda.c", "cuda_api.c"),
}
_GPU_HEADERS = {"opencl": ("gpu_image.h", "opencl_api.h", "opencl_cache.h"), "cuda": ("gpu_image.h", "cuda_api.h")}
_CAMERA_SOURCES = ("camera.c", "governor.c", "headroom.c", "mask.c", "pixels.c", "tiles.c")
_CAMERA_HEADERS = ("camera.h", "headroom.h", "mask.h", "pixels.h", "tiles.h")
_BENCH_SOURCES = ("bench.c", "bench_options.c", "bench_report.c", "govern.c", "other_network.c", "peak.c")
_BENCH_HEADERS = ("bench_options.h", "bench_report.h", "govern.h", "other_network.h", "peak.h")
_EXPORTS = "exports.map"
_ABI_HEADERS = ("dlpack/dlpack.h", "tvm/ffi/c_api.h", "tvm/runtime/base.h", "tvm/runtime/c_backend_api.h")
_COMPILE_FLAGS = (
    "-std=gnu11",
    "-O2",
    "-g0",
    "-Wall",
    "-Wextra",
    "-fPIC",
    "-fvisibility=hidden",
    "-pthread",
    "-I.",
    f"-I{RUNTIME_FOLDER}",
    f"-I{INCLUDE_FOLDER}",
)
_LINK_FLAGS = ("-s", "-Wl,--build-id=none", "-Wl,-z,max-page-size=16384")  # Android 15 has pages of 16 KiB
_OUTPUT_LINES = 15
_PLACES = 8  # for linking: as many artefacts can be linked at once where the C runtime is not compiled again


def copy_sources(folder: Path, gpu: str | None = None) -> None:
    """Puts everything that a program or library is built from into the folder, besides model.c, its constants and
    model.o: the C runtime, the public header, TVM's and DLPack's headers, and the CMake file for apps.

    Args:
        gpu: the language of the artefact's kernels for a GPU, in GPU_C.
    """
    import tvm.libinfo
    import tvm_ffi.libinfo

    runtime = resource_folder("runtime")
    (folder / RUNTIME_FOLDER).mkdir()
    sources = {
        "library": (*_LIBRARY_SOURCES, *_LIBRARY_HEADERS, _EXPORTS),
        "units": (*_UNIT_SOURCES, *_UNIT_HEADERS, *(_GPU_SOURCES[gpu] + _GPU_HEADERS[gpu] if gpu else ())),
        "camera": (*_CAMERA_SOURCES, *_CAMERA_HEADERS),
        "bench": (*_BENCH_SOURCES, *_BENCH_HEADERS),
    }
    for place, file in ((place, file) for place, files in sources.items() for file in files):
        shutil.copyfile(runtime / place / file, folder / RUNTIME_FOLDER / file)
    for name in (HEADER, CMAKE_LISTS):
        shutil.copyfile(runtime / "library" / name, folder / name)
    roots = [Path(tvm.libinfo.find_include_path()), *map(Path, tvm_ffi.libinfo.include_paths())]
    for name in _ABI_HEADERS:
        source = next((root / name for root in roots if (root / name).is_file()), None)
        if source is None:
            raise UserError(
                f"the installed apache-tvm has no header {name}", "pip install --force-reinstall apache-tvm"
            )
        (folder / INCLUDE_FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / INCLUDE_FOLDER / name)


@contextmanager
def linking_place(folder: Path) -> Iterator[Path]:
    """A copy of the folder, under a name that other artefacts had before it; what is in it at the end comes back.

    zig takes an object that it keeps for a source of the same path that was not written since. So the C runtime stays
    where it is, and is compiled once for a target, not for every artefact.
    """
    with ExitStack() as held:
        place = _free_place(held)
        if place is None:
            yield folder
            return
        try:
            _make_place(folder, place)
            yield place
            _copy_into(place, folder)
        finally:
            _remove_but(place, _shared_sources(place))


def _make_place(folder: Path, place: Path) -> None:
    """The folder's files in the place; of those that artefacts share, equal ones are left as they lie there."""
    shared = [str(path) for path in _shared_sources(folder)]
    equal, _, _ = filecmp.cmpfiles(folder, place, shared, shallow=False)
    _remove_but(place, [Path(path) for path in equal])
    for path in _files(folder):
        if not (place / path).exists():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / path, place / path)  # with the time of now, so that zig sees that it is new


def _shared_sources(folder: Path) -> list[Path]:
    """Of a folder's files, below it, those that are no artefact's own."""
    return [path for path in _files(folder) if path.parts[0] in (RUNTIME_FOLDER, INCLUDE_FOLDER)]


def _files(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())


def _remove_but(place: Path, kept: Sequence[Path]) -> None:
    for path in set(_files(place)) - set(kept):
        (place / path).unlink()
    for folder in sorted((path for path in place.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def _copy_into(source: Path, destination: Path) -> None:
    """Every file, by name; unlike shutil.copytree with an error of the system as it came."""
    for path in _files(source):
        (destination / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / path, destination / path)


def _free_place(held: ExitStack) -> Path | None:
    """A place that is locked until `held` ends; None where all are taken."""
    root = cache_folder() / "linking"
    root.mkdir(parents=True, exist_ok=True)
    for number in range(_PLACES):
        place = root / str(number)
        try:
            held.enter_context(locked(root / f"{number}.lock", place, "another place"))
        except UserError:
            continue
        return place
    return None


def join_objects(folder: Path, objects: Sequence[bytes]) -> None:
    """Writes OBJECT into the folder: one relocatable object with the kernels of all these.

    Raises:
        UserError: zig is missing, or fails.
    """
    if len(objects) == 1:
        (folder / OBJECT).write_bytes(objects[0])
        return
    names = [f"kernels{index}.o" for index in range(len(objects))]
    for name, code in zip(names, objects, strict=True):
        (folder / name).write_bytes(code)
    run_compiler([*_zig(), "ld.lld", "-r", *names, "-o", OBJECT], folder)
    for name in names:
        (folder / name).unlink()


def link_bench(folder: Path, target: Target, cache: Path | None = None) -> None:
    """Builds the BENCH program in the folder: static, so that it runs anywhere, but for GPUs, whose driver's library it
    loads, for the GNU C library. (For GPUs of phones: android.py.)

    Args:
        cache: where zig keeps its objects of these sources, for programs that are soon thrown away; None: for good.

    Raises:
        UserError: zig is missing, or fails.
    """
    static = target.gpu is None
    how = [*zig_cc(target.zig_target), "-static"] if static else [*zig_cc_gnu(target.architecture), "-ldl"]
    run_compiler([*how, *program_arguments(BENCH, gpu=target.gpu)], folder, cache)


def link_library(folder: Path, target: Target) -> None:
    """Builds LIBRARY in the folder for a Linux target with the GNU C library.

    Raises:
        UserError: zig is missing, or fails.
    """
    loader = [] if target.gpu is None else ["-ldl"]
    run_compiler([*zig_cc_gnu(target.architecture), *library_arguments(LIBRARY, gpu=target.gpu), *loader], folder)


def program_arguments(output: str, *more_sources: str, gpu: str | None = None) -> list[str]:
    """What a compiler is told to make the bench program `output` of the sources in a folder, and of more."""
    return [*_COMPILE_FLAGS, *_LINK_FLAGS, *more_sources, *_sources(bench=True, gpu=gpu), "-o", output]


def library_arguments(output: str, *more_sources: str, gpu: str | None = None) -> list[str]:
    """What a compiler is told to make the shared library `output` of the sources in a folder, and of more."""
    exports = f"-Wl,--version-script={RUNTIME_FOLDER}/{_EXPORTS}"
    soname = f"-Wl,-soname,{LIBRARY}"
    return [
        *_COMPILE_FLAGS,
        *_LINK_FLAGS,
        "-shared",
        exports,
        soname,
        *more_sources,
        *_sources(bench=False, gpu=gpu),
        "-o",
        output,
    ]


def zig_cc(zig_target: str) -> list[str]:
    """The command line that compiles C for a zig target triple.

    Raises:
        UserError: zig is not installed.
    """
    return [*_zig(), "cc", "-target", zig_target]


def zig_cc_gnu(architecture: str) -> list[str]:
    """As zig_cc, for Linux with the GNU C library of any version still in use.

    Raises:
        UserError: zig is not installed.
    """
    return zig_cc(f"{architecture}-linux-gnu.{_GLIBC}")


def _zig() -> list[str]:
    if importlib.util.find_spec("ziglang") is None:
        raise UserError("zig is not installed; it compiles and links artefacts", "pip install ziglang")
    return [sys.executable, "-m", "ziglang"]


def run_compiler(command: list[str], folder: Path, cache: Path | None = None) -> None:
    """Runs a compiler in the folder; `cache` as in `link_bench`.

    Raises:
        UserError: it cannot start or fails; with the last lines of its output.
    """
    environment = dict(os.environ, ZIG_GLOBAL_CACHE_DIR=str(zig_cache()))
    if cache is not None:
        environment["ZIG_LOCAL_CACHE_DIR"] = str(cache)
    try:
        done = run_to_end(command, folder=folder, environment=environment)
    except OSError as error:
        raise UserError(f"cannot start {command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        output = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_OUTPUT_LINES:])
        raise UserError(f"{' '.join(command)}\nended with status {done.returncode}:\n{output}", "edgedeblur doctor")


def zig_cache() -> Path:
    """Where zig keeps the C libraries that it has built: a minute the first time, nothing after."""
    if "ZIG_GLOBAL_CACHE_DIR" in os.environ:
        return Path(os.environ["ZIG_GLOBAL_CACHE_DIR"])
    return cache_folder() / "zig"


def _sources(bench: bool, gpu: str | None) -> list[str]:
    names = _LIBRARY_SOURCES + _UNIT_SOURCES + _CAMERA_SOURCES
    names += (_GPU_SOURCES[gpu] if gpu else ()) + (_BENCH_SOURCES if bench else ())
    generated = [MODEL_C, *([GPU_C] if gpu else [])]
    return [*generated, *(f"{RUNTIME_FOLDER}/{name}" for name in names), OBJECT]
