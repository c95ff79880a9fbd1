"""Blur synthesis: from a sharp image to the image a moving camera would have taken, in linear light.

The chain: gamma to linear light, highlights stretched beyond white (so that they clip after the blur, as on a sensor),
blur by one of the models below, photon noise, clip, gamma back, noise of the electronics, JPEG. Everything random comes
from the NumPy generator that is passed in. docs/blur-synthesis.md describes the models.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgedeblur.data.blur.defocus import aperture_kernel
from edgedeblur.data.blur.gopro import MAX_FRAMES, MIN_FRAMES
from edgedeblur.data.blur.light import from_light, stretch_highlights, to_light
from edgedeblur.data.blur.object_motion import draw_shape, kernel_blur, move_object, shape_mask
from edgedeblur.data.blur.recipe import KINDS, SLIGHT, BlurRecipe
from edgedeblur.data.blur.recorded import Shake, draw_motion_of_one, expose_recorded, open_exposures
from edgedeblur.data.blur.scene import Scene, assemble, draw_scene, expose_scene
from edgedeblur.data.blur.sensor import jpeg, photon_noise, read_noise
from edgedeblur.data.blur.shake_model import shipped_shake
from edgedeblur.data.blur.trajectory import (
    draw_change,
    exposures_of,
    frames_kernel,
    linear_path,
    path_kernel,
    shake_path,
)
from edgedeblur.data.blur.turning import turn_blur

VIDEO_FRAMES = tuple(range(MIN_FRAMES, MAX_FRAMES + 1, 2))  # odd numbers have a middle, which is the sharp frame
OPEN_SHUTTER = 33  # exposures that stand for an open shutter where frames are put together one by one


@dataclass(frozen=True)
class MadePair:
    """A pair that was made from sharp pictures. blur, sharp: uint8 HxWx3. record: how, in JSON values: the model, its
    parameters and what else is known."""

    blur: np.ndarray
    sharp: np.ndarray
    record: dict


def blur_image(sharp: np.ndarray, recipe: BlurRecipe, rng: np.random.Generator) -> np.ndarray:
    """A blurred copy of a sharp uint8 HxWx3 image; the border is mirrored."""
    return blur_and_record(sharp, recipe, rng).blur


def blur_and_record(
    sharp: np.ndarray, recipe: BlurRecipe, rng: np.random.Generator, shake: Shake | None = None
) -> MadePair:
    """As `blur_image`, with the sharp image, into which `scene` may have put a foreground, and what was drawn: the
    model, one of KINDS, and its parameters, as JSON values.

    Args:
        shake: what `recorded` draws from; None for the model that ships.
    """
    shares = np.array(recipe.shares)
    kind = KINDS[rng.choice(len(KINDS), p=shares / shares.sum())]
    gamma = float(rng.choice(recipe.gammas))
    gain = rng.uniform(1, max(1.0, recipe.highlight_gain))
    length = draw_length(rng, recipe)
    record = {"model": kind, "gamma": gamma}
    light = to_light(sharp, gamma)
    if kind == "scene":
        scene, parameters = _scene(sharp.shape[:2], length, recipe, rng)
        sharp = from_light(assemble(scene, light), gamma)
        light = expose_scene(scene, stretch_highlights(light, gain))
        record |= {"highlight_gain": float(gain), **parameters}
    elif kind == "recorded":
        exposures = _exposures(length, recipe, rng)
        maps, parameters = draw_motion_of_one(rng, recipe, shake or shipped_shake(), sharp.shape[:2], length, exposures)
        light = expose_recorded(stretch_highlights(light, gain), maps)
        record |= {"highlight_gain": float(gain), **parameters}
    elif kind != "still":
        light, parameters = _MODELS[kind](stretch_highlights(light, gain), length, recipe, rng)
        record |= {"highlight_gain": float(gain), **parameters}
    if recipe.photon_noise > 0:
        record["photon_noise"] = float(rng.uniform(0, recipe.photon_noise))
        light = photon_noise(light, record["photon_noise"], rng)
    image, degraded = degrade(from_light(light, gamma), recipe, rng)
    return MadePair(image, sharp, record | degraded)


def degrade(image: np.ndarray, recipe: BlurRecipe, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """Noise of the electronics and JPEG compression, each as often as the recipe says; and what was done."""
    noisy, compressed = rng.random() < recipe.noise_share, rng.random() < recipe.jpeg_share
    sigma, quality = rng.uniform(0, recipe.noise), int(rng.integers(recipe.jpeg_quality, 101))
    record = {}
    if noisy and sigma > 0:
        image, record["noise"] = read_noise(image, sigma, rng), float(sigma)
    if compressed:
        image, record["jpeg_quality"] = jpeg(image, quality), quality
    return image, record


Model = Callable[[np.ndarray, float, BlurRecipe, np.random.Generator], tuple[np.ndarray, dict]]
"""(light, length, recipe, rng) -> (blurred light, what was drawn)."""


def _shake(light: np.ndarray, length: float, recipe: BlurRecipe, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    unrest = _unrest(rng, recipe)
    kernel, exposures = _path_kernel(shake_path(rng, length, unrest), recipe, rng)
    return kernel_blur(light, kernel), {"length": length, "unrest": unrest, **exposures}


def _linear(light: np.ndarray, length: float, recipe: BlurRecipe, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    angle, change, jerk = draw_motion(rng, length, recipe)
    kernel, exposures = _path_kernel(linear_path(length, angle, change, jerk), recipe, rng)
    drawn = {"length": length, "angle_degrees": math.degrees(angle), "acceleration": list(change), "jerk": list(jerk)}
    return kernel_blur(light, kernel), drawn | exposures


def _turn(light: np.ndarray, length: float, recipe: BlurRecipe, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    unrest = _unrest(rng, recipe)
    path = shake_path(rng, length, unrest)
    degrees = rng.uniform(-1, 1) * recipe.max_turn_degrees
    height, width = light.shape[:2]
    centre = (width * rng.uniform(-0.5, 1.5), height * rng.uniform(-0.5, 1.5))
    drawn = {"length": length, "unrest": unrest, "turn_degrees": degrees, "centre": list(centre)}
    return turn_blur(light, path, degrees, centre), drawn


def _defocus(light: np.ndarray, length: float, recipe: BlurRecipe, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    radius, blades = rng.uniform(recipe.min_radius, recipe.max_radius), int(rng.choice(recipe.blades))
    angle = rng.uniform(0, 2 * math.pi)
    drawn = {"radius": radius, "blades": blades, "angle_degrees": math.degrees(angle)}
    return kernel_blur(light, aperture_kernel(radius, blades, angle)), drawn


def _object(light: np.ndarray, length: float, recipe: BlurRecipe, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """Half of the objects move straight, half along a path that bends."""
    height, width = light.shape[:2]
    shape = draw_shape(rng, height, width, (recipe.min_object, recipe.max_object))
    unrest = _unrest(rng, recipe) if rng.random() < 0.5 else 0.0
    angle = rng.uniform(0, np.pi)
    path = shake_path(rng, length, unrest) if unrest else linear_path(length, angle)
    drawn = {"length": length, "unrest": unrest, "centre": list(shape.centre), "radius": shape.radius}
    kernel, exposures = _path_kernel(path, recipe, rng)
    return move_object(light, shape_mask(shape, height, width), kernel), drawn | exposures


def _scene(size: tuple[int, int], length: float, recipe: BlurRecipe, rng: np.random.Generator) -> tuple[Scene, dict]:
    """Half of all paths are straight; both layers are exposed at the same times."""
    count = int(rng.choice(VIDEO_FRAMES)) if rng.random() < recipe.video_share else OPEN_SHUTTER
    paths = []
    for reach in (length, draw_length(rng, recipe)):
        if rng.random() < 0.5:
            path = linear_path(reach, *draw_motion(rng, reach, recipe))
        else:
            path = shake_path(rng, reach, _unrest(rng, recipe))
        paths.append(exposures_of(path, count))
    scene = draw_scene(rng, size, tuple(paths), recipe.max_turn_degrees, (recipe.min_object, recipe.max_object))
    drawn = {"length": length, "exposures": count, "turn_degrees": float(scene.degrees), "tilt": list(scene.tilt)}
    if scene.shape is not None:
        drawn |= {"centre": list(scene.shape.centre), "radius": scene.shape.radius}
    return scene, drawn


_MODELS: dict[str, Model] = {
    "shake": _shake,
    "linear": _linear,
    "turn": _turn,
    "defocus": _defocus,
    "object": _object,
}


def draw_motion(
    rng: np.random.Generator, length: float, recipe: BlurRecipe
) -> tuple[float, tuple[float, float], tuple[float, float]]:
    """(angle, change, jerk) for `linear_path`."""
    limit = recipe.acceleration_pixels / max(length, 1e-6)
    angle = rng.uniform(0, np.pi)
    return angle, *(draw_change(rng, min(most, limit)) for most in (recipe.max_acceleration, recipe.max_jerk))


def draw_length(rng: np.random.Generator, recipe: BlurRecipe) -> float:
    """Of a path, in pixels, as the recipe says."""
    low, high = math.sqrt(recipe.min_length), math.sqrt(recipe.max_length)
    length = rng.uniform(low, high) ** 2
    if recipe.slight_share > 0 and rng.random() < recipe.slight_share:
        return rng.uniform(0, SLIGHT)
    return length


def _exposures(length: float, recipe: BlurRecipe, rng: np.random.Generator) -> tuple[int, bool]:
    """How many of a recorded motion, and whether they are frames of a video."""
    if rng.random() < recipe.video_share:
        return int(rng.choice(VIDEO_FRAMES)), True
    return open_exposures(length, OPEN_SHUTTER), False


def _path_kernel(path: np.ndarray, recipe: BlurRecipe, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """The kernel of an open shutter, or of a video's frames as often as the recipe says, and their number."""
    if recipe.video_share == 0 or rng.random() >= recipe.video_share:
        return path_kernel(path), {}
    count = int(rng.choice(VIDEO_FRAMES))
    return frames_kernel(path, count), {"frames": count}


def _unrest(rng: np.random.Generator, recipe: BlurRecipe) -> float:
    return float(rng.choice(recipe.unrests))
