"""Recorded camera motion against geometry, SciPy's rotations and sums done one by one."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.spatial.transform import Rotation

from edgedeblur.cli.main import cli
from edgedeblur.data.blur.blurring import KINDS, VIDEO_FRAMES, BlurRecipe, blur_and_record
from edgedeblur.data.blur.camera_rotation import View, camera_rates, corner_flow, rotations, source_maps, turned_angles
from edgedeblur.data.blur.object_motion import kernel_blur
from edgedeblur.data.blur.recorded import draw_recorded, draw_view, expose_recorded, frame_instants, open_exposures
from edgedeblur.data.blur.shake_log import LONGEST, SAMPLES, ShakeWindows, read_shake_logs
from edgedeblur.data.blur.shake_model import RATE, Oscillator, ShakeModel, shipped_shake
from edgedeblur.data.blur.trajectory import frames_kernel, linear_path

ONLY = BlurRecipe(
    **{f"{kind}_share": float(kind == "recorded") for kind in KINDS}, noise_share=0, jpeg_share=0, highlight_gain=1
)
LOGS = Path(os.environ.get("EDGEDEBLUR_SHARED", "../shared")) / "material/camera_shake"


@dataclasses.dataclass(frozen=True)
class Turning:
    """Windows that all turn at the same rates about the phone's axes."""

    rates: tuple[float, float, float]
    names: tuple[str, ...] = ("turning",)

    def draw(self, rng, seconds):
        count = len(seconds)
        return ShakeWindows(np.tile(self.rates, (count, SAMPLES, 1)), np.zeros(count, int), np.zeros(count))


def picture(seed: int = 0, side: int = 96) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / 7
    waves = [np.sin(x + seed + channel) * np.cos(1.3 * y - channel) for channel in range(3)]
    return (0.5 + 0.4 * np.stack(waves, axis=2)).astype(np.float32)


def view_of(focal=1000.0, centre=(300.0, -200.0), size=(96, 96)) -> View:
    return View(np.array([focal]), np.array([centre]), size)


def test_rotations_are_scipys():
    vectors = np.random.default_rng(0).normal(size=(200, 3)) * np.geomspace(1e-9, 3, 200)[:, None]
    vectors[0] = 0
    assert rotations(vectors) == pytest.approx(Rotation.from_rotvec(vectors).as_matrix(), abs=1e-12)


def test_maps_are_the_projections_of_points_that_a_turning_camera_sees():
    """A point far away is seen by the camera at half time and, turned by SciPy in small steps, at another."""
    rng = np.random.default_rng(1)
    rates, seconds, view = rng.normal(size=(1, SAMPLES, 3)), np.array([0.1]), view_of()
    instants = np.array([[0.0, 0.21, 0.5, 1.0]])
    maps = source_maps(rates, seconds, instants, view)[0]
    camera = np.array([[1000, 0, 300.0], [0, 1000, -200], [0, 0, 1]])
    fine = np.linspace(0, 1, 1601)
    body = np.stack([np.interp(fine, np.linspace(0, 1, SAMPLES), rates[0, :, axis]) for axis in range(3)], axis=1)
    turns, at = Rotation.from_rotvec((body[1:] + body[:-1]) / 2 * 0.1 / 1600), [Rotation.identity()]
    for turn in turns:
        at.append(at[-1] * turn)  # body rates turn the camera about its own axes
    pixels = np.array([[0.0, 95, 40], [0, 20, 95], [1, 1, 1]])
    for place, instant in enumerate(instants[0]):
        world = at[800].apply((np.linalg.inv(camera) @ pixels).T)
        seen = camera @ at[round(instant * 1600)].inv().apply(world).T
        back = maps[place] @ (seen / seen[2])
        assert back / back[2] == pytest.approx(pixels, abs=0.01)  # rates leap here, as no hand does
    assert maps[2] == pytest.approx(np.eye(3), abs=1e-12)


def test_the_flow_of_corners_is_how_they_move_at_once():
    view, angle = view_of(centre=(-150.0, 420.0), size=(50, 80)), 1e-6
    corners = np.array([[0, 0, 1], [79, 0, 1], [0, 49, 1], [79, 49, 1.0]])
    for axis in range(3):
        rates = np.zeros((1, SAMPLES, 3))
        rates[..., axis] = angle
        maps = source_maps(rates, np.array([2.0]), np.array([[1.0]]), view)[0, 0]  # turned by `angle` from half time on
        moved = np.linalg.inv(maps) @ corners.T
        assert ((moved[:2] / moved[2]).T - corners[:, :2]) / angle == pytest.approx(
            corner_flow(view)[0, :, :, axis], rel=1e-3, abs=1e-3
        )


def test_a_phone_held_level_that_pitches_up_moves_the_picture_down_and_a_pan_moves_it_sideways():
    """The phone lies on its left side: turning about its x axis pans, about its y axis pitches."""
    flow = corner_flow(view_of(centre=(0.0, 0.0), size=(1, 1)))[0, 0]
    assert flow @ camera_rates(np.array([0.0, -1, 0])) == pytest.approx([0, 1000])  # looks up: what is seen goes down
    assert flow @ camera_rates(np.array([-1.0, 0, 0])) == pytest.approx([-1000, 0])  # looks right: it goes left
    assert flow @ camera_rates(np.array([0.0, 0, 1])) == pytest.approx([0, 0])  # the optical axis stays


def test_angles_are_the_integral_of_rates():
    times = np.linspace(0, 0.5, SAMPLES)
    rates = np.stack([times, 0 * times + 2, -times], axis=1)[None]
    at = np.array([[0.0, 0.3, 1.0]])
    angles = turned_angles(rates, np.array([0.5]), at)[0]
    seconds = at[0] * 0.5
    assert angles == pytest.approx(np.stack([seconds**2 / 2, 2 * seconds, -(seconds**2) / 2], axis=1), abs=1e-4)


def test_an_exposure_of_a_distant_pan_is_the_convolution_with_its_kernel():
    """Through a long lens a turn about an axis across the picture is a shift."""
    light, view = picture(), View(np.array([1e6]), np.array([[48.0, 48.0]]), (96, 96))
    instants = np.linspace(0, 1, 9)[None]
    rates = np.zeros((1, SAMPLES, 3))
    rates[..., 1] = -16e-6  # over a second: 16 pixels to the right
    blurred = expose_recorded(light, source_maps(rates, np.array([1.0]), instants, view)[0])
    expected = kernel_blur(light, frames_kernel(linear_path(16.0, 0.0), 9))
    assert np.abs(blurred - expected)[10:-10, 10:-10].max() < 5e-3


def test_a_turn_about_the_optical_axis_leaves_its_place_sharp_and_smears_what_is_far():
    light = np.zeros((101, 101, 3), np.float32)
    light[50, 20] = light[50, 95] = 1
    rates = np.zeros((1, SAMPLES, 3))
    rates[..., 2] = 0.2
    maps = source_maps(rates, np.array([1.0]), np.linspace(0, 1, 21)[None], view_of(centre=(20.0, 50.0)))[0]
    blurred = expose_recorded(light, maps)[..., 0]
    assert blurred[50, 20] > 0.99
    touched = np.flatnonzero(blurred[:, 85:].sum(axis=1) > 0.01)
    assert touched.min() == pytest.approx(50 - 7.5, abs=1) and touched.max() == pytest.approx(50 + 7.5, abs=1)


@pytest.mark.parametrize("shutter", [0.0, 0.8])
@pytest.mark.parametrize("shake", [shipped_shake(), Turning((0.3, 0.1, 2.0))], ids=["model", "turning"])
def test_paths_are_as_long_as_asked_and_sharp_in_the_middle(shake, shutter):
    lengths = np.geomspace(0.2, 60, 50)
    instants = np.repeat(frame_instants(9, shutter)[None], 50, axis=0)
    seconds = np.full(50, 9 / 240)
    motion = draw_recorded(np.random.default_rng(2), ONLY, shake, (200, 300), lengths, instants, seconds)
    corners = np.array([(x, y, 1) for y in (0, 199) for x in (0, 299)], float)
    seen = np.einsum("nkab,cb->nkca", np.linalg.inv(motion.maps), corners)
    seen = seen[..., :2] / seen[..., 2:]
    travelled = np.linalg.norm(np.diff(seen, axis=1), axis=-1).sum(axis=1).max(axis=1)
    assert travelled == pytest.approx(lengths, rel=0.03)
    if not shutter:
        assert motion.maps[:, 4] == pytest.approx(np.broadcast_to(np.eye(3), (50, 3, 3)), abs=1e-9)


@pytest.mark.parametrize("shake", [shipped_shake(), Turning((0.0, 0.0, 0.0))], ids=["model", "still"])
def test_a_path_of_no_length_and_a_phone_that_lies_still_move_nothing(shake):
    lengths = np.array([0.0, 0.0 if shake is shipped_shake() else 20.0])
    instants = np.repeat(frame_instants(7, 0.0)[None], 2, axis=0)
    motion = draw_recorded(np.random.default_rng(0), ONLY, shake, (40, 40), lengths, instants, np.full(2, 7 / 240))
    assert motion.maps == pytest.approx(np.broadcast_to(np.eye(3), (2, 7, 3, 3)), abs=1e-9)


def test_pictures_lie_anywhere_within_a_frame_and_lenses_see_the_recipes_angles():
    recipe = dataclasses.replace(ONLY, frame_width=1000.0, min_view=40.0, max_view=60.0)
    view = draw_view(np.random.default_rng(0), recipe, (100, 200), 4000)
    angles = 2 * np.degrees(np.arctan(500 / view.focal))
    assert 40 <= angles.min() < 40.2 and 59.8 < angles.max() <= 60
    left, top = 499.5 - view.centre[:, 0], 280.75 - view.centre[:, 1]
    assert 0 <= left.min() < 5 and 795 < left.max() <= 800 and 0 <= top.min() < 4 and 458 < top.max() <= 462.5
    whole = draw_view(np.random.default_rng(0), recipe, (900, 1200), 3)
    assert whole.centre[:, 1] == pytest.approx(449.5) and whole.focal.min() > 800 / np.tan(np.radians(30))


def test_frames_are_taken_in_the_middle_of_their_time_and_a_shutter_is_open_about_it():
    assert frame_instants(7, 0) * 7 == pytest.approx(np.arange(7) + 0.5)
    of_shutter = frame_instants(7, 0.5).reshape(7, 2) * 7
    assert of_shutter.mean(axis=1) == pytest.approx(np.arange(7) + 0.5)
    assert np.diff(of_shutter, axis=1) == pytest.approx(0.25)  # halves of a box of 0.5 have their middles so far apart
    assert [open_exposures(length, 33) for length in (0.1, 20, 400)] == [5, 17, 33]


@pytest.mark.parametrize("video_share", [0.0, 1.0])
def test_what_was_drawn_is_recorded(video_share):
    recipe = dataclasses.replace(ONLY, video_share=video_share, max_shutter=0.9, min_length=5.0)
    image = np.uint8(255 * picture())
    records = [blur_and_record(image, recipe, np.random.default_rng(seed)).record for seed in range(40)]
    for record in records:
        assert json.loads(json.dumps(record)) == record
        assert record["model"] == "recorded" and record["recording"] == "model"
        assert 5 <= record["length"] <= 40 and 0.1 < record["gain"] < 20 and len(record["centre"]) == 2
    if video_share:
        assert {record["frames"] for record in records} == set(VIDEO_FRAMES)
        assert all(record["seconds"] == record["frames"] / 240 and 0 < record["shutter"] < 0.9 for record in records)
    else:
        seconds = [record["seconds"] for record in records]
        assert 1 / 60 <= min(seconds) < 0.03 and 0.08 < max(seconds) <= LONGEST
        assert all("frames" not in record and record["exposures"] % 2 == 1 for record in records)


@pytest.mark.parametrize("command", ["train", "distill"])
def test_training_takes_recordings(command, tmp_path):
    (tmp_path / "r.toml").write_text("[blur]\nrecorded_share = 1.0\n")
    words = [command, "--recipe", tmp_path / "r.toml", "--steps", 1, "--workdir", tmp_path / "work"]
    result = CliRunner().invoke(cli, [*map(str, words), "--shake", str(tmp_path / "phone")])
    assert result.exit_code == 1 and f"no {tmp_path / 'phone'}" in result.stderr


def test_logs_that_are_given_are_what_is_drawn_from():
    image, recipe = np.uint8(255 * picture()), dataclasses.replace(ONLY, frame_width=96.0, min_length=9.0)
    made = blur_and_record(image, recipe, np.random.default_rng(0), Turning((0.0, 0.0, 1.0)))
    assert made.record["recording"] == "turning"
    error = np.abs(made.blur.astype(int) - image).max(axis=2)
    centre = tuple(slice(round(place) - 3, round(place) + 4) for place in made.record["centre"][::-1])
    assert error[centre].max() < 0.5 * error.max()  # it turns about the optical axis alone
    assert not np.array_equal(made.blur, blur_and_record(image, recipe, np.random.default_rng(0)).blur)


def test_an_oscillator_has_its_spectrum_and_variance():
    """Against the transfer function of the sampled poles, by a periodogram of many windows."""
    part = Oscillator(10.0, 0.4, (0.0, 0.0, 0.0), 0.0, 0.0)
    rates = ShakeModel((part,)).draw(np.random.default_rng(0), np.full(4000, LONGEST)).rates
    assert rates.std(axis=(0, 2)) == pytest.approx(1, abs=0.03)  # from the first step on
    first, second = part.coefficients
    frequency = np.linspace(0, RATE / 2, 2000)
    around = np.exp(-2j * np.pi * frequency / RATE)
    power = 1 / np.abs(1 - first * around - second * around**2) ** 2
    lag = LONGEST / (SAMPLES - 1) * np.array([4, 8, 16])
    expected = [np.sum(power * np.cos(2 * np.pi * frequency * each)) / power.sum() for each in lag]
    found = [np.mean(rates[:, 0] * rates[:, index]) for index in (4, 8, 16)]
    assert found == pytest.approx(expected, abs=0.04)
    assert frequency[power.argmax()] == pytest.approx(10 * np.sqrt(1 - 2 * 0.4**2), rel=0.05)


@pytest.mark.skipif(not LOGS.is_dir(), reason="the recordings are not here")
def test_the_model_moves_as_the_recordings_it_was_fitted_to():
    """Quantiles of speed, of its change and of what is left over 13 frames at 240 fps, about the axes across the
    picture, and how much straighter fast windows are."""
    seconds, times = np.full(4000, 12 / 240), np.linspace(-0.5, 0.5, SAMPLES)[:, None]
    found = []
    for shake in (read_shake_logs(LOGS), shipped_shake()):
        rates = shake.draw(np.random.default_rng(0), seconds).rates[..., :2]
        mean = rates.mean(axis=1, keepdims=True)
        change = (rates * times).sum(axis=1, keepdims=True) / (times**2).sum()
        rest = np.sqrt(((rates - mean - change * times) ** 2).sum(axis=2).mean(axis=1))
        speed, change = np.hypot(*mean[:, 0].T), np.hypot(*change[:, 0].T)
        quantiles = [np.log(np.percentile(each, [25, 50, 75, 90])) for each in (speed, change, rest)]
        parts = np.split(np.argsort(speed), 4)
        found.append([*np.ravel(quantiles), *(np.log(np.median((change / speed)[part])) for part in parts)])
    assert found[1] == pytest.approx(found[0], abs=0.35)
