"""Quantised networks run compiled where an artefact of theirs has the size, else otherwise, with the same bytes."""

import os

import numpy as np
import pytest
from artefacts import GATED_SIZES, compiled, compiled_gated, copy_of, gated_network
from model_files import photo

from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.edq import network_sha256, save_edq
from edgedeblur.restore.open import open_model, open_models
from edgedeblur.restore.tiling import restore_any_size
from edgedeblur.runtime import engine as engines
from edgedeblur.runtime.engine import (
    EXACT_IN_TORCH,
    NUMPY,
    UNDECIDED,
    QuantisedEngine,
    open_compiled,
    open_engine,
)
from edgedeblur.runtime.kept_artefacts import KeptArtefacts
from edgedeblur.runtime.session import Session

COMPILED = "compiled for 64x96 and 40x200, 2 threads"


@pytest.fixture
def session():
    with Session(compiled_gated(), threads=2) as session:
        yield session


@pytest.fixture
def edq(tmp_path):
    save_edq(gated_network(), tmp_path / "gated.edq")
    return tmp_path / "gated.edq"


@pytest.mark.parametrize(("in_torch", "other"), [(True, EXACT_IN_TORCH), (False, NUMPY)])
def test_every_size_gives_the_interpreters_bytes_and_what_ran_is_said(session, in_torch, other):
    engine = QuantisedEngine(gated_network(), session)
    if in_torch:
        engine.load_torch()
    assert engine.described() == COMPILED
    for number, size in enumerate([*GATED_SIZES, (96, 64), GATED_SIZES[0]]):
        image = photo(*size, seed=number)[:, ::-1]
        np.testing.assert_array_equal(engine.run(image), interpreter.run(gated_network(), image))
        assert engine.described().startswith(f"{COMPILED}; the rest {other}" if number > 1 else COMPILED)


def test_only_what_ran_is_said(session):
    engine = QuantisedEngine(gated_network(), session)
    engine.load_for(GATED_SIZES[0])
    assert engine.described() == COMPILED and engine.slow_size() is None
    for size in ((16, 16), (24, 8), (16, 16), GATED_SIZES[1]):
        engine.run(photo(*size))
    assert engine.slow_size() == (16, 16) and engine.described() == f"{COMPILED}; the rest {NUMPY}"


def test_an_artefact_whose_sizes_no_image_had_is_not_said_to_have_run(session):
    engine = QuantisedEngine(gated_network(), session)
    engine.run(photo(16, 16))
    assert engine.described() == NUMPY == QuantisedEngine(gated_network()).described()


@pytest.mark.parametrize("ahead", [True, False])
def test_torch_is_loaded_once_there_is_enough_to_do(monkeypatch, ahead):
    """In one go where it is known ahead, else when as much is done."""
    size, images = (16, 24), 5
    monkeypatch.setattr(engines, "TORCH_PAYS_FROM", images * gated_network().spec.macs(*size))
    engine = QuantisedEngine(gated_network(), in_torch=True)
    assert engine.described() == UNDECIDED
    for done in range(images):
        engine.load_for(size, images - done if ahead else 1)
        np.testing.assert_array_equal(engine.run(photo(*size)), interpreter.run(gated_network(), photo(*size)))
    ran = [NUMPY] * (not ahead) + [EXACT_IN_TORCH]
    assert [name.split(",")[0] for name in engine.described().split(" and ")] == ran


@pytest.mark.parametrize(("images", "makes"), [(1, True), (4, True), (4, False)])
def test_a_size_of_which_there_is_much_is_compiled_and_kept_for_later_runs(tmp_path, monkeypatch, images, makes):
    size, said = GATED_SIZES[1], []
    monkeypatch.setattr(engines, "COMPILING_PAYS_FROM", 4 * gated_network().spec.macs(*size))
    kept = KeptArtefacts(said.append, makes, tmp_path / "kept")
    engine = open_engine(gated_network(), kept=kept, threads=2)
    engine.load_for(size, images)
    image = photo(*size)
    np.testing.assert_array_equal(engine.run(image), interpreter.run(gated_network(), image))
    made = images == 4 and makes
    assert engine.described() == ("compiled for 40x200, 2 threads" if made else NUMPY)
    assert [line.startswith("compiling for 40x200, once for this machine") for line in said] == [True] * made
    assert (kept.find(gated_network(), size) is not None) == made and kept.find(gated_network(), (64, 96)) is None
    later = open_engine(gated_network(), kept=KeptArtefacts(said.append, folder=tmp_path / "kept"), threads=2)
    later.run(image)
    assert later.described() == engine.described() and len(said) == made


def test_a_kept_artefact_that_is_damaged_is_made_again_where_there_is_much(tmp_path, monkeypatch):
    said, size = [], GATED_SIZES[1]
    kept = KeptArtefacts(said.append, folder=tmp_path)
    (kept.make(gated_network(), size) / "libedgedeblur_model.so").write_bytes(b"")
    for images, where in ((1, NUMPY), (4, "compiled for 40x200, 2 threads")):
        monkeypatch.setattr(engines, "COMPILING_PAYS_FROM", 4 * gated_network().spec.macs(*size))
        engine = open_engine(gated_network(), kept=kept, threads=2)
        engine.load_for(size, images)
        np.testing.assert_array_equal(engine.run(photo(*size)), interpreter.run(gated_network(), photo(*size)))
        assert engine.described() == where


def test_a_network_that_cannot_be_compiled_runs_all_the_same_and_the_reason_is_said_once(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(engines, "COMPILING_PAYS_FROM", 1)
    monkeypatch.setattr("edgedeblur.runtime.kept_artefacts._compile", refused)
    engine = open_engine(gated_network(), kept=KeptArtefacts(said.append, folder=tmp_path))
    for _ in range(2):
        np.testing.assert_array_equal(engine.run(photo(16, 16)), interpreter.run(gated_network(), photo(16, 16)))
    assert engine.described() == NUMPY and said[1:] == ["not compiled for 16x16: the self-test failed"]


def test_artefacts_that_were_not_used_for_long_are_forgotten(tmp_path):
    folders = [tmp_path / f"{name:024x}-16x16-0123456789ab" for name in range(20)]
    for age, folder in enumerate(folders):
        folder.mkdir()
        os.utime(folder, (1000 + age, 1000 + age))
    KeptArtefacts(print, folder=tmp_path)._forget_old()
    assert sorted(tmp_path.iterdir()) == folders[4:]


def test_an_artefact_that_does_not_serve_is_passed_over_with_the_reason(tmp_path):
    cut = copy_of(compiled_gated(), tmp_path)
    (cut / "libedgedeblur_model.so").write_bytes(b"")
    folders = [tmp_path / "missing", compiled("host").path, cut, compiled_gated().path]
    said = []
    with open_compiled(network_sha256(gated_network()), folders, 2, said.append) as session:
        assert session.artefact.path == folders[-1] and session.unit == "cpu"
    reasons = ["there is no folder", "it was compiled from another network", "is damaged"]
    for folder, reason, line in zip(folders[:3], reasons, said, strict=True):
        assert line.startswith(f"{folder} is not used: ") and reason in line
    assert open_compiled(network_sha256(gated_network()), folders[:3], 2, said.append) is None


def refused(*_, **__):
    raise UserError("the self-test failed")


def test_a_library_that_does_not_start_is_passed_over(monkeypatch):
    monkeypatch.setattr("edgedeblur.runtime.engine.Session", refused)
    said = []
    assert open_compiled(network_sha256(gated_network()), [compiled_gated().path], None, said.append) is None
    assert said == [f"{compiled_gated().path} is not used: the self-test failed"]


@pytest.mark.parametrize("size", [(64, 96), (61, 90), (40, 200), (50, 60), (1, 1)])
def test_an_opened_network_restores_every_size_as_without_the_artefact(edq, size):
    image = photo(*size)
    restorer = open_model(edq, compiled=[compiled_gated().path], threads=2)
    wanted = restore_any_size(image, lambda one: interpreter.run(gated_network(), one), 8, None, largest=512)
    np.testing.assert_array_equal(restorer.restore(image), wanted)
    assert (restorer.kind, restorer.fixed_size, restorer.runs_in) == ("quantised", None, COMPILED)
    assert restorer.what_ran().startswith("compiled") == (size in [(64, 96), (61, 90), (40, 200)])


def test_the_interpreter_runs_on_request_and_only_quantised_networks(edq, tmp_path):
    artefact = compiled_gated().path
    assert open_model(edq, compiled=[artefact], interpreter=True).what_ran() == NUMPY
    runs_in = [one.runs_in for one in open_models([edq, artefact], interpreter=True, compiled=[artefact])]
    assert runs_in == [NUMPY, f"compiled, {compiled_gated().target.threads} threads"]
    for models in ([artefact], [artefact, artefact]):
        with pytest.raises(UserError, match="the interpreter runs .edq files"):
            open_models(models, interpreter=True)
