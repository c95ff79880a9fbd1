"""Blur of a camera that turns during the exposure: it differs over the image."""

import math

import cv2
import numpy as np


def turn_blur(light: np.ndarray, path: np.ndarray, degrees: float, centre: tuple[float, float]) -> np.ndarray:
    """The mean of the image moved along a path while turning by `degrees` about `centre` (x, y), half each way: the
    projective blur model (Whyte et al., "Non-uniform deblurring for shaken images", CVPR 2010) for rotation about the
    optical axis and small rotations about the others."""
    height, width = light.shape[:2]
    reach = math.hypot(width / 2 - centre[0], height / 2 - centre[1]) * math.radians(abs(degrees))
    travelled = float(np.abs(np.diff(path, axis=0)).sum()) + reach
    count = int(np.clip(math.ceil(travelled / 1.5), 5, 25)) | 1  # odd, so that the middle of the path is a sample
    total = np.zeros_like(light)
    for t in np.linspace(0, 1, count):
        x, y = path[round(t * (len(path) - 1))]
        matrix = cv2.getRotationMatrix2D(centre, degrees * (t - 0.5), 1.0)
        matrix[:, 2] += (x, y)
        cv2.accumulate(cv2.warpAffine(light, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101), total)
    return total / count
