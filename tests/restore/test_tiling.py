"""Tiling leaves no seam: checked against the same network run on the whole image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedeblur.errors import UserError
from edgedeblur.restore.tiling import restore_any_size
from edgedeblur.tiles import tile_starts, tile_weights


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def integer_filter(image):
    """A shift-invariant 9x9 filter with exact integers: the mean over a cross, zeros beyond the edge."""
    padded = np.pad(image.astype(np.int32), ((4, 4), (4, 4), (0, 0)))
    height, width = image.shape[:2]
    total = sum(padded[y : y + height, 4 : 4 + width] + padded[4 : 4 + height, y : y + width] for y in range(9))
    return (total // 18).astype(np.uint8)


@pytest.mark.parametrize("size", [(97, 130), (64, 64), (65, 64), (200, 63), (300, 257)])
def test_a_shift_invariant_network_gives_the_same_image_tiled_and_whole(size):
    image = photo(*size)
    tiled = restore_any_size(image, integer_filter, multiple=16, fixed_size=(64, 64), overlap=32)
    whole = restore_any_size(image, integer_filter, multiple=16)
    interior = (slice(0, size[0] - 8), slice(0, size[1] - 8))  # at the edge the two are padded to different sizes
    np.testing.assert_array_equal(tiled[interior], whole[interior])


def biased_filter(image):
    """Three layers that pad with zeros, as a network does: padding of the image cannot replace that of the others."""
    values = image.astype(np.float64)
    for _ in range(3):
        padded = np.pad(values, ((1, 1), (1, 1), (0, 0)))
        height, width = values.shape[:2]
        values = sum(padded[y : y + height, x : x + width] for y in range(3) for x in range(3)) / 9 + 11
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(32, 32), (32, 48), (16, 64), (48, 16)])
def test_an_image_smaller_than_the_network_comes_out_as_from_a_network_of_its_size(size):
    image = photo(*size)
    in_larger = restore_any_size(image, biased_filter, multiple=16, fixed_size=(64, 64))
    np.testing.assert_array_equal(in_larger, biased_filter(image))


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (777, 3), (512, 512), (513, 511), (1200, 1999)])
def test_a_constant_image_stays_constant_at_any_size(size):
    image = np.full((*size, 3), 201, np.uint8)
    restored = restore_any_size(image, lambda tile: tile, multiple=16, fixed_size=(512, 512))
    np.testing.assert_array_equal(restored, image)


def test_the_identity_gives_the_image_back_for_images_that_are_cut_into_large_tiles():
    image = photo(1500, 2100)
    sizes = set()

    def identity(tile):
        sizes.add(tile.shape[:2])
        return tile

    np.testing.assert_array_equal(restore_any_size(image, identity, multiple=16), image)
    assert sizes == {(1024, 1024)}


def test_a_jump_in_brightness_between_tiles_is_spread_over_the_overlap():
    calls = []

    def brighter_each_time(tile):
        calls.append(1)
        return np.full_like(tile, 100 + 64 * (len(calls) - 1))

    restored = restore_any_size(photo(64, 112), brighter_each_time, fixed_size=(64, 64), overlap=16)
    steps = np.diff(restored[10, :, 0].astype(int))
    assert len(calls) == 2 and restored[0, 0, 0] == 100 and restored[0, -1, 0] == 164
    assert steps.min() >= 0 and steps.max() <= 64 / 8 + 1


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4000), st.integers(1, 40), st.integers(0, 400), st.sampled_from([1, 4, 16]))
def test_tiles_cover_the_axis_on_the_grid_and_their_weights_add_up_to_one(length, tiles, overlap, multiple):
    length, tile = -(-length // multiple) * multiple, tiles * multiple
    starts = tile_starts(length, tile, overlap, multiple)
    assert starts[0] == 0 and starts[-1] + tile == length
    assert all(start % multiple == 0 for start in starts)
    total = np.zeros(length)
    for start, weight in zip(starts, tile_weights(starts, tile, length), strict=True):
        assert weight.min() >= 0
        total[max(start, 0) : start + tile] += weight
    np.testing.assert_array_equal(total, 1.0)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_not_an_rgb_image_is_refused(image):
    with pytest.raises(UserError, match="uint8 RGB"):
        restore_any_size(image, lambda tile: tile)
