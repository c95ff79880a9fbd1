"""The GoPro recipe: blur as the mean of consecutive frames of a high-frame-rate video (Nah et al., CVPR 2017)."""

from collections.abc import Sequence

import numpy as np

from edgedeblur.data.blur.light import from_light, to_light

MIN_FRAMES, MAX_FRAMES = 7, 13


def average_frames(frames: Sequence[np.ndarray], gamma: float = 2.2) -> np.ndarray:
    """The exposure over uint8 HxWx3 frames: their mean in light of that gamma (1 averages stored values), uint8."""
    total = to_light(frames[0], gamma)
    for frame in frames[1:]:
        total = total + to_light(frame, gamma)
    return from_light(total / len(frames), gamma)


def draw_window(rng: np.random.Generator, available: int) -> tuple[int, int]:
    """A run of 7 to 13 consecutive frames: (index of the first, how many). Frame `how many // 2` is the sharp one."""
    count = int(rng.integers(MIN_FRAMES, min(MAX_FRAMES, available) + 1))
    return int(rng.integers(0, available - count + 1)), count
