"""The self-test: kernels that give other bytes than the interpreter are not used, and the library says so."""

import ctypes
import hashlib
import re
import subprocess

import numpy as np
import pytest
from artefacts import compiled, copy_of, expected, noise

from edgedeblur.artefact import cpu, names
from edgedeblur.artefact.self_test import fill_image, make_tile
from edgedeblur.artefact.target import load_target
from edgedeblur.compile.linking import link
from edgedeblur.errors import UserError
from edgedeblur.runtime.session import Session

WRONG = "self-test: {} restores the artefact's tile to other bytes than the network's"


def test_the_tile_has_every_value_and_edges():
    tile = make_tile()
    assert tile.shape == (29, 31, 3) and len(np.unique(tile)) == 256
    np.testing.assert_array_equal(fill_image(tile, 60, 40)[29:58, 31:], tile[:, :9])


def digest_as(lengths: tuple[int, ...], folder) -> list[str]:
    """What the C runtime's SHA-256 makes of so many bytes."""
    (folder / "main.c").write_text(
        '#include <stdio.h>\n#include <stdlib.h>\n#include "sha256.h"\n'
        "int main(int count, char **words) {\n"
        "  static uint8_t bytes[4096], digest[32];\n"
        "  for (int i = 0; i < 4096; i++) bytes[i] = (uint8_t)(i * 7);\n"
        "  for (int i = 1; i < count; i++) {\n"
        "    ed_sha256(bytes, (size_t)atoi(words[i]), digest);\n"
        '    for (int j = 0; j < 32; j++) printf("%02x", digest[j]);\n'
        '    printf("\\n");\n  }\n}\n'
    )
    source = compiled("host").path / names.RUNTIME_FOLDER
    build = [
        *link.zig_cc(load_target("host").zig_target),
        "-O2",
        "-s",
        "-fPIC",  # as programs of artefacts are, so zig has its C library already
        f"-I{source}",
        "main.c",
        str(source / "sha256.c"),
        "-o",
        "m",
    ]
    link.run_compiler(build, folder)
    command = [str(folder / "m"), *map(str, lengths)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_the_digest_is_sha256_at_every_kind_of_length(tmp_path):
    lengths = (0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 4096)
    data = bytes(index * 7 % 256 for index in range(4096))
    assert digest_as(lengths, tmp_path) == [hashlib.sha256(data[:length]).hexdigest() for length in lengths]


@pytest.fixture(scope="module")
def wrong(tmp_path_factory):
    """The host's artefact, compiled for another digest."""
    folder = copy_of(compiled("host"), tmp_path_factory.mktemp("wrong"))
    text = (folder / names.MODEL_C).read_text()
    text, count = re.subn(r"(ed_model_proof = \{tile, 29, 31, \{)0x..", r"\g<1>0x99", text)
    assert count == 1
    (folder / names.MODEL_C).write_text(text)
    link.link_library(folder, load_target("host"))
    link.link_bench(folder, load_target("host"))
    return folder


def test_a_library_whose_kernels_give_other_bytes_does_not_start(wrong):
    library = ctypes.CDLL(str(wrong / names.LIBRARY))
    library.ed_create.restype = ctypes.c_void_p
    library.ed_last_error.restype = ctypes.c_char_p
    isas = [one.isa for one in compiled("host").target.kernel_sets if cpu.runs_here(one.isa)]
    for _ in range(2):
        assert library.ed_create(None) is None
        assert library.ed_last_error().decode() == WRONG.format(isas[-1])


def test_the_bench_program_says_so_and_exits_1(wrong):
    done = subprocess.run([wrong / names.BENCH, "--runs", "1"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert "self-test" in done.stderr


def test_an_artefact_without_gpu_kernels_computes_on_the_cpu_and_refuses_the_gpu():
    for unit in ("auto", "cpu"):
        with Session(compiled("host"), unit=unit) as session:
            assert session.unit == "cpu"
            np.testing.assert_array_equal(session.run(noise()), expected())
    with pytest.raises(UserError, match="this artefact has no kernels for a GPU"):
        Session(compiled("host"), unit="gpu")
    with pytest.raises(UserError, match="unit 'npu'; there are auto, cpu, gpu"):
        Session(compiled("host"), unit="npu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--unit", "npu"), "--unit npu: cpu, gpu or auto is needed"),
        (("--canary", "-1"), "--canary -1: a whole number"),
    ],
)
def test_bad_units_and_canaries_are_refused(options, message):
    done = subprocess.run([compiled("host").bench, *options], capture_output=True, text=True)
    assert done.returncode == 2 and message in done.stderr


def test_a_canary_that_passes_leaves_the_run_as_it_is():
    done = subprocess.run([compiled("host").bench, "--runs", "5", "--canary", "2"], capture_output=True, text=True)
    assert done.returncode == 0 and '"unit":"cpu"' in done.stdout
