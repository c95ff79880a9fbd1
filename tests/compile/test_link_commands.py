"""Compilers: how they are found and called, and what the user hears when they fail."""

import importlib.util
import subprocess
import sys

import pytest
from artefacts import probe_plan

from edgedeblur.artefact.names import CONSTANTS, MODEL_C
from edgedeblur.artefact.target import load_target
from edgedeblur.compile.emit import ModelFacts, emit_model_c
from edgedeblur.compile.linking import link
from edgedeblur.errors import UserError


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Everything that a library is built from but the kernels' object."""
    folder = tmp_path_factory.mktemp("sources")
    link.copy_sources(folder)
    (folder / CONSTANTS).write_bytes(probe_plan().constants)
    (folder / MODEL_C).write_text(emit_model_c(probe_plan(), ModelFacts("probe", "1", "avx2", 2)))
    return folder


@pytest.mark.parametrize("name", ["x86-64-v3", "android"])
def test_the_runtime_compiles_without_a_warning(sources, name):
    compiler = link.zig_cc(load_target(name).zig_target)
    if name == "android":
        text = (sources / MODEL_C).read_text().replace("ED_ISA_AVX2", "ED_ISA_SDOT")
        (sources / MODEL_C).write_text(text)
    files = [MODEL_C, *sorted(str(path.relative_to(sources)) for path in sources.glob("runtime/*.c"))]
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I.", "-Iruntime", "-Iinclude", "-c"]
    done = subprocess.run([*compiler, *flags, *files], cwd=sources, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_missing_zig_is_named_with_its_cure(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="zig is not installed") as caught:
        link.zig_cc("x86_64-linux-musl")
    assert caught.value.fix == "pip install ziglang"


def test_a_failing_compiler_is_quoted_with_its_last_lines(tmp_path):
    program = "import sys; [print('line', i) for i in range(99)]; sys.exit(7)"
    with pytest.raises(UserError, match="ended with status 7:\nline 84\n") as caught:
        link.run_compiler([sys.executable, "-c", program], tmp_path)
    assert caught.value.message.endswith("line 98")


def test_a_compiler_that_cannot_start_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot start /no/such/clang: No such file"):
        link.run_compiler(["/no/such/clang"], tmp_path)


def test_zigs_cache_is_kept_between_compiles(monkeypatch, tmp_path):
    monkeypatch.delenv("ZIG_GLOBAL_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert link.zig_cache() == tmp_path / "edgedeblur" / "zig"
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", "/elsewhere")
    assert str(link.zig_cache()) == "/elsewhere"


def test_artefacts_are_linked_at_places_that_stay_and_come_back_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        (folder / "runtime").mkdir(parents=True)
        (folder / "runtime" / "a.c").write_text(folder.name)
    with link.linking_place(first) as one, link.linking_place(second) as two:
        assert one != two and (one / "runtime" / "a.c").read_text() == "first"
        program = two / "bin" / "program"
        program.parent.mkdir()
        program.write_text("made")
        program.chmod(0o755)
    assert (second / "bin" / "program").stat().st_mode & 0o777 == 0o755
    assert (second / "bin" / "program").read_text() == "made" and not (first / "bin").exists()
    with pytest.raises(RuntimeError, match="while linking"), link.linking_place(second) as again:
        assert again == one and (again / "runtime" / "a.c").read_text() == "second"
        raise RuntimeError("while linking")


def test_what_artefacts_share_stays_as_it_lies_so_that_it_is_not_compiled_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "artefact"
    (folder / "runtime").mkdir(parents=True)
    for name in ("runtime/same.c", "runtime/other.c", "runtime/gone.c", "model.c"):
        (folder / name).write_text("1")
    with link.linking_place(folder) as place:
        before = {path.name: path.stat() for path in place.rglob("*.c")}
    assert sorted(path.name for path in place.rglob("*.*")) == ["gone.c", "other.c", "same.c"]
    (folder / "runtime" / "other.c").write_text("2")
    (folder / "runtime" / "gone.c").unlink()
    with link.linking_place(folder) as place:
        assert (place / "runtime" / "other.c").read_text() == "2" and not (place / "runtime" / "gone.c").exists()
        after = {path.name: path.stat() for path in place.rglob("*.c")}
    assert (after["same.c"].st_ino, after["same.c"].st_mtime_ns) == (
        before["same.c"].st_ino,
        before["same.c"].st_mtime_ns,
    )
    for name in ("other.c", "model.c"):  # written now, whatever their bytes were
        assert after[name].st_mtime_ns > before[name].st_mtime_ns


def test_where_all_places_are_taken_an_artefact_is_linked_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(link, "_PLACES", 1)
    folder = tmp_path / "artefact"
    folder.mkdir()
    with link.linking_place(folder), link.linking_place(folder) as place:
        assert place == folder
