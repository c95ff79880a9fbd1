"""Batches made by torch against what NumPy and OpenCV make of the same motions, one picture at a time."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch

from edgedeblur.data.blur.blurring import OPEN_SHUTTER, VIDEO_FRAMES, BlurRecipe
from edgedeblur.data.blur.gopro import average_frames
from edgedeblur.data.blur.object_motion import ObjectShape, kernel_blur
from edgedeblur.data.blur.recorded import expose_recorded
from edgedeblur.data.blur.scene import Scene, assemble, expose_scene
from edgedeblur.data.blur.sensor import jpeg
from edgedeblur.data.blur.shake_log import Segment, ShakeLogs
from edgedeblur.data.blur.shake_model import shipped_shake
from edgedeblur.data.blur.trajectory import frames_kernel, linear_path
from edgedeblur.data.gpu import motion as gpu_motion
from edgedeblur.data.gpu import recorded as gpu_recorded
from edgedeblur.data.gpu.motion import Motions, PathBank, assemble_all, draw_motions, expose
from edgedeblur.data.gpu.recorded import RecordedBank
from edgedeblur.data.gpu.sensor import add_noise, jpeg_all
from edgedeblur.data.gpu.stock import GpuStock, _maker, made_on_gpu
from edgedeblur.data.images import write_image
from edgedeblur.data.sources import Frames, Mixture, Photos, open_source
from edgedeblur.metrics import psnr

CPU = torch.device("cpu")
NONE = dict.fromkeys((f"{kind}_share" for kind in ("still", "shake", "linear", "turn", "defocus", "object")), 0.0)
CLEAN = BlurRecipe(**NONE | {"scene_share": 1.0}, noise_share=0, jpeg_share=0, highlight_gain=1, gammas=(1.0,))


@pytest.fixture(autouse=True)
def few_paths(monkeypatch):
    """Drawing 4,096 shaken paths takes longer than what is tested here."""
    monkeypatch.setattr(gpu_motion, "_PATHS", 512)


def smooth_light(count: int, side: int) -> np.ndarray:
    """float32 [count, side, side, 3]: waves, so that both ways to interpolate between pixels agree."""
    y, x = np.mgrid[:side, :side] / 6
    waves = [np.sin(x + seed) * np.cos(1.3 * y - seed) for seed in range(3 * count)]
    return (0.5 + 0.4 * np.array(waves, np.float32)).reshape(count, 3, side, side).transpose(0, 2, 3, 1)


def drawn(count: int, side: int, **changes) -> Motions:
    recipe = dataclasses.replace(CLEAN, max_length=20.0, **changes)
    return draw_motions(np.random.default_rng(3), recipe, PathBank(recipe, 0), side, count)


def as_scene(motions: Motions, place: int) -> Scene:
    count, outline = motions.count[place], motions.outline[place]
    waves = (len(outline) - 4) // 2
    shape = ObjectShape(
        tuple(outline[:2]),
        outline[2],
        outline[3],
        tuple(outline[4:][:waves]),
        tuple(outline[4:][waves:]),
        motions.edge[place],
    )
    with_foreground = outline[2] > 0
    return Scene(
        motions.camera[place, :count],
        tuple(motions.tilt[place]),
        motions.degrees[place],
        tuple(motions.centre[place]),
        motions.foreground[place, :count] if with_foreground else None,
        shape if with_foreground else None,
    )


def as_tensor(light: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(light).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("video_share", [0.0, 0.7])
def test_scenes_are_exposed_as_one_by_one(video_share):
    light = smooth_light(12, 80)
    motions = drawn(12, 80, video_share=video_share)
    assert (motions.outline[:, 2] > 0).any() and (motions.outline[:, 2] == 0).any() and motions.degrees.any()
    together = expose(as_tensor(light), motions).permute(0, 2, 3, 1).numpy()
    sharp = assemble_all(as_tensor(light), motions).permute(0, 2, 3, 1).numpy()
    for place in range(12):
        scene = as_scene(motions, place)
        assert np.abs(sharp[place] - assemble(scene, light[place])).max() < 1e-3
        assert np.abs(together[place] - expose_scene(scene, light[place])).max() < 0.02  # OpenCV: 1/32 of a pixel


def test_straight_motion_is_the_convolution_with_its_kernel():
    light = smooth_light(1, 64)
    motions = drawn(1, 64)
    count = 9
    path = linear_path(16.0, 0.4)
    camera = np.zeros((1, OPEN_SHUTTER, 2))
    camera[0, :count] = path[np.linspace(0, len(path) - 1, count).round().astype(int)]
    motions = dataclasses.replace(
        motions,
        count=np.array([count]),
        camera=camera,
        tilt=np.zeros((1, 2)),
        degrees=np.zeros(1),
        outline=motions.outline * 0 + np.array([1, 1, 0, 1] + [0] * (motions.outline.shape[1] - 4)),
    )
    moved = expose(as_tensor(light), motions)[0].permute(1, 2, 0).numpy()
    assert np.abs(moved - kernel_blur(light[0], frames_kernel(path, count))).max() < 5e-3
    assert torch.allclose(expose(as_tensor(light), motions, 10), expose(as_tensor(light), motions)[..., 10:-10, 10:-10])


def test_motions_have_the_recipe_s_shares_lengths_and_numbers_of_exposures():
    shares = {"still_share": 0.2, "shake_share": 0.2, "linear_share": 0.2, "turn_share": 0.2, "scene_share": 0.2}
    recipe = dataclasses.replace(CLEAN, **shares, video_share=1.0, min_length=4.0, max_length=24.0)
    motions = draw_motions(np.random.default_rng(0), recipe, PathBank(recipe, 1), 200, 2000)
    still = motions.count == 1
    assert np.mean(still) == pytest.approx(0.2, abs=0.04) and not motions.camera[still].any()
    assert np.mean(motions.count == OPEN_SHUTTER) == pytest.approx(0.2, abs=0.04)  # what turns has an open shutter
    assert set(motions.count) == {1, OPEN_SHUTTER, *VIDEO_FRAMES}
    assert np.mean(motions.outline[:, 2] > 0) == pytest.approx(0.2 * 0.75, abs=0.03)
    middle = motions.camera[np.arange(2000), motions.count // 2]
    assert not middle.any()
    steps = np.diff(motions.camera, axis=1) * (np.arange(1, OPEN_SHUTTER)[None, :, None] < motions.count[:, None, None])
    lengths = np.hypot(*steps.transpose(2, 0, 1)).sum(axis=1)
    alone = (motions.tilt == 0).all(axis=1) & ~still
    assert lengths[alone].min() > 2 and lengths[alone].max() < 24.1  # a bent path is cut short by few exposures
    angles = np.arctan2(*motions.camera[alone, 0].T)
    assert np.abs(np.exp(2j * angles).mean()) < 0.1


def test_accelerated_motions_are_paths_of_constant_acceleration():
    """Second differences are all alike, and by the drawn share of the first; the middle is at zero."""
    recipe = dataclasses.replace(CLEAN, scene_share=0.0, linear_share=1.0, video_share=0.0, max_acceleration=1.0)
    motions = draw_motions(np.random.default_rng(0), recipe, PathBank(recipe, 1), 200, 400)
    camera = motions.camera[:, ::4]  # nine points, each 64 steps apart, to a step
    bend = np.diff(camera, n=2, axis=1)
    size = np.abs(camera).max(axis=(1, 2))[:, None, None]
    assert np.abs(bend - bend.mean(axis=1, keepdims=True)).max() < 0.03 * size.max()
    change = 4 * np.hypot(*bend.mean(axis=1).T) / np.hypot(*np.diff(camera, axis=1).mean(axis=1).T)
    assert np.quantile(change, 0.98) < 1.1 and change.max() > 0.8 and not motions.camera[:, OPEN_SHUTTER // 2].any()


def test_long_motions_are_bent_no_farther_in_pixels_than_short_ones():
    """Ends against the chord through the middle: a path's even part is what acceleration adds, its odd part's departure
    from a line what jerk does."""
    recipe = dataclasses.replace(
        CLEAN,
        **{"scene_share": 0.0, "linear_share": 1.0, "video_share": 0.0},
        **{"max_acceleration": 1.0, "max_jerk": 1.0, "acceleration_pixels": 4.0},
    )
    camera = draw_motions(np.random.default_rng(0), recipe, PathBank(recipe, 1), 200, 600).camera
    even = np.hypot(*(camera[:, 0] + camera[:, -1]).T) / 2
    odd, inner = (camera[:, -1] - camera[:, 0]) / 2, (camera[:, 24] - camera[:, 8]) / 2
    twisted = np.hypot(*(odd - 2 * inner).T)  # of a straight line's ends, twice what is halfway there
    assert 0.9 < even.max() < 1.1  # 4 pixels * 0.5^2
    assert 0.45 < twisted.max() < 0.6  # 4 pixels * 4 / 3 * (0.5^3 - 2 * 0.25^3)


@functools.cache
def shaken_paths() -> PathBank:
    return PathBank(dataclasses.replace(CLEAN, max_length=20.0), 0)


@pytest.fixture
def small_bank(monkeypatch):
    monkeypatch.setattr(gpu_recorded, "_MOTIONS", 512)


@pytest.mark.usefixtures("small_bank")
@pytest.mark.parametrize("max_shutter", [0.0, 0.9])
def test_recorded_motion_is_exposed_as_one_by_one(max_shutter):
    """Beside motions of other kinds, whose turn comes in other orders."""
    recipe = dataclasses.replace(
        CLEAN, recorded_share=1.0, scene_share=0.5, max_length=20.0, video_share=0.6, max_shutter=max_shutter
    )
    bank = RecordedBank(recipe, shipped_shake(), 80, 0)
    motions = draw_motions(np.random.default_rng(1), recipe, shaken_paths(), 80, 14, bank)
    light = smooth_light(14, 80)
    together = expose(as_tensor(light), motions).permute(0, 2, 3, 1).numpy()
    assert 5 <= motions.recorded.sum() < 14
    for place in range(14):
        if motions.recorded[place]:
            assert not motions.camera[place].any() and motions.outline[place, 2] == 0
            alone = expose_recorded(light[place], motions.maps[place, : motions.count[place]].astype(np.float64))
        else:
            alone = expose_scene(as_scene(motions, place), light[place])
        assert np.abs(together[place] - alone).max() < 0.02  # OpenCV: 1/32 of a pixel


@pytest.mark.usefixtures("small_bank")
def test_recorded_motions_have_the_recipes_lengths_and_numbers_of_exposures():
    recipe = dataclasses.replace(
        CLEAN, scene_share=0.0, recorded_share=1.0, min_length=4.0, max_length=24.0, video_share=0.75, max_shutter=0.0
    )
    bank = RecordedBank(recipe, shipped_shake(), 100, 3)
    count, maps = bank.draw(np.random.default_rng(0), 1000)
    assert np.mean(count == OPEN_SHUTTER) == pytest.approx(0.25, abs=0.05)
    assert set(count) == {OPEN_SHUTTER, *VIDEO_FRAMES}
    middle = maps[np.arange(1000), count // 2]
    assert np.abs(middle - np.eye(3)).max() < 1e-4
    corners = np.array([(x, y, 1) for y in (0, 99) for x in (0, 99)], float)
    seen = np.einsum("nkab,cb->nkca", np.linalg.inv(maps.astype(np.float64)), corners)
    lengths = np.linalg.norm(np.diff(seen[..., :2] / seen[..., 2:], axis=1), axis=-1).sum(axis=1).max(axis=1)
    assert 3.9 < lengths.min() < 4.2 and 23 < lengths.max() < 24.5
    assert np.median(lengths) == pytest.approx(((2 + 24**0.5) / 2) ** 2, rel=0.1)


def test_slight_paths_are_as_often_as_the_recipe_says():
    recipe = dataclasses.replace(CLEAN, scene_share=0.0, linear_share=1.0, min_length=10.0, slight_share=0.3)
    camera = draw_motions(np.random.default_rng(0), recipe, shaken_paths(), 100, 2000).camera
    lengths = np.linalg.norm(camera[:, -1] - camera[:, 0], axis=1)
    assert np.mean(lengths < 3.01) == pytest.approx(0.3, abs=0.03) and not ((lengths > 3.01) & (lengths < 9.9)).any()


@pytest.mark.parametrize("quality", [75, 90, 99])
def test_jpeg_loses_what_libjpeg_loses(quality):
    image = np.uint8(255 * smooth_light(1, 96)[0])
    image[20:60, 30:50] = (200, 40, 60)
    theirs = jpeg(image, quality)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    ours = jpeg_all(tensor, torch.tensor([float(quality)]))[0].permute(1, 2, 0).byte().numpy()
    assert psnr(ours, image) == pytest.approx(psnr(theirs, image), abs=1.0)
    assert psnr(ours, theirs) > psnr(theirs, image)


def test_noise_has_each_picture_s_deviation():
    grey = torch.full((3, 3, 64, 64), 100.0)
    noisy = add_noise(grey, torch.tensor([0.0, 2.0, 8.0]), torch.Generator().manual_seed(0))
    assert torch.equal(noisy[0], grey[0]) and noisy[1].std() == pytest.approx(2, rel=0.05)
    assert noisy[2].std() == pytest.approx(8, rel=0.05) and torch.equal(noisy, noisy.round())


def photo(side: int = 150) -> np.ndarray:
    return np.uint8(255 * smooth_light(1, side)[0])


def stock(source, count=4, size=32, reuse=2, **options) -> GpuStock:
    return GpuStock(source, 7, count, size, reuse, CPU, **{"chunk": 8, "limit": 1 << 20} | options)


def test_a_batch_is_a_function_of_seed_and_step():
    source = Photos((photo(), photo(100)), dataclasses.replace(CLEAN, max_length=8.0, noise_share=0.5))
    stream = stock(source).batches(0)
    first = [next(stream) for _ in range(40)]
    resumed = stock(source).batches(35)
    for (blur, sharp), again in zip(first[35:], resumed, strict=False):
        assert torch.equal(blur, again[0]) and torch.equal(sharp, again[1])
    assert not torch.equal(first[0][0], first[1][0])
    blur, sharp = first[0]
    assert blur.shape == sharp.shape == (4, 3, 32, 32) and blur.dtype == torch.float32
    assert blur.min() >= 0 and blur.max() <= 1 and blur.stride(1) == 1


@pytest.mark.usefixtures("small_bank")
def test_recordings_that_are_given_are_what_a_gpu_draws_from():
    """Of a phone that lay still there is no blur, whatever the length."""
    times = np.arange(0, 1, 0.005)
    logs = ShakeLogs(("still.csv",), (Segment(times, np.zeros((200, 3)), 0),))
    recipe = dataclasses.replace(CLEAN, scene_share=0.0, recorded_share=1.0, min_length=9.0)
    blur, sharp = stock(Photos((photo(),), recipe, shake=logs)).batch(0)
    assert torch.equal(blur, sharp)


def test_pairs_are_sharp_and_blurred_versions_of_the_same():
    still = dataclasses.replace(CLEAN, scene_share=0.0, still_share=1.0)
    blur, sharp = stock(Photos((photo(),), still)).batch(0)
    assert torch.equal(blur, sharp)
    moving = dataclasses.replace(CLEAN, scene_share=0.0, linear_share=1.0, min_length=10.0, max_length=12.0)
    blur, sharp = stock(Photos((photo(),), moving), count=16).batch(0)
    assert not torch.equal(blur, sharp) and 10 < -10 * math.log10((blur - sharp).square().mean()) < 40
    assert torch.allclose(blur.mean((2, 3)), sharp.mean((2, 3)), atol=0.1)


def test_batches_are_turned_and_brightened_in_all_ways():
    made = stock(Photos((photo(),), dataclasses.replace(CLEAN, max_length=8.0)), count=64, size=32)
    made.size = made.side  # the whole pair, so that only turns and brightness are left
    batch = [side.permute(0, 2, 3, 1).numpy() * 255 for side in made.batch(0)]
    rng = np.random.default_rng((7, 0, 0x6B))
    number = rng.integers(0, 4 * 8, 64)
    rng.integers(1, size=(2, 64)), rng.integers(2, size=(3, 64))
    gain = rng.uniform(0.8, 1.2, 64).astype(np.float32)
    seen = set()
    for place in range(64):
        pair = np.clip(np.floor(made._kept[number[place]].numpy() * gain[place] + np.float32(0.5)), 0, 255)
        ways = [np.rot90(pair[:, ::-1] if flip else pair, turns) for turns in range(4) for flip in (False, True)]
        got = np.dstack([side[place] for side in batch])
        fitting = [way for way, turned in enumerate(ways) if np.abs(turned - got).max() < 0.01]
        assert fitting
        seen.update(fitting)
    assert seen == set(range(8))


def test_frames_are_averaged_as_one_by_one(tmp_path):
    paths = []
    for index in range(9):
        paths.append(tmp_path / f"{index}.png")
        write_image(paths[-1], np.roll(photo(64), 2 * index, axis=1))
    frames = Frames((tuple(paths),), dataclasses.replace(CLEAN, gammas=(2.2,)))
    made = stock(Mixture((frames,), (1.0,)), size=32)
    blur, sharp = made._chunk(0)[0].numpy()[..., :3], made._chunk(0)[0].numpy()[..., 3:]
    side = made.side
    images = [np.roll(photo(64), 2 * index, axis=1) for index in range(9)]
    found = []
    for top in range(64 - side + 1):
        for left in range(64 - side + 1):
            window = slice(top, top + side), slice(left, left + side)
            for count in range(7, 10):
                for first in range(10 - count):
                    if np.array_equal(images[first + count // 2][window], sharp):
                        run = [image[window] for image in images[first : first + count]]
                        found.append(np.abs(average_frames(run, 2.2).astype(int) - blur).max())
    assert found and min(found) <= 1


def test_only_models_that_a_gpu_has_are_made_there():
    assert made_on_gpu(Photos((photo(),), CLEAN))
    assert made_on_gpu(Photos((photo(),), dataclasses.replace(CLEAN, recorded_share=0.5)))
    assert not made_on_gpu(Photos((photo(),), dataclasses.replace(CLEAN, defocus_share=0.1)))
    mixed = Mixture((Photos((photo(),), CLEAN), Photos((photo(),), BlurRecipe(object_share=0.1))), (1, 1))
    assert not made_on_gpu(mixed)


def test_pairs_and_frames_are_reduced_as_threads_reduce_them(tmp_path):
    """Pictures of 64x64 have one place for a crop of 32 reduced by 2."""
    frames = [np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8) for seed in range(7)]
    for number, frame in enumerate(frames):
        for folder in ("pairs/blur", "pairs/sharp", "video"):
            write_image(tmp_path / folder / f"{number}.png", frame)
    recipe = BlurRecipe(reductions=(2,), gammas=(1.0,))
    reduced = [frame.reshape(32, 2, 32, 2, 3).mean((1, 3)) for frame in frames]
    pairs = _maker(open_source(tmp_path / "pairs", recipe), 32, 0, CPU).make(np.random.default_rng(0), 5)
    for blurred, sharp in (pair.permute(1, 2, 0).numpy().reshape(32, 32, 2, 3).transpose(2, 0, 1, 3) for pair in pairs):
        assert min(np.abs(sharp - frame).max() for frame in reduced) <= 0.5 and np.array_equal(blurred, sharp)
    video = open_source(f"frames:{tmp_path / 'video'}", recipe)
    (made,) = _maker(video, 32, 0, CPU).make(np.random.default_rng(0), 1)
    blurred, sharp = video.draw(np.random.default_rng(0), 32)
    assert np.abs(made[:3].permute(1, 2, 0).numpy() - blurred).max() <= 1
    assert np.abs(made[3:].permute(1, 2, 0).numpy() - sharp).max() <= 1
