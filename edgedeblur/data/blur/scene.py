"""A scene in depth: the nearer, the more a camera's motion smears it, and a foreground that moves separately.

What a handheld video of a street shows and one kernel for the whole picture cannot: blur that changes over the image,
and borders where two kinds of blur meet. Layers of one motion each, put together exposure by exposure in linear light
(Wang & Adelson, "Representing moving images with layers", IEEE TIP 1994), as GoPro's blur is put together from frames
(Nah et al., CVPR 2017).
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from edgedeblur.data.blur.object_motion import ObjectShape, draw_shape, shape_mask

MAX_TILT = 0.8  # how far a camera's motion differs across the picture, as a share of it at the centre
FOREGROUND_SHARE = 0.75  # of scenes with a moving foreground
TURNING_SHARE = 0.3  # of scenes in which the camera turns too


@dataclass(frozen=True)
class Scene:
    """camera: float64 [K, 2], where the background has moved to at each exposure, in pixels (x, y) at the centre of the
    picture. tilt: (x, y), the share of it that is added per pixel from the centre. degrees: how far the camera turns
    about `centre` (x, y) from the first exposure to the last. foreground: float64 [K, 2], the same for the foreground
    whose outline is `shape`; None without one. The middle exposure is the sharp picture: nothing has moved."""

    camera: np.ndarray
    tilt: tuple[float, float]
    degrees: float
    centre: tuple[float, float]
    foreground: np.ndarray | None = None
    shape: ObjectShape | None = None


def draw_scene(
    rng: np.random.Generator,
    size: tuple[int, int],
    paths: tuple[np.ndarray, np.ndarray],
    max_turn_degrees: float,
    objects: tuple[float, float],
) -> Scene:
    """A scene for a picture of `size` (height, width).

    Args:
        paths: of the camera and of the foreground, [K, 2] each.
        objects: the foreground's radius, from and to, as shares of the shorter side.
    """
    height, width = size
    direction, steep = rng.uniform(0, 2 * math.pi), rng.uniform(0, MAX_TILT) / (min(size) / 2)
    degrees = rng.uniform(-1, 1) * max_turn_degrees if rng.random() < TURNING_SHARE else 0.0
    centre = (width * rng.uniform(-0.5, 1.5), height * rng.uniform(-0.5, 1.5))
    shape = draw_shape(rng, height, width, objects) if rng.random() < FOREGROUND_SHARE else None
    tilt = (steep * math.cos(direction), steep * math.sin(direction))
    return Scene(paths[0] * rng.random(), tilt, degrees, centre, None if shape is None else paths[1], shape)


def assemble(scene: Scene, light: np.ndarray) -> np.ndarray:
    """The sharp picture: float32 [H, W, 3] light with the foreground, which is the picture upside down."""
    if scene.shape is None:
        return light
    mask = shape_mask(scene.shape, *light.shape[:2])[..., None]
    return mask * light[::-1, ::-1] + (1 - mask) * light


def expose_scene(scene: Scene, light: np.ndarray) -> np.ndarray:
    """The mean of the exposures of what `assemble` puts together of the same float32 [H, W, 3] light."""
    foreground = None
    if scene.shape is not None:
        mask = shape_mask(scene.shape, *light.shape[:2])
        foreground = np.dstack([light[::-1, ::-1], mask])
    total = np.zeros_like(light)
    for exposure in range(len(scene.camera)):
        frame = _moved(light, *background_shift(scene, exposure, *light.shape[:2]))
        if foreground is not None:
            near = _moved(foreground, *scene.foreground[exposure])
            frame = near[..., 3:] * near[..., :3] + (1 - near[..., 3:]) * frame
        total += frame
    return total / len(scene.camera)


def background_shift(scene: Scene, exposure: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(x, y), float64 [H, W] each: how far what is seen at each pixel has moved."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    near = 1 + scene.tilt[0] * (x - (width - 1) / 2) + scene.tilt[1] * (y - (height - 1) / 2)
    time = exposure / max(1, len(scene.camera) - 1) - 0.5
    cosine, sine = math.cos(math.radians(scene.degrees * time)), math.sin(math.radians(scene.degrees * time))
    from_x, from_y = x - scene.centre[0], y - scene.centre[1]
    turned_x = from_x - (cosine * from_x + sine * from_y)
    turned_y = from_y - (cosine * from_y - sine * from_x)
    move_x, move_y = scene.camera[exposure]
    return move_x * near + turned_x, move_y * near + turned_y


def _moved(image: np.ndarray, dx: np.ndarray | float, dy: np.ndarray | float) -> np.ndarray:
    """What was at (x - dx, y - dy), mirrored at the border."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    maps = np.float32(x - dx), np.float32(y - dy)
    return cv2.remap(np.ascontiguousarray(image), *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
