"""Tiny pictures and recipes that tests of training share."""

import numpy as np
import pytest

from edgedeblur.data.blur import kernel_blur
from edgedeblur.data.images import read_image, write_image


@pytest.fixture
def photos(tmp_path) -> str:
    """A folder of four photographs of stripes."""
    y, x = np.mgrid[:72, :72]
    for number in range(4):
        stripes = (np.sin(x / (2 + number) + y / 5) > 0) * 200
        write_image(tmp_path / "photos" / f"{number}.png", np.repeat(stripes[..., None], 3, 2).astype(np.uint8))
    return str(tmp_path / "photos")


@pytest.fixture
def pairs(tmp_path, photos) -> str:
    """A folder of one pair: the first photograph, moved by seven pixels."""
    sharp = read_image(f"{photos}/0.png")
    blurred = kernel_blur(sharp.astype(np.float32), np.full((1, 7), 1 / 7, np.float32)).astype(np.uint8)
    write_image(tmp_path / "pairs" / "blur" / "a.png", blurred)
    write_image(tmp_path / "pairs" / "sharp" / "a.png", sharp)
    return str(tmp_path / "pairs")


@pytest.fixture
def recorded(monkeypatch) -> list[dict[str, float]]:
    """The losses of every step of the runs in a test, in order."""
    from edgedeblur.train.progress import Reporter

    losses, original = [], Reporter.step

    def noted(reporter, state, budget, values):
        losses.append(values)
        original(reporter, state, budget, values)

    monkeypatch.setattr(Reporter, "step", noted)
    return losses
