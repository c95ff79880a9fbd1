"""Defocus, moving objects and photon noise against geometry, direct convolution and the noise model's formula."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import convolve2d

from edgedeblur.data.blur.defocus import aperture_kernel
from edgedeblur.data.blur.object_motion import draw_shape, move_object, shape_mask
from edgedeblur.data.blur.sensor import photon_noise
from edgedeblur.data.blur.trajectory import linear_path, path_kernel


@pytest.mark.parametrize("blades", [0, 4, 5, 8])
@pytest.mark.parametrize("radius", [0.0, 3.0, 12.0])
def test_an_aperture_kernel_has_the_moments_of_its_disc_or_polygon(radius, blades):
    """The second moment of a regular polygon per axis is R^2/12 (2 + cos(2 pi / n)), of a disc R^2/4; the soft edge
    adds a little."""
    kernel = aperture_kernel(radius, blades, angle=0.4)
    reach = len(kernel) // 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    assert kernel.shape == (2 * reach + 1, 2 * reach + 1) and kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert ((kernel * x).sum(), (kernel * y).sum()) == pytest.approx((0, 0), abs=0.05 * (radius + 1))
    wanted = radius**2 / 12 * (2 + math.cos(2 * math.pi / blades)) if blades else radius**2 / 4
    assert (kernel * x * x).sum() == pytest.approx(wanted, rel=0.1, abs=0.1)
    assert (kernel * y * y).sum() == pytest.approx(wanted, rel=0.1, abs=0.1)


@given(st.floats(0, 40), st.sampled_from([0, 3, 5, 6, 64]), st.floats(0, 7))
def test_any_aperture_kernel_is_light_spread_within_its_radius(radius, blades, angle):
    kernel = aperture_kernel(radius, blades, angle)
    reach = len(kernel) // 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    assert kernel.min() >= 0 and kernel.sum() == pytest.approx(1, abs=1e-4)
    assert np.hypot(x, y)[kernel > 0].max() <= 1.5 * radius + 1.5


def test_a_polygons_corner_points_where_it_is_told():
    kernel = aperture_kernel(20, 5, angle=math.radians(90))
    rows = np.flatnonzero(kernel.sum(axis=1) > 1e-6) - len(kernel) // 2
    assert rows.max() == pytest.approx(20, abs=2)  # the corner, downwards
    assert -rows.min() == pytest.approx(20 * math.cos(math.pi / 5), abs=2)  # the side opposite


def test_the_edge_of_an_aperture_is_gentle():
    profile = aperture_kernel(20)[20 + 2]
    falls = np.abs(np.diff(profile)).max() / profile.max()
    assert falls < 0.5


def test_a_moving_object_mixes_with_the_background_by_its_mask():
    """A white square over grey: what is seen is K*M of white and 1 - K*M of grey, wherever the square was."""
    mask = np.zeros((60, 60), np.float32)
    mask[20:40, 20:40] = 1
    light = (mask + (1 - mask) * 0.2)[..., None].repeat(3, axis=2)
    kernel = path_kernel(linear_path(12, 0.5))
    seen = convolve2d(mask, kernel, mode="same")
    moved = move_object(light, mask, kernel)
    assert moved[..., 1] == pytest.approx(seen + (1 - seen) * 0.2, abs=1e-5)


def test_outside_its_reach_a_moving_object_changes_nothing():
    rng = np.random.default_rng(3)
    light = rng.random((80, 80, 3), dtype=np.float32)
    mask = np.zeros((80, 80), np.float32)
    mask[30:50, 30:50] = 1
    moved = move_object(light, mask, path_kernel(linear_path(10, 1.0)))
    still = np.ones((80, 80), bool)
    still[24:56, 24:56] = False
    assert np.array_equal(moved[still], light[still])
    assert np.abs(moved - light)[35:45, 35:45].max() > 0.2


@pytest.mark.parametrize("seed", range(5))
def test_an_objects_mask_is_one_soft_blob_of_its_size(seed):
    shape = draw_shape(np.random.default_rng(seed), 120, 160, (0.2, 0.3))
    mask = shape_mask(shape, 120, 160)
    assert mask.dtype == np.float32 and mask.min() == 0 and mask.max() == 1
    assert ((mask > 0) & (mask < 1)).any()
    assert 0.2 * 120 <= shape.radius <= 0.3 * 120
    whole = shape_mask(dataclasses.replace(shape, centre=(200.0, 200.0)), 400, 400)
    assert whole.sum() == pytest.approx(math.pi * shape.radius**2, rel=0.1)


def test_photon_noise_grows_with_the_root_of_the_light():
    light = np.repeat(np.array([0.0, 0.25, 1.0], np.float32), 40000)
    noise = photon_noise(light, 3.0, np.random.default_rng(2)) - light
    assert noise[:40000].std() == 0
    assert noise[40000:80000].std() * 255 == pytest.approx(1.5, rel=0.03)
    assert noise[80000:].std() * 255 == pytest.approx(3.0, rel=0.03)
