"""ed_run_frame against its definition in NumPy: formats, strides, sizes, rotations, masks, here and under qemu."""

import functools
import shutil
from pathlib import Path

import numpy as np
import pytest
from artefacts import GATED_SIZES, HEIGHT, WIDTH, compiled, compiled_gated, gated_network
from frame_program import PAD, build_program, memory_of, random_frame, run_program
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_network, single_layer_spec, tiny_spec
from PIL import Image

from edgedeblur.artefact.names import CONSTANTS
from edgedeblur.compile.linking import link
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter
from edgedeblur.restore.frames import restore_frame, spread_mask
from edgedeblur.restore.tiling import restore_any_size
from edgedeblur.runtime.frame import (
    FORMATS,
    MATRICES,
    RANGES,
    ROTATIONS,
    Frame,
    empty_frame,
    to_rgb,
    upright_size,
    write_rgb,
)
from edgedeblur.runtime.session import Session
from edgedeblur.tiles import choose_tile, tile_starts

MULTIPLE = tiny_spec().multiple
KR_KB = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}


@pytest.fixture(scope="module")
def session():
    with Session(compiled("host"), 2) as opened:
        yield opened


def assert_same(frame: Frame, due: Frame) -> None:
    for plane, expected in zip(frame.planes, due.planes, strict=True):
        np.testing.assert_array_equal(plane, expected)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_format_size_stride_rotation_and_mask_gives_the_definitions_bytes(session, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    size = data.draw(st.tuples(st.integers(1, 200), st.integers(1, 260)))
    colours = {"matrix": data.draw(st.sampled_from(MATRICES)), "range": data.draw(st.sampled_from(RANGES))}
    frame = random_frame(rng, data.draw(st.sampled_from(FORMATS)), size, data.draw(st.booleans()), **colours)
    rotation, overlap = data.draw(st.sampled_from(ROTATIONS)), data.draw(st.integers(1, 90))
    made = [random_frame(rng, data.draw(st.sampled_from(FORMATS)), upright_size(size, rotation), True, **colours)]
    mask = None
    if data.draw(st.booleans()):
        mask = rng.integers(0, 256, data.draw(st.tuples(st.integers(1, 300), st.integers(1, 40))), np.uint8)
        mask[rng.random(mask.shape) < data.draw(st.sampled_from([0, 0.5, 1]))] = 0
    made.append(empty_frame(made[0]))
    session.run_frame(frame, rotation=rotation, overlap=overlap, mask=mask, out=made[0])
    how = {"rotation": rotation, "overlap": overlap, "mask": mask}
    restore_frame(frame, session.run, MULTIPLE, (HEIGHT, WIDTH), **how, out=made[1])
    assert_same(*made)


def test_nothing_is_written_between_the_pixels(session):
    rng = np.random.default_rng(1)
    block = np.full((2, 40, 3 * 60), PAD, np.uint8)
    planes = (rng.integers(0, 256, (80, 120), np.uint8), block[0, :, ::3], block[1, :, 1::3])
    session.run_frame(random_frame(rng, "i420", (80, 120), False), out=Frame("yuv_420_888", planes))
    between = np.ones(block.shape, bool)
    between[0, :, ::3], between[1, :, 1::3] = False, False
    assert (block[between] == PAD).all() and not (block[~between] == PAD).all()


def test_a_frame_of_the_networks_size_is_the_interpreters_image(session):
    image = np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    done = session.run_frame(Frame("rgb", (image,)))
    np.testing.assert_array_equal(done.planes[0], interpreter.run(random_network(tiny_spec()), image))
    assert session.frame_tiles == 1


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("range", RANGES)
def test_colours_are_those_of_the_standards_to_half_a_level(matrix, range):
    values = np.random.default_rng(3).integers(0, 256, (3, 40, 60), np.uint8)
    frame = Frame("i420", (values[0], values[1, :20, :30], values[2, :20, :30]), matrix, range)
    y, cb, cr = values[0].astype(float), *(v.repeat(2, 0).repeat(2, 1).astype(float) for v in values[1:, :20, :30])
    kr, kb = KR_KB[matrix]
    if range == "limited":
        y, cb, cr = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    else:
        y, cb, cr = y / 255, (cb - 128) / 255, (cr - 128) / 255
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    exact = np.clip(np.stack([red, green, blue], -1) * 255, 0, 255)
    assert np.abs(to_rgb(frame) - exact).max() < 0.51


def test_full_range_bt601_is_jpegs():
    image = Image.fromarray(np.random.default_rng(4).integers(0, 256, (32, 48, 3), np.uint8))
    y, cb, cr = (np.asarray(band) for band in image.convert("YCbCr").split())
    even = [plane[::2, ::2] for plane in (cb, cr)]
    whole = np.stack([y, *(plane.repeat(2, 0).repeat(2, 1) for plane in even)], -1)
    due = np.asarray(Image.fromarray(whole, "YCbCr").convert("RGB"), int)
    assert np.abs(to_rgb(Frame("i420", (y, *even), "bt601", "full")) - due).max() <= 1


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("range", RANGES)
def test_grey_stays_grey_and_comes_back(matrix, range):
    grey = np.repeat(np.arange(256, dtype=np.uint8), 4).reshape(16, 64, 1).repeat(3, 2).repeat(2, 0)
    made = empty_frame(Frame("rgb", (grey,), matrix, range), format="nv12")
    write_rgb(grey, made, Frame("rgb", (grey,)), 0, np.zeros(grey.shape[:2], bool))
    assert (made.planes[1] == 128).all()
    assert np.abs(to_rgb(made).astype(int) - grey).max() <= (1 if range == "limited" else 0)


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_outside_the_mask_not_a_byte_changes_and_its_tiles_are_not_computed(session, rotation):
    rng = np.random.default_rng(5)
    frame = random_frame(rng, "nv21", (300, 500), True)
    height, width = upright_size((300, 500), rotation)
    mask = np.zeros((height, width), np.uint8)
    mask[-40:-10, -60:-20] = 255
    done = session.run_frame(frame, rotation=rotation, mask=mask)
    assert session.frame_tiles < 5, "of the tiles that cover the picture, those at one corner"
    turned = [np.rot90(plane, -rotation // 90) for plane in frame.planes]
    inside = mask > 0
    np.testing.assert_array_equal(done.planes[0][~inside], turned[0][~inside])
    assert (done.planes[0][inside] != turned[0][inside]).any()
    shared = inside[::2, ::2] | inside[1::2, ::2] | inside[::2, 1::2] | inside[1::2, 1::2]
    np.testing.assert_array_equal(done.planes[1][~shared], turned[1][~shared])
    session.run_frame(frame, rotation=rotation, mask=np.zeros((3, 3), np.uint8))
    assert session.frame_tiles == 0


def test_a_mask_of_the_pictures_size_is_taken_as_it_is_and_a_smaller_one_is_linear_between_its_centres():
    mask = np.random.default_rng(6).integers(0, 256, (30, 40), np.uint8)
    np.testing.assert_array_equal(spread_mask(mask, 30, 40), mask)
    assert (spread_mask(np.full((1, 1), 77, np.uint8), 50, 60) == 77).all()
    ramp = spread_mask(np.array([[0, 200]], np.uint8), 1, 100)[0]
    np.testing.assert_allclose(ramp[25:75], np.linspace(2, 198, 50), atol=1)
    assert (ramp[:25] == 0).all() and (ramp[75:] == 200).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"rotation": 45}, "a rotation by 45 degrees; 0, 90, 180 and 270"),
        ({"overlap": 0}, "an overlap of 0 pixels"),
        ({"mask": np.zeros((0, 3), np.uint8)}, "a mask is uint8"),
        ({"mask": np.zeros((3, 3), np.float32)}, "a mask is uint8"),
        ({"out": Frame("rgb", (np.zeros((21, 30, 3), np.uint8),))}, "an output of 30x21 for an input that is 30x20"),
    ],
)
def test_what_cannot_be_done_is_refused(session, call, message):
    with pytest.raises(UserError, match=message):
        session.run_frame(Frame("rgb", (np.zeros((20, 30, 3), np.uint8),)), **call)


def test_frames_that_cannot_be_are_refused(session):
    grey = np.zeros((20, 30), np.uint8)
    for format, planes, message in (
        ("p010", (grey,), "a frame of 'p010'"),
        ("nv12", (grey,), "planes"),
        ("i420", (grey, grey, grey), "planes"),
        ("rgb", (np.zeros((20, 30, 3), np.int16),), "uint8"),
        ("rgb", (np.zeros((20, 0, 3), np.uint8),), "0"),
    ):
        with pytest.raises(UserError, match=message):
            Frame(format, planes)
    image = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(UserError, match="strides"):
        session.run_frame(Frame("rgb", (image[::-1],)))
    with pytest.raises(UserError, match="input and output frame overlap"):
        session.run_frame(Frame("rgb", (image,)), out=Frame("rgb", (image,)))


def test_an_artefact_of_several_sizes_restores_each_in_one_piece_with_one_set_of_weights():
    network, artefact = gated_network(), compiled_gated()
    assert (artefact.path / CONSTANTS).stat().st_size == artefact.manifest["weights_bytes"]
    shapes = [tuple(entry["input_shape"]) for entry in artefact.manifest["more_sizes"]]
    assert shapes == [(*size, 3) for size in GATED_SIZES[1:]]
    for entry in artefact.manifest["more_sizes"]:
        assert entry["int8"]["int8_convolutions"] == entry["int8"]["convolutions"] == len(network.layers)
    with Session(artefact, 2) as opened:
        assert opened.sizes == list(GATED_SIZES)
        for size in (*GATED_SIZES, GATED_SIZES[0]):
            image = np.random.default_rng(8).integers(0, 256, (*size, 3), np.uint8)
            done = opened.run_frame(Frame("rgb", (image,)))
            assert opened.frame_tiles == 1
            np.testing.assert_array_equal(done.planes[0], interpreter.run(network, image))


@pytest.mark.parametrize("size", [(128, 130), (100, 60), (90, 500), (200, 200)])
def test_other_sizes_are_cut_into_tiles_of_the_size_with_the_least_work(size):
    network = gated_network()
    image = np.random.default_rng(9).integers(0, 256, (*size, 3), np.uint8)
    with Session(compiled_gated(), 2) as opened:
        done = opened.run_frame(Frame("rgb", (image,)), overlap=24)
        tiles = opened.frame_tiles
    multiple = network.spec.multiple
    tile = choose_tile(GATED_SIZES, *size, 24, multiple)
    sides = [-(-side // multiple) * multiple for side in size]
    counts = [len(tile_starts(side, of, 24, multiple)) for side, of in zip(sides, tile, strict=True)]
    assert tiles == counts[0] * counts[1]
    run = functools.partial(interpreter.run, network)
    np.testing.assert_array_equal(done.planes[0], restore_any_size(image, run, multiple, tile, overlap=24))


def test_tiles_give_the_whole_images_bytes_where_their_overlap_covers_what_the_network_sees():
    """One 3x3 convolution sees one pixel around; a quarter of the overlap is left out at either end."""
    network = random_network(single_layer_spec())
    image = np.random.default_rng(10).integers(0, 256, (32 + 2 * 31, 48 + 2 * 47, 3), np.uint8)
    run = functools.partial(interpreter.run, network)
    for overlap, same in ((4, True), (1, False)):
        tiled = restore_any_size(image, run, 1, (32, 48), overlap)
        assert np.array_equal(tiled, interpreter.run(network, image)) == same


FOR_GOVERNOR = """#include "edgedeblur.h"
enum { SMALL, NANO };
void run_at(const ed_level *level);
void every_second(double now, double p90_ms);
"""


@pytest.mark.parametrize(("name", "before"), [("camera", ""), ("governor", FOR_GOVERNOR)])
def test_the_example_of_a_page_compiles(tmp_path, name, before):
    page = (Path(__file__).parents[2] / f"docs/{name}.md").read_text()
    (tmp_path / "example.c").write_text(before + page.split("```c\n")[1].split("```")[0])
    header = compiled("host").path
    command = [*link.zig_cc("aarch64-linux-musl"), "-Wall", "-Wextra", "-Werror", f"-I{header}", "-c", "example.c"]
    link.run_compiler(command, tmp_path)


@pytest.fixture(scope="module")
def arm_program(tmp_path_factory):
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("qemu-user is not installed")
    artefact = compiled("android")
    return build_program(artefact, tmp_path_factory.mktemp("arm") / "frames"), artefact.target.runner


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_arm_programs_give_the_definitions_bytes(session, arm_program, data):
    """In QEMU, with the bytes between the pixels, which stay as they are."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    size = data.draw(st.tuples(st.integers(1, 120), st.integers(1, 150)))
    colours = {"matrix": data.draw(st.sampled_from(MATRICES)), "range": data.draw(st.sampled_from(RANGES))}
    frame = random_frame(rng, data.draw(st.sampled_from(FORMATS)), size, True, **colours)
    rotation, overlap = data.draw(st.sampled_from(ROTATIONS)), data.draw(st.integers(1, 90))
    mask = rng.integers(0, 256, (9, 7), np.uint8) if data.draw(st.booleans()) else None
    made, due = (
        random_frame(np.random.default_rng(0), to, upright_size(size, rotation), True, **colours)
        for to in [data.draw(st.sampled_from(FORMATS))] * 2
    )
    run_program(*arm_program, frame, made, rotation, overlap, mask)
    how = {"rotation": rotation, "overlap": overlap, "mask": mask}
    restore_frame(frame, session.run, MULTIPLE, (HEIGHT, WIDTH), **how, out=due)
    for block, expected in zip(memory_of(made), memory_of(due), strict=True):
        np.testing.assert_array_equal(block, expected)


def test_a_frame_of_12_megapixels_takes_less_than_40_mb_beside_itself(tmp_path):
    """The whole process, with the network and the output frame. (The mask leaves most tiles out, for time.)"""
    program = build_program(compiled("host"), tmp_path / "frames")
    rng, mask = np.random.default_rng(11), np.zeros((100, 100), np.uint8)
    mask[::50, ::25] = 255
    frame, out = (random_frame(rng, "nv12", (3000, 4000), False) for _ in range(2))
    tiles, peak_kb = run_program(program, (), frame, out, 0, 16, mask)
    frame_bytes = sum(plane.nbytes for plane in frame.planes)
    assert tiles >= 8 and frame_bytes == 18_000_000
    assert peak_kb * 1024 - frame_bytes <= 40e6
