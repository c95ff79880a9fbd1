"""`restore` gives back the kind of image that it is given: NumPy or torch, uint8 or float, one or a batch."""

import numpy as np
import pytest
import torch

from edgedeblur.errors import UserError
from edgedeblur.restore.image_kinds import restore_in_kind

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
SWAPPED = 255 - PIXELS[:, ::-1]  # what `negative` makes, written differently


def negative(image: np.ndarray) -> np.ndarray:
    """Upside down as well, so that a wrong axis shows."""
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    return np.invert(np.flipud(image))


@pytest.mark.parametrize("batch", [False, True])
def test_arrays_come_back_as_arrays(batch):
    image, expected = (PIXELS, SWAPPED) if batch else (PIXELS[0], SWAPPED[0])
    restored = restore_in_kind(image, negative)
    assert isinstance(restored, np.ndarray) and restored.dtype == np.uint8
    np.testing.assert_array_equal(restored, expected)


@pytest.mark.parametrize("batch", [False, True])
def test_uint8_tensors_come_back_as_uint8_tensors(batch):
    image, expected = (PIXELS, SWAPPED) if batch else (PIXELS[1], SWAPPED[1])
    restored = restore_in_kind(torch.from_numpy(image), negative)
    assert restored.dtype == torch.uint8
    np.testing.assert_array_equal(restored.numpy(), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [False, True])
def test_float_tensors_have_their_channels_first_and_keep_their_dtype(batch, dtype):
    image = torch.from_numpy(PIXELS).permute(0, 3, 1, 2).float().div(255).to(dtype)
    expected = torch.from_numpy(SWAPPED.copy()).permute(0, 3, 1, 2).float().div(255)
    restored = restore_in_kind(image.requires_grad_() if batch else image[0], negative)
    expected = expected if batch else expected[0]
    assert restored.dtype == dtype and restored.shape == expected.shape and not restored.requires_grad
    steps = 1.01 if dtype == torch.bfloat16 else 0.3  # bfloat16 has 8 bits of significand
    assert (restored.float() - expected).abs().max() <= steps / 255


def test_a_float_between_two_steps_is_rounded_to_the_nearer():
    image = torch.full((3, 2, 2), 100.4 / 255)
    assert torch.equal((restore_in_kind(image, np.array) * 255).round(), torch.full((3, 2, 2), 100.0))


@pytest.mark.parametrize("value", [-0.01, 1.01, 255.0, float("nan")])
def test_floats_that_are_not_from_0_to_1_are_refused(value):
    image = torch.full((3, 4, 4), 0.5)
    image[1, 2, 3] = value
    with pytest.raises(UserError, match=r"allowed are 0 to 1") as caught:
        restore_in_kind(image, negative)
    assert "clamp" in caught.value.fix


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (PIXELS[0].astype(np.float32), r"float32 \[5, 7, 3\]"),
        (PIXELS[0, ..., 0], r"uint8 \[5, 7\]"),
        (PIXELS[None], r"uint8 \[1, 2, 5, 7, 3\]"),
        (PIXELS[:0], r"uint8 \[0, 5, 7, 3\]"),
        (torch.zeros(3, 5, 7, dtype=torch.uint8), r"uint8 \[3, 5, 7\]"),
        (torch.zeros(5, 7, 3, dtype=torch.int64), r"int64 \[5, 7, 3\]"),
        (torch.zeros(5, 7, 3), r"float32 \[5, 7, 3\]"),
        (torch.zeros(0, 3, 5, 7), r"float32 \[0, 3, 5, 7\]"),
        ("holiday.jpg", "str"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_image_is_refused_with_what_is(image, named):
    with pytest.raises(UserError, match=named) as caught:
        restore_in_kind(image, negative)
    assert "uint8 [H, W, 3]" in caught.value.fix
