"""The artefact folder: complete, truthful, the same for the same input, and refused when it is not whole."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from artefacts import HEIGHT, WIDTH, compiled, copy_of, expected, noise
from networks import random_network, single_layer_spec, tiny_spec

from edgedeblur.artefact import names
from edgedeblur.artefact.folder import load_artefact
from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.linking import link
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.edq import save_edq

NETWORK = random_network(tiny_spec())


def edit_manifest(folder: Path, **changes) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", ["host", "android"])
def test_the_manifest_describes_the_network_and_the_target(name):
    info = compiled(name)
    manifest = info.manifest
    spec = tiny_spec()
    assert (info.name, manifest["tier"]) == ("tiny-64x96", "tiny")
    assert (info.height, info.width, manifest["input_shape"]) == (HEIGHT, WIDTH, [HEIGHT, WIDTH, 3])
    assert manifest["parameters"] == spec.parameters
    assert manifest["macs"] == spec.macs(HEIGHT, WIDTH)
    assert [layer["name"] for layer in manifest["layers"]] == [layer.name for layer in spec.layers]
    assert manifest["layers"][0]["op"] == "space_to_depth4+conv3x3"
    assert manifest["layers"][6]["op"] == "conv1x1+depth_to_space2+residual"
    assert manifest["layers"][6]["fused"] == ["bias", "requantise", "depth_to_space", "residual", "clamp"]
    assert info.target == load_target(name)
    assert manifest["recipe"] == NETWORK.recipe and manifest["provenance"] == NETWORK.provenance
    assert manifest["tensors"]["image"] == {"scale": 1 / 255, "zero_point": -128}


@pytest.mark.parametrize("name", ["host", "android"])
def test_every_convolution_is_shown_to_be_int8_by_its_machine_code(name):
    int8 = compiled(name).manifest["int8"]
    assert int8["convolutions"] == int8["int8_convolutions"] == 8
    assert int8["reasons"] == []
    assert int8["dot_instructions"] == sum(layer["dot_instructions"] for layer in compiled(name).manifest["layers"])


@pytest.mark.parametrize("name", ["host", "android"])
def test_every_file_is_listed_with_its_size_and_digest(name):
    info = compiled(name)
    present = {path.relative_to(info.path).as_posix() for path in info.path.rglob("*") if path.is_file()}
    assert set(info.manifest["files"]) == present - {"manifest.json"}
    for file, entry in info.manifest["files"].items():
        data = (info.path / file).read_bytes()
        assert entry == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_the_artefact_carries_its_network_and_the_digest_of_its_edq_file(tmp_path):
    info = compiled("host")
    save_edq(NETWORK, tmp_path / "n.edq")
    assert info.manifest["network_sha256"] == hashlib.sha256((tmp_path / "n.edq").read_bytes()).hexdigest()
    np.testing.assert_array_equal(interpreter.run(info.network(), noise()), expected())


def test_the_same_input_gives_the_same_bytes_in_another_folder(tmp_path):
    again = compile_network(NETWORK, load_target("host"), HEIGHT, WIDTH, tmp_path / "deep" / "again")
    assert again.manifest == compiled("host").manifest


@pytest.mark.parametrize("name", ["host", "android"])
def test_no_file_tells_where_it_was_made(name):
    info = compiled(name)
    here = [str(info.path.parent), str(Path.home()), str(Path(sys.prefix))]
    for file in info.manifest["files"]:
        data = (info.path / file).read_bytes()
        assert not [place for place in here if place.encode() in data], file


@pytest.mark.parametrize("name", ["host", "android"])
def test_the_bench_program_is_static(name):
    header = subprocess.run(["readelf", "-lW", compiled(name).bench], capture_output=True, text=True, check=True).stdout
    assert "INTERP" not in header and "DYNAMIC" not in header


def test_the_library_asks_for_no_newer_c_library_than_2_17_and_shows_only_the_header_functions():
    library = compiled("host").library
    symbols = subprocess.run(["nm", "-D", library], capture_output=True, text=True, check=True).stdout.splitlines()
    versions = [line.split("@GLIBC_")[1] for line in symbols if "@GLIBC_" in line]
    assert versions and max(tuple(map(int, version.split("."))) for version in versions) <= (2, 17)
    defined = {line.split()[-1] for line in symbols if " U " not in line}
    header = (library.parent / names.HEADER).read_text()
    assert defined and all(f" {name}(" in header or f"*{name}(" in header for name in defined)


def test_an_artefact_that_was_moved_is_still_whole(tmp_path):
    moved = tmp_path / "elsewhere"
    copy_of(compiled("host"), tmp_path).rename(moved)
    assert load_artefact(moved).manifest == compiled("host").manifest


def test_compiling_again_replaces_an_artefact_but_nothing_else(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(UserError, match="exists and is not an artefact"):
        compile_network(NETWORK, load_target("host"), 16, 16, folder)
    assert (folder / "holiday.jpg").read_bytes() == b"precious"
    artefact = copy_of(compiled("host"), tmp_path)
    assert compile_network(random_network(single_layer_spec()), load_target("host"), 16, 16, artefact).height == 16


def test_a_size_that_does_not_fit_leaves_what_was_there(tmp_path):
    artefact = copy_of(compiled("host"), tmp_path)
    with pytest.raises(UserError, match="63x96"):
        compile_network(NETWORK, load_target("host"), 63, 96, artefact)
    assert load_artefact(artefact).height == HEIGHT


@pytest.mark.parametrize(
    "file", ["model.o", "edgedeblur-bench", "libedgedeblur_model.so", "network.edq", "runtime/pool.c"]
)
def test_a_missing_or_changed_file_is_named(tmp_path, file):
    artefact = copy_of(compiled("host"), tmp_path)
    data = bytearray((artefact / file).read_bytes())
    data[len(data) // 2] ^= 1
    (artefact / file).write_bytes(data)
    with pytest.raises(UserError, match=f"{file} is damaged: it is not the file that was compiled"):
        load_artefact(artefact)
    (artefact / file).unlink()
    with pytest.raises(UserError, match=f"{file} is missing"):
        load_artefact(artefact)


def test_machine_code_of_another_architecture_is_refused(tmp_path):
    artefact = copy_of(compiled("host"), tmp_path)
    shutil.copyfile(compiled("android").bench, artefact / names.BENCH)
    files = compiled("host").manifest["files"] | {names.BENCH: compiled("android").manifest["files"][names.BENCH]}
    edit_manifest(artefact, files=files)
    with pytest.raises(UserError, match="holds no machine code for"):
        load_artefact(artefact)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 2}, "schema_version is 2; this edgedeblur reads 1"),
        ({"layers": "none"}, "layers = 'none'; a list is needed"),
        ({"input_shape": [64, 96]}, "input_shape = .*a list of 3 values"),
        ({"input_shape": [64, "96", 3]}, r"input_shape\[1\] = '96'; an integer"),
        ({"target": {"name": "host"}}, "key description is missing"),
        ({"target": {}}, "its target has no name"),
        ({"files": {}}, "files has no edgedeblur-bench"),
    ],
)
def test_a_manifest_that_breaks_a_rule_is_refused(tmp_path, changes, message):
    artefact = copy_of(compiled("host"), tmp_path)
    edit_manifest(artefact, **changes)
    with pytest.raises(UserError, match=message):
        load_artefact(artefact)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd"])
def test_a_manifest_cannot_name_files_outside_the_artefact(tmp_path, name):
    artefact = copy_of(compiled("host"), tmp_path)
    edit_manifest(artefact, files=compiled("host").manifest["files"] | {name: {"bytes": 0, "sha256": ""}})
    with pytest.raises(UserError, match="which is not a file of the artefact"):
        load_artefact(artefact)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema_version": 1}'])
def test_a_damaged_manifest_is_refused(tmp_path, text):
    artefact = copy_of(compiled("host"), tmp_path)
    (artefact / "manifest.json").write_text(text)
    with pytest.raises(UserError, match="manifest.json is damaged"):
        load_artefact(artefact)


def test_no_folder_and_no_artefact_are_told_apart(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        load_artefact(tmp_path / "nothing")
    with pytest.raises(UserError, match="has no manifest.json"):
        load_artefact(tmp_path)


def test_the_example_in_the_documentation_restores_an_image(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "artefact.md").read_text()
    (tmp_path / "example.c").write_text(text.split("```c\n")[1].split("```")[0])
    folder = compiled("host").path
    flags = ["-O2", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{folder}", f"-L{folder}"]
    link.run_compiler(
        [
            *link.zig_cc(f"{compiled('host').target.architecture}-linux-gnu.2.17"),
            *flags,
            "example.c",
            "-o",
            "example",
            "-ledgedeblur_model",
        ],
        tmp_path,
    )
    done = subprocess.run(
        [tmp_path / "example"], input=noise().tobytes(), capture_output=True, env={"LD_LIBRARY_PATH": str(folder)}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected().tobytes()


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler for cmake")
def test_the_cmake_file_builds_a_library_that_gives_the_same_image(tmp_path):
    import ctypes

    source, build = copy_of(compiled("host"), tmp_path), tmp_path / "build"
    subprocess.run(["cmake", "-S", source, "-B", build], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", build], check=True, capture_output=True)
    library = ctypes.CDLL(str(build / names.LIBRARY))
    library.ed_create.restype = ctypes.c_void_p
    library.ed_run.argtypes = [ctypes.c_void_p] * 3
    library.ed_destroy.argtypes = [ctypes.c_void_p]
    model, image = library.ed_create(None), noise()
    out = np.empty_like(image)
    assert library.ed_run(model, image.ctypes.data, out.ctypes.data) == 0
    library.ed_destroy(model)
    np.testing.assert_array_equal(out, expected())
