"""Recorded camera motion for many pictures at once: `data.recorded` where the pictures are on a GPU."""

import numpy as np
import torch
from torch import Tensor

from edgedeblur.data.blur.blurring import OPEN_SHUTTER, VIDEO_FRAMES, BlurRecipe, draw_length
from edgedeblur.data.blur.recorded import FRAME_RATE, Shake, draw_recorded, draw_seconds, frame_instants

_MOTIONS = 4096  # drawn once and used again, each time with other pictures
_AT_ONCE = 256


class RecordedBank:
    """Motions of pictures of `size` pixels square by a recipe, drawn once: drawing one takes longer than a GPU takes to
    blur with it. count: [M] exposures. maps: float32 [M, OPEN_SHUTTER, 3, 3], of which the first `count` count."""

    def __init__(self, recipe: BlurRecipe, shake: Shake, size: int, seed: int):
        rng = np.random.default_rng((seed, 0x5AE))
        counts, maps = [], []
        for _ in range(_MOTIONS // _AT_ONCE):
            drawn = _draw(rng, recipe, shake, size, _AT_ONCE)
            counts.append(drawn[0])
            maps.append(drawn[1].astype(np.float32))
        self.count, self.maps = np.concatenate(counts), np.concatenate(maps)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of exposures [N] and maps [N, OPEN_SHUTTER, 3, 3]."""
        chosen = rng.integers(len(self.count), size=count)
        return self.count[chosen], self.maps[chosen]


def _draw(
    rng: np.random.Generator, recipe: BlurRecipe, shake: Shake, size: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `recorded.draw_motion_of_one`, but that open shutters have OPEN_SHUTTER exposures however short the path is.
    Exposures beyond a motion's number repeat its last."""
    lengths = np.array([draw_length(rng, recipe) for _ in range(count)])
    video = rng.random(count) < recipe.video_share
    frames = np.where(video, rng.choice(VIDEO_FRAMES, count), OPEN_SHUTTER)
    shutter = rng.uniform(0, recipe.max_shutter, count) * video
    seconds = np.where(video, frames / FRAME_RATE, draw_seconds(rng, count))
    times = [frame_instants(*both) for both in zip(frames.tolist(), shutter.tolist(), strict=True)]
    instants = np.stack([np.pad(each, (0, OPEN_SHUTTER - len(each)), mode="edge") for each in times])
    maps = draw_recorded(rng, recipe, shake, (size, size), lengths, instants, seconds).maps
    return np.array([len(each) for each in times]), maps


def mapped(pixels: Tensor, maps: Tensor) -> Tensor:
    """Where homographies [N, 3, 3] move pixels [H, W, 2] (x, y) to: [N, H, W, 2]. No product of matrices, which a GPU
    may compute in TF32, with places wrong by a tenth of a pixel."""
    x, y = pixels.unbind(-1)
    across, down, scale = (
        x * maps[:, row, 0, None, None] + y * maps[:, row, 1, None, None] + maps[:, row, 2, None, None]
        for row in range(3)
    )
    return torch.stack([across / scale, down / scale], -1)
