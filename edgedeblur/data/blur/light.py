"""Between stored pixel values and light, where blur happens: gamma, and the highlights that a sensor clips."""

import cv2
import numpy as np

HIGHLIGHTS = 0.9  # light above this may have been clipped by the sensor


def to_light(image: np.ndarray, gamma: float) -> np.ndarray:
    """uint8 values to float32 light in [0, 1]."""
    return cv2.LUT(np.ascontiguousarray(image), ((np.arange(256) / 255) ** gamma).astype(np.float32))


def from_light(light: np.ndarray, gamma: float) -> np.ndarray:
    """Float light, clipped to [0, 1], to uint8 values, rounded to nearest."""
    light = np.clip(light, 0, 1)
    if gamma != 1:
        light = cv2.pow(light, 1 / gamma)
    return cv2.convertScaleAbs(light, alpha=255)


def stretch_highlights(light: np.ndarray, gain: float, start: float = HIGHLIGHTS) -> np.ndarray:
    """Light above `start` is raised, up to `gain` at white: the range that the sensor had clipped.

    Blurred afterwards and clipped again, a lamp leaves a saturated streak, as in a photograph (Cho, Wang & Lee,
    "Handling outliers in non-blind image deconvolution", ICCV 2011; Hu et al., "Deblurring low-light images with light
    streaks", CVPR 2014). Without it the streak would fade to grey.
    """
    return light + np.maximum(light - start, 0) * ((gain - 1) / (1 - start))
