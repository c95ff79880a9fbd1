"""A moving object in front of a scene that stands still: its mask, and the two put together in linear light."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

WAVES = (2, 3, 4, 5)
LEAST_ASPECT = -0.5  # log2
_LOWEST_WEIGHT = 1e-6


@dataclass(frozen=True)
class ObjectShape:
    """A blob: its outline is `radius * (1 + sum(depth * cos(wave * direction + phase)))` about `centre`, stretched by
    `aspect` along x. Pixels and radians; `edge` is the width of its soft border."""

    centre: tuple[float, float]
    radius: float
    aspect: float
    depths: tuple[float, ...]
    phases: tuple[float, ...]
    edge: float


def draw_shape(rng: np.random.Generator, height: int, width: int, size: tuple[float, float]) -> ObjectShape:
    """A random blob inside an image, its radius a share of the shorter side drawn from `size`."""
    share = rng.uniform(*size)
    return ObjectShape(
        centre=(float(width * rng.uniform(0.25, 0.75)), float(height * rng.uniform(0.25, 0.75))),
        radius=float(share * min(height, width)),
        aspect=float(2 ** rng.uniform(LEAST_ASPECT, -LEAST_ASPECT)),
        depths=tuple(float(rng.uniform(0, 0.3) / wave) for wave in WAVES),
        phases=tuple(float(rng.uniform(0, 2 * math.pi)) for _ in WAVES),
        edge=float(rng.uniform(1.5, 4)),
    )


def shape_mask(shape: ObjectShape, height: int, width: int) -> np.ndarray:
    """float32 [height, width]: 1 inside the blob, 0 outside, a ramp across its border."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    x, y = (x - shape.centre[0]) / shape.aspect, (y - shape.centre[1]) * shape.aspect
    direction = np.arctan2(y, x)
    waves = zip(WAVES, shape.depths, shape.phases, strict=True)
    outline = shape.radius * (1 + sum(depth * np.cos(wave * direction + phase) for wave, depth, phase in waves))
    return np.clip((outline - np.hypot(x, y)) / shape.edge + 0.5, 0, 1).astype(np.float32)


def move_object(light: np.ndarray, mask: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The exposure of an object that moves along a kernel's path while the rest stands still.

    Dai & Wu, "Motion from blur", CVPR 2008: with the object's mask M and the kernel K it is K*(M I) + (1 - K*M) B, so
    the border of the object mixes with the background by how long each pixel saw which. B, what the object hides, is
    not in the picture: it is continued from around the object.

    Args:
        light: float32 [H, W, 3], linear. mask: float32 [H, W] in [0, 1]. kernel: float32 [k, k], for convolution.
    """
    seen = kernel_blur(mask, kernel)[..., None]
    return kernel_blur(light * mask[..., None], kernel) + (1 - seen) * _behind(light, mask, max(kernel.shape))


def kernel_blur(light: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolution (not correlation) of float32 [H, W] or [H, W, 3] light with a kernel, mirrored at the border."""
    return cv2.filter2D(light, -1, np.ascontiguousarray(kernel[::-1, ::-1]), borderType=cv2.BORDER_REFLECT_101)


def _behind(light: np.ndarray, mask: np.ndarray, reach: int) -> np.ndarray:
    """The scene without the object: where the mask is, a blurred continuation of what is around it."""
    outside = 1 - mask[..., None]
    sigma = max(4.0, reach / 2)
    around, weight = (cv2.GaussianBlur(part, (0, 0), sigma) for part in (light * outside, outside))
    mean = light.mean(axis=(0, 1))
    filled = (around + _LOWEST_WEIGHT * mean) / (weight[..., None] + _LOWEST_WEIGHT)
    return outside * light + (1 - outside) * filled
