"""Blur against geometry and direct sums: what a kernel does to a point, what a mean of frames is."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedeblur.data.blur.blurring import (
    KINDS,
    VIDEO_FRAMES,
    BlurRecipe,
    blur_and_record,
    blur_image,
    draw_length,
    draw_motion,
)
from edgedeblur.data.blur.gopro import MAX_FRAMES, MIN_FRAMES, average_frames, draw_window
from edgedeblur.data.blur.light import from_light, stretch_highlights, to_light
from edgedeblur.data.blur.object_motion import ObjectShape, kernel_blur, shape_mask
from edgedeblur.data.blur.scene import Scene, assemble, background_shift, expose_scene
from edgedeblur.data.blur.trajectory import STEPS, draw_change, frames_kernel, linear_path, path_kernel, shake_path
from edgedeblur.data.blur.turning import turn_blur

CLEAN = BlurRecipe(still_share=0, noise_share=0, jpeg_share=0, highlight_gain=1)


def point_image(side: int = 41) -> np.ndarray:
    image = np.zeros((side, side, 3), np.float32)
    image[side // 2, side // 2] = 1
    return image


@pytest.mark.parametrize("length", [0.5, 8, 35, 60])
@pytest.mark.parametrize("unrest", [0.0001, 0.003, 0.01])
def test_shake_kernels_are_positive_odd_and_sum_to_one(length, unrest):
    kernel = path_kernel(shake_path(np.random.default_rng(1), length, unrest))
    assert kernel.sum() == pytest.approx(1, abs=1e-5) and kernel.min() >= 0
    assert kernel.shape[0] == kernel.shape[1] and kernel.shape[0] % 2 == 1


def test_a_path_is_as_long_as_asked_and_passes_its_middle_at_the_origin():
    path = shake_path(np.random.default_rng(2), 30, 0.005)
    assert np.abs(np.diff(path, axis=0)).max() <= 30 / (STEPS - 1) + 1e-9
    assert np.linalg.norm(np.diff(path, axis=0), axis=1).sum() == pytest.approx(30)
    assert path[STEPS // 2].tolist() == [0, 0]


def test_a_still_camera_has_the_identity_kernel():
    assert path_kernel(np.zeros((STEPS, 2))).tolist() == [[1.0]]


def test_linear_motion_smears_a_point_evenly_along_its_direction():
    smeared = kernel_blur(point_image(), path_kernel(linear_path(20, 0.0)))[..., 0]
    row = smeared[20]
    assert row.sum() == pytest.approx(1, abs=1e-5)
    assert np.flatnonzero(row > 1e-4).tolist() == list(range(10, 31))
    assert row[12:29] == pytest.approx(1 / 20, rel=0.35)


@pytest.mark.parametrize("count", VIDEO_FRAMES)
def test_blur_of_a_video_is_the_mean_of_shifted_images(count):
    image = np.random.default_rng(3).random((48, 48, 3), np.float32)
    moved = kernel_blur(image, frames_kernel(linear_path(2.0 * (count - 1), 0.0), count))
    shifts = [2 * (frame - count // 2) for frame in range(count)]
    mean = np.mean([np.roll(image, shift, axis=1) for shift in shifts], axis=0)
    inside = (slice(None), slice(count, -count))
    assert np.abs(moved[inside] - mean[inside]).max() < 0.02  # paths have no sample at exactly every whole pixel


@pytest.mark.parametrize("kind", ["shake", "linear", "object"])
def test_the_share_of_video_blur_is_kept_and_recorded(kind):
    shares = {f"{name}_share": float(name == kind) for name in KINDS}
    recipe = dataclasses.replace(CLEAN, **shares, video_share=0.5)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    records = [blur_and_record(image, recipe, np.random.default_rng(seed)).record for seed in range(100)]
    frames = [record["frames"] for record in records if "frames" in record]
    assert 30 < len(frames) < 70 and set(frames) == set(VIDEO_FRAMES)


def test_a_point_moves_to_where_the_path_goes():
    """Convolution, not correlation: a path that spends its time down and to the right moves light there."""
    moved = kernel_blur(point_image(), path_kernel(np.tile([5.0, 3.0], (STEPS, 1))))[..., 0]
    assert np.unravel_index(moved.argmax(), moved.shape) == (20 + 3, 20 + 5)
    assert moved.max() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("along, across", [(0.0, 0.0), (1.0, 0.0), (-0.6, 0.5), (0.0, 0.9)])
def test_an_accelerated_path_is_the_integral_of_its_velocity(along, across):
    """Velocity (1 + 2 along t, 2 across t) in lengths per exposure, summed by the midpoint rule; halfway at (0, 0)."""
    time = np.linspace(-0.5, 0.5, STEPS)
    middle = (time[1:] + time[:-1]) / 2
    velocity = 24.0 * np.stack([1 + 2 * along * middle, 2 * across * middle], axis=1)
    travelled = np.concatenate([np.zeros((1, 2)), np.cumsum(velocity / (STEPS - 1), axis=0)])
    path = linear_path(24.0, 0.0, (along, across))
    assert path - path[0] == pytest.approx(travelled, abs=1e-9)
    assert np.abs(path[STEPS // 2]).max() < 0.03 and np.abs(path[STEPS // 2 - 1]).max() < 0.03
    turned = linear_path(24.0, 0.7, (along, across))
    assert turned @ [math.cos(0.7), math.sin(0.7)] == pytest.approx(path[:, 0])


@pytest.mark.parametrize("along, across", [(-1.0, 0.0), (0.4, 0.7)])
def test_a_path_of_changing_acceleration_is_the_integral_of_its_velocity(along, across):
    """Velocity (1 + 4 along t^2, 4 across t^2): with -1 from rest to rest, fastest in the middle."""
    path = linear_path(30.0, 0.0, jerk=(along, across))
    velocity = np.gradient(path, 1 / (STEPS - 1), axis=0)[1:-1] / 30.0
    time = np.linspace(-0.5, 0.5, STEPS)[1:-1]
    expected = np.stack([1 + 4 * along * time**2, 4 * across * time**2], axis=1)
    assert velocity == pytest.approx(expected, abs=1e-4)


def test_long_paths_are_bent_no_farther_in_pixels_than_short_ones():
    recipe = BlurRecipe(max_acceleration=1.0, max_jerk=0.5, acceleration_pixels=6.0)
    rng = np.random.default_rng(3)
    for length, most, most_jerk in ((3.0, 1.0, 0.5), (8.0, 0.75, 0.5), (30.0, 0.2, 0.2)):
        drawn = [draw_motion(rng, length, recipe) for _ in range(300)]
        changes, jerks = (np.hypot(*np.array([motion[place] for motion in drawn]).T) for place in (1, 2))
        assert 0.95 * most < changes.max() <= most and 0.95 * most_jerk < jerks.max() <= most_jerk


def test_accelerations_are_of_any_direction_and_up_to_the_most():
    rng = np.random.default_rng(0)
    drawn = np.array([draw_change(rng, 0.8) for _ in range(500)])
    assert 0.75 < np.hypot(*drawn.T).max() <= 0.8 and np.abs(drawn.mean(axis=0)).max() < 0.06
    assert draw_change(rng, 0.0) == (0.0, 0.0)


def test_a_scene_is_sharp_in_the_middle_and_its_thing_moves_its_own_way():
    """A foreground moves right over a background that moves up, both by whole pixels: the mean of shifted layers."""
    light = np.random.default_rng(1).random((96, 96, 3), np.float32)
    shape = ObjectShape((48.0, 48.0), 20.0, 1.0, (0.0,) * 4, (0.0,) * 4, 2.0)
    times = np.arange(-3, 4)
    camera, foreground = np.stack([0 * times, -times], axis=1), np.stack([2 * times, 0 * times], axis=1)
    scene = Scene(camera.astype(float), (0.0, 0.0), 0.0, (0.0, 0.0), foreground.astype(float), shape)
    mask, front = shape_mask(shape, 96, 96)[..., None], light[::-1, ::-1]
    total = 0
    for time in times:
        near, seen = (np.roll(layer, 2 * time, axis=1) for layer in (front, mask))
        total = total + seen * near + (1 - seen) * np.roll(light, -time, axis=0)
    inside = (slice(10, -10), slice(10, -10))
    assert expose_scene(scene, light)[inside] == pytest.approx((total / 7)[inside], abs=1e-4)
    assert assemble(scene, light) == pytest.approx(mask * front + (1 - mask) * light)
    only_middle = dataclasses.replace(scene, camera=camera[3:4] * 1.0, foreground=foreground[3:4] * 1.0)
    assert expose_scene(only_middle, light) == pytest.approx(assemble(scene, light), abs=1e-5)


def test_nearer_parts_of_a_scene_move_further():
    scene = Scene(np.array([[8.0, 0.0]]), (0.5 / 50, 0.0), 0.0, (0.0, 0.0))
    shift, down = background_shift(scene, 0, 101, 101)
    assert shift[0, 50] == pytest.approx(8) and shift[0, 100] == pytest.approx(12) and shift[0, 0] == pytest.approx(4)
    assert not down.any()


def test_a_scene_s_camera_turns_about_its_centre():
    scene = Scene(np.zeros((3, 2)), (0.0, 0.0), 4.0, (20.0, 30.0))
    x, y = background_shift(scene, 2, 64, 64)
    assert x[30, 20] == y[30, 20] == 0
    reach = 2 * math.sin(math.radians(1)) * 40  # the chord of half the turn, 40 pixels from the centre
    assert np.hypot(x[30, 60], y[30, 60]) == pytest.approx(reach, rel=1e-3)
    assert not np.any(background_shift(scene, 1, 64, 64))


def test_the_centre_of_light_follows_a_shake_path():
    path = shake_path(np.random.default_rng(4), 18, 0.003)
    smeared = kernel_blur(point_image(81), path_kernel(path))[..., 0]
    y, x = np.mgrid[:81, :81]
    centre = [(smeared * x).sum() - 40, (smeared * y).sum() - 40]
    assert centre == pytest.approx(path.mean(axis=0), abs=0.05)


def test_turning_about_a_point_leaves_it_sharp_and_smears_far_ones():
    image = np.zeros((101, 101, 3), np.float32)
    image[50, 50] = image[50, 95] = 1
    turned = turn_blur(image, np.zeros((STEPS, 2)), 6.0, (50.0, 50.0))[..., 0]
    assert turned[50, 50] > 0.9
    reach = math.radians(3.0) * 45  # half the turn, at 45 pixels from the centre
    column = turned[:, 90:101].sum(axis=1)
    touched = np.flatnonzero(column > 0.01)
    assert touched.min() == pytest.approx(50 - reach, abs=1.5) and touched.max() == pytest.approx(50 + reach, abs=1.5)


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_light_and_back_changes_nothing(gamma):
    values = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)
    assert np.array_equal(from_light(to_light(values, gamma), gamma), values)


def test_half_black_half_white_is_brighter_than_grey_in_linear_light():
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert average_frames([black, white], gamma=2.2)[0, 0, 0] == round(255 * 0.5 ** (1 / 2.2))
    assert average_frames([black, white], gamma=1.0)[0, 0, 0] == 128


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_the_gopro_recipe_is_the_float64_mean_of_the_frames(gamma):
    frames = np.random.default_rng(5).integers(0, 256, (7, 16, 20, 3), dtype=np.uint8)
    direct = 255 * np.mean((frames / 255.0) ** gamma, axis=0) ** (1 / gamma)
    assert np.abs(average_frames(list(frames), gamma) - direct).max() <= 0.5 + 1e-3


def test_windows_have_7_to_13_frames_inside_the_sequence():
    rng = np.random.default_rng(6)
    windows = [draw_window(rng, 20) for _ in range(300)]
    assert {count for _, count in windows} == set(range(MIN_FRAMES, MAX_FRAMES + 1))
    assert all(first >= 0 and first + count <= 20 for first, count in windows)
    assert draw_window(rng, 7) == (0, 7)


def test_highlights_are_stretched_beyond_white_and_the_rest_stays():
    light = np.array([0.2, 0.9, 1.0], np.float32)
    assert stretch_highlights(light, 3.0) == pytest.approx([0.2, 0.9, 3.0])


def test_slight_paths_are_as_often_as_the_recipe_says_and_change_nothing_where_it_says_never():
    recipe = dataclasses.replace(CLEAN, min_length=10.0, slight_share=0.3)
    rng = np.random.default_rng(0)
    lengths = np.array([draw_length(rng, recipe) for _ in range(2000)])
    assert np.mean(lengths < 3) == pytest.approx(0.3, abs=0.03) and lengths[lengths > 3].min() > 10
    first, again = np.random.default_rng(1), np.random.default_rng(1)
    assert draw_length(first, CLEAN) == again.uniform(math.sqrt(2), math.sqrt(40)) ** 2
    assert first.random() == again.random()


def test_blur_is_a_function_of_its_seed():
    image = np.random.default_rng(7).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    first, again, other = (blur_image(image, BlurRecipe(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def only(kind: str, **changes) -> BlurRecipe:
    return dataclasses.replace(CLEAN, **{f"{name}_share": float(name == kind) for name in KINDS}, **changes)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_every_kind_of_blur_blurs_and_keeps_a_flat_image_flat(kind):
    recipe = only(kind, min_length=15, min_radius=4, min_object=0.4)
    rng = np.random.default_rng(8)
    noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert blur_image(noise, recipe, rng).std() < (0.7 if kind != "object" else 0.9) * noise.std()
    flat = np.full((64, 64, 3), 120, np.uint8)
    assert np.abs(blur_image(flat, recipe, rng).astype(int) - 120).max() <= 1


def test_still_pairs_stay_sharp():
    image = np.random.default_rng(9).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(blur_image(image, only("still"), np.random.default_rng(0)), image)


def test_noise_and_jpeg_change_a_still_image_a_little():
    image = np.full((64, 64, 3), 100, np.uint8)
    still = only("still", noise_share=1, jpeg_share=1, noise=4)
    changed = blur_image(image, still, np.random.default_rng(3)).astype(int)
    assert 0 < np.abs(changed - 100).mean() < 4 and abs(changed.mean() - 100) < 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_drawn_is_recorded_as_json_and_drawn_again_from_the_seed(kind):
    image = np.random.default_rng(7).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    recipe = only(kind, noise_share=1, jpeg_share=1, photon_noise=2)
    first, again = (blur_and_record(image, recipe, np.random.default_rng(1)) for _ in range(2))
    assert np.array_equal(first.blur, again.blur) and first.record == again.record
    record = json.loads(json.dumps(first.record))
    assert record == first.record and record["model"] == kind and {"gamma", "noise", "jpeg_quality"} <= record.keys()


@pytest.mark.parametrize("length", [31, 70, 150])
def test_long_linear_blur_is_an_even_line(length):
    line = kernel_blur(point_image(201), path_kernel(linear_path(length, 0.3)))[..., 0]
    across = line.sum(axis=0)
    inside = across[100 - int(length * 0.45) : 100 + int(length * 0.45)]
    assert inside == pytest.approx(1 / (length * math.cos(0.3)), rel=0.15)


@pytest.mark.parametrize("unrest", [0.001, 0.01])
def test_shake_paths_spread_as_deblurgans_process(unrest):
    """The published process with its 2000 steps, all paths at once, against ours with fewer: the mean distance from the
    start, halfway and at the end."""
    count, steps, length = 2500, 2000, 40.0
    rng = np.random.default_rng(0)
    pull, shake, jitter = (rng.uniform(0, most, count) for most in (0.7, 0.2, 10))
    step = length / (steps - 1)
    velocity = step * np.exp(1j * rng.uniform(0, 2 * np.pi, count))
    place = np.zeros((steps, count), complex)
    for t in range(steps - 1):
        sudden = rng.random(count) < shake * unrest
        change = np.where(sudden, 2 * velocity * np.exp(1j * (np.pi + rng.uniform(-0.5, 0.5, count))), 0)
        noise = rng.standard_normal(count) + 1j * rng.standard_normal(count)
        velocity = velocity + change + unrest * (jitter * noise - pull * place[t]) * step
        velocity *= step / np.abs(velocity)
        place[t + 1] = place[t] + velocity
    ours = np.stack([shake_path(rng, length, unrest) for _ in range(count)])
    ours = np.linalg.norm(ours - ours[:, :1], axis=2)
    for own, published in ((STEPS // 2, steps // 2), (STEPS - 1, steps - 1)):
        assert np.mean(ours[:, own]) == pytest.approx(np.mean(np.abs(place[published])), rel=0.06)


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(KINDS), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_an_image_of_any_size_is_blurred_in_its_own_size(height, width, kind, seed):
    image = np.full((height, width, 3), 90, np.uint8)
    blurred = blur_and_record(image, only(kind), np.random.default_rng(seed)).blur
    assert blurred.shape == image.shape and blurred.dtype == np.uint8
    assert np.abs(blurred.astype(int) - 90).max() <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        dict.fromkeys(("still_share", "shake_share", "linear_share", "turn_share"), 0.0),
        {"object_share": -1.0},
        {"min_length": 50.0},
        {"gammas": ()},
        {"blades": (2,)},
        {"unrests": ()},
        {"unrests": (-0.1,)},
        {"jpeg_quality": 0},
        {"video_share": 1.5},
        {"max_acceleration": 1.5},
        {"max_jerk": -0.1},
        {"acceleration_pixels": -1.0},
        {"max_zoom": 0.5},
        {"min_contrast": 0.0},
    ],
)
def test_a_recipe_that_cannot_be_drawn_from_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[-1].removesuffix("s")):
        BlurRecipe(**wrong)
