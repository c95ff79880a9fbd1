"""Tiny pictures and recipes that tests of training share."""

import numpy as np
import pytest
import torch

from edgedeblur.data.blur.blurring import kernel_blur
from edgedeblur.data.images import read_image, write_image

# torchvision's vgg19: number in `features`, input and output channels
CONVOLUTIONS = [(0, 3, 64), (2, 64, 64), (5, 64, 128), (7, 128, 128), (10, 128, 256), (12, 256, 256), (14, 256, 256)]


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
    from edgedeblur.training.progress import Reporter

    losses, original = [], Reporter.step

    def noted(reporter, state, budget, values):
        losses.append(values)
        original(reporter, state, budget, values)

    monkeypatch.setattr(Reporter, "step", noted)
    return losses


@pytest.fixture(scope="session")
def vgg_weights() -> dict[str, torch.Tensor]:
    """Made-up weights with VGG19's names and shapes up to conv3_3, and two names of what follows it."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for number, cin, cout in CONVOLUTIONS:
        state[f"features.{number}.weight"] = torch.randn(cout, cin, 3, 3, generator=generator) * (2 / (9 * cin)) ** 0.5
        state[f"features.{number}.bias"] = torch.randn(cout, generator=generator) * 0.1
    return state | {"features.34.bias": torch.zeros(512), "classifier.6.bias": torch.zeros(1000)}
