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
