"""Blur synthesis: from a sharp image to the image a moving camera would have taken, in linear light.

The chain: gamma to linear light, highlights stretched beyond white (so that they clip after the blur, as on a sensor),
blur, noise of the sensor, clip, gamma back, JPEG. Everything random comes from the NumPy generator that is passed in.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from edgedeblur.data.trajectory import linear_path, path_kernel, shake_path

cv2.setNumThreads(1)  # one image per loader thread; OpenCV's own pool would fight with torch's


@dataclass(frozen=True)
class BlurRecipe:
    """How blur is made. Shares are weights of a random choice; lengths in pixels, noise in uint8 steps.

    still_share: share of pairs left sharp, so that the network learns to do no harm.
    shake_share, linear_share, turn_share: camera shake, straight motion, and shake with a turning camera, whose blur
        differs over the image.
    min_length, max_length: length of the path; drawn between them with density falling as 1/sqrt(length).
    max_turn_degrees: how far the camera turns about a point near the image during the exposure.
    gammas: one is drawn per image; 2.2 is linear light, 1.0 averages the stored values (as GoPro's public averages do).
    highlight_gain: the brightest light is multiplied by up to this much before the blur.
    noise: standard deviation at most; noise_share: how often. jpeg_quality: lowest; jpeg_share: how often.
    """

    still_share: float = 0.05
    shake_share: float = 0.4
    linear_share: float = 0.2
    turn_share: float = 0.4
    min_length: float = 2.0
    max_length: float = 40.0
    max_turn_degrees: float = 3.0
    gammas: tuple[float, ...] = (2.2, 1.0)
    highlight_gain: float = 2.0
    noise: float = 2.0
    noise_share: float = 0.2
    jpeg_quality: int = 75
    jpeg_share: float = 0.1

    @property
    def margin(self) -> int:
        """Pixels around a crop that its blur can draw from."""
        return math.ceil(self.max_length / 2) + 4


def blur_image(sharp: np.ndarray, recipe: BlurRecipe, rng: np.random.Generator) -> np.ndarray:
    """A blurred copy of a sharp uint8 HxWx3 image; the border is mirrored."""
    kinds = ("still", "shake", "linear", "turn")
    shares = np.array([recipe.still_share, recipe.shake_share, recipe.linear_share, recipe.turn_share])
    kind = kinds[rng.choice(4, p=shares / shares.sum())]
    gamma = float(rng.choice(recipe.gammas))
    gain = rng.uniform(1, max(1.0, recipe.highlight_gain))
    length = _length(rng, recipe)
    if kind == "still":
        return degrade(sharp, recipe, rng)
    light = stretch_highlights(to_light(sharp, gamma), gain)
    if kind == "turn":
        light = turn_blur(light, shake_path(rng, length, _unrest(rng)), *_turn(rng, recipe, sharp.shape))
    else:
        path = shake_path(rng, length, _unrest(rng)) if kind == "shake" else linear_path(length, rng.uniform(0, np.pi))
        light = kernel_blur(light, path_kernel(path))
    return degrade(from_light(light, gamma), recipe, rng)


def to_light(image: np.ndarray, gamma: float) -> np.ndarray:
    """uint8 values to float32 light in [0, 1]."""
    return cv2.LUT(np.ascontiguousarray(image), ((np.arange(256) / 255) ** gamma).astype(np.float32))


def from_light(light: np.ndarray, gamma: float) -> np.ndarray:
    """Float light, clipped to [0, 1], to uint8 values, rounded to nearest."""
    light = np.clip(light, 0, 1)
    if gamma != 1:
        light = cv2.pow(light, 1 / gamma)
    return cv2.convertScaleAbs(light, alpha=255)


def stretch_highlights(light: np.ndarray, gain: float, start: float = 0.9) -> np.ndarray:
    """Light above `start` is raised, up to `gain` at white: the range that the sensor had clipped."""
    return light + np.maximum(light - start, 0) * ((gain - 1) / (1 - start))


def kernel_blur(light: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolution (not correlation) of float32 HxWx3 light with a kernel, mirrored at the border."""
    return cv2.filter2D(light, -1, np.ascontiguousarray(kernel[::-1, ::-1]), borderType=cv2.BORDER_REFLECT_101)


def turn_blur(light: np.ndarray, path: np.ndarray, degrees: float, centre: tuple[float, float]) -> np.ndarray:
    """The mean of the image moved along a path while turning by `degrees` about `centre` (x, y), half each way."""
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


def degrade(image: np.ndarray, recipe: BlurRecipe, rng: np.random.Generator) -> np.ndarray:
    """Sensor noise and JPEG compression, each as often as the recipe says."""
    noisy, compressed = rng.random() < recipe.noise_share, rng.random() < recipe.jpeg_share
    sigma, quality = rng.uniform(0, recipe.noise), int(rng.integers(recipe.jpeg_quality, 101))
    if noisy and sigma > 0:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * sigma
        image = np.clip(image + noise + 0.5, 0, 255).astype(np.uint8)
    if compressed:
        _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])
    return image


def _length(rng: np.random.Generator, recipe: BlurRecipe) -> float:
    low, high = math.sqrt(recipe.min_length), math.sqrt(recipe.max_length)
    return rng.uniform(low, high) ** 2


def _unrest(rng: np.random.Generator) -> float:
    return float(rng.choice((0.01, 0.007, 0.005, 0.003, 0.001, 0.0005, 0.0001)))


def _turn(rng: np.random.Generator, recipe: BlurRecipe, shape: tuple) -> tuple[float, tuple[float, float]]:
    degrees = rng.uniform(-1, 1) * recipe.max_turn_degrees
    height, width = shape[:2]
    return degrees, (width * rng.uniform(-0.5, 1.5), height * rng.uniform(-0.5, 1.5))
