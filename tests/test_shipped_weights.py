"""What ships, gone through whole: every tier, quantised and compiled, gives the same bytes everywhere."""

import functools
import shutil

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.data.default_set import default_photos
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.edq import load_edq
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.pipeline import QuantiseOptions
from edgedeblur.quantize.quality import measure_quality
from edgedeblur.restore.open import open_model
from edgedeblur.runtime.program import run_program
from edgedeblur.runtime.session import Session
from edgedeblur.storage.digests import digest
from edgedeblur.student import MAX_PARAMETERS, TIERS
from edgedeblur.student.model_file import load_student
from edgedeblur.student.table import tier_table
from edgedeblur.workflow.distill import distill_options, held_back_pairs
from edgedeblur.workflow.quantize import quantise_step
from edgedeblur.workflow.shipped import DEFAULT_TIER, shipped_network, shipped_student, shipped_teacher
from edgedeblur.workflow.workdir import WorkDir

HEIGHT, WIDTH = 128, 160
needs_qemu = pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed")
tiers = pytest.mark.parametrize("tier", TIERS)


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    """Five real images of different content: a face, a cup, engines, a rocket, a cat; uint8 [128, 160, 3]."""
    images = [*default_photos(), *default_photos(held_back=True)]
    corners = [((height - HEIGHT) // 2, (width - WIDTH) // 2) for height, width, _ in (image.shape for image in images)]
    crops = [image[y : y + HEIGHT, x : x + WIDTH] for image, (y, x) in zip(images, corners, strict=True)]
    assert len(crops) == 5
    return [np.ascontiguousarray(crop) for crop in crops]


@functools.cache
def network(tier: str) -> QuantisedNetwork:
    return load_edq(shipped_network(tier))


def compiled(network: QuantisedNetwork, target: str, folder) -> ArtefactInfo:
    return compile_network(network, load_target(target), HEIGHT, WIDTH, folder / target)


@tiers
def test_a_shipped_student_is_its_tiers_network(tier):
    student, metadata = load_student(shipped_student(tier))
    assert student.spec.name == tier == metadata["tier"]
    assert sum(parameter.numel() for parameter in student.parameters()) < MAX_PARAMETERS
    assert student.spec.macs(512, 512) <= tier_table(tier).budget_gmac * 1e9


def near_float(made: QuantisedNetwork, tier: str, folder) -> float:
    """dB of int8 to float on blurred pictures that calibration has not seen."""
    student, _ = load_student(shipped_student(tier))
    blurred = [pair.blur for pair in held_back_pairs(distill_options(WorkDir(folder), None, tier, None))]
    return measure_quality(made, student, blurred).int8_to_float_db


@pytest.mark.parametrize("tier", ["nano", "small"])
def test_the_shipped_edq_is_what_quantize_makes_of_the_shipped_student(tier, tmp_path):
    """The same calibration of the same file, and nearer to it than what rounding alone gives of it."""
    shipped = network(tier)
    chosen = {key: shipped.recipe[key] for key in ("observer", "equalise")}
    options = QuantiseOptions(**chosen, winograd_form="winograd_form" in shipped.recipe)
    rounded = quantise_step(shipped_student(tier), None, tmp_path / "rounded.edq", options, lambda line: None)
    assert shipped.spec == rounded.spec
    for name, made in rounded.tensors.items():  # fine-tuning moves scales, 1,600 steps to about half at most
        assert shipped.tensors[name].scale == pytest.approx(made.scale, rel=0.6), name
    assert near_float(shipped, tier, tmp_path) > near_float(rounded, tier, tmp_path)


@tiers
def test_the_shipped_edq_is_made_from_the_shipped_student_and_near_to_it(tier, tmp_path):
    assert network(tier).provenance["student_sha256"] == digest(shipped_student(tier))
    assert near_float(network(tier), tier, tmp_path) > 45


@tiers
def test_every_convolution_of_a_shipped_tier_is_int8(tier):
    layers = network(tier).layers
    assert [layer.spec for layer in layers] == list(network(tier).spec.layers)
    assert {(layer.weight.dtype.name, layer.bias.dtype.name) for layer in layers} == {("int8", "int32")}


@pytest.mark.parametrize("tier", ["nano", "large"])
def test_the_host_gives_the_interpreters_bytes_on_photographs(photos, tmp_path, tier):
    """Each tier once, as compiling takes half a minute: `small`, which has all kinds of layers, for the phone."""
    with Session(compiled(network(tier), "host", tmp_path).path, threads=2) as session:
        for photo in photos:
            assert np.array_equal(session.run(photo), interpreter.run(network(tier), photo))


@needs_qemu
def test_arm_gives_the_interpreters_bytes_on_photographs(photos, tmp_path):
    artefact = compiled(network("small"), "android", tmp_path)
    for photo in photos:
        ran = run_program(artefact, photo, runs=1, warmup=0)
        assert ran.simulated and np.array_equal(ran.output, interpreter.run(network("small"), photo))


def test_the_teacher_that_ships_leads_the_student_that_it_teaches(tmp_path):
    """On the pairs that `distill` is measured on by default, which nothing that ships learned from."""
    pairs = held_back_pairs(distill_options(WorkDir(tmp_path), None, DEFAULT_TIER, None))

    def mean_psnr(restore) -> float:
        return float(np.mean([peak_signal_noise_ratio(pair.sharp, restore(pair.blur)) for pair in pairs]))

    teacher, student = (open_model(path).restore for path in (shipped_teacher(), shipped_student(DEFAULT_TIER)))
    assert mean_psnr(teacher) > mean_psnr(student) > mean_psnr(lambda blurred: blurred) + 1
