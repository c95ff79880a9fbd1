"""Blur synthesis: from a sharp image to the image a moving camera would have taken, in linear light.

The chain: gamma to linear light, highlights stretched beyond white (so that they clip after the blur, as on a sensor),
blur by one of the models below, photon noise, clip, gamma back, noise of the electronics, JPEG. Everything random comes
from the NumPy generator that is passed in. docs/blur-synthesis.md describes the models.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgedeblur.data.defocus import aperture_kernel
from edgedeblur.data.gopro import MAX_FRAMES, MIN_FRAMES
from edgedeblur.data.light import from_light, stretch_highlights, to_light
from edgedeblur.data.object_motion import draw_shape, kernel_blur, move_object, shape_mask
from edgedeblur.data.scene import Scene, assemble, draw_scene, expose_scene
from edgedeblur.data.sensor import jpeg, photon_noise, read_noise
from edgedeblur.data.trajectory import (
    JERK,
    draw_change,
    exposures_of,
    frames_kernel,
    linear_path,
    path_kernel,
    shake_path,
)
from edgedeblur.data.turning import turn_blur

UNRESTS = (0.01, 0.007, 0.005, 0.003, 0.001, 0.0005, 0.0001)  # DeblurGAN's
VIDEO_FRAMES = tuple(range(MIN_FRAMES, MAX_FRAMES + 1, 2))  # odd numbers have a middle, which is the sharp frame
OPEN_SHUTTER = 33  # exposures that stand for an open shutter where frames are put together one by one
KINDS = ("still", "shake", "linear", "turn", "defocus", "object", "scene")


@dataclass(frozen=True)
class MadePair:
    """A pair that was made from sharp pictures. blur, sharp: uint8 HxWx3. record: how, in JSON values: the model, its
    parameters and what else is known."""

    blur: np.ndarray
    sharp: np.ndarray
    record: dict


@dataclass(frozen=True)
class BlurRecipe:
    """How blur is made. Shares are weights of a random choice; lengths in pixels, noise in uint8 steps.

    still_share: share of pairs left sharp, so that the network learns to do no harm.
    shake_share, linear_share, turn_share: camera shake, straight motion, and shake with a turning camera, whose blur
        differs over the image. defocus_share: lens out of focus. object_share: part of the image moves.
    scene_share: a moving camera and depth, and mostly a thing in front that moves its own way (`data.scene`).
    min_length, max_length: length of the path; drawn between them with density falling as 1/sqrt(length).
    max_acceleration, max_jerk: of straight motion, see `trajectory.linear_path`. With the first at 1 it may begin from
        rest, and it bends; with the second too, twice and in two directions.
    acceleration_pixels: both are at most this many pixels over the path's length, since a hand that moves fast is no
        more often pushed than one that moves slowly: long paths are nearly straight.
    max_turn_degrees: how far the camera turns about a point near the image during the exposure.
    unrests: one is drawn per shaken path, see `trajectory.shake_path`; below 0.001 paths are nearly straight.
    video_share: how often the blur is not that of an open shutter but the mean of 7, 9, 11 or 13 short exposures along
        the path, as in data averaged from video (GoPro's): edges leave steps, not ramps. Not for `turn` and `defocus`.
    max_zoom: photographs are enlarged by up to this before they are blurred, since video frames are softer than they.
    min_contrast: and their contrast is lowered to down to this.
    gammas: one is drawn per image; 2.2 is linear light, 1.0 averages the stored values (as GoPro's public averages do).
    highlight_gain: the brightest light is multiplied by up to this much before the blur.
    noise: standard deviation at most; noise_share: how often. jpeg_quality: lowest; jpeg_share: how often.
    min_radius, max_radius: of the aperture's image out of focus. blades: one is drawn; 0 is a disc, else a polygon.
    min_object, max_object: radius of the moving part, as a share of the image's shorter side.
    photon_noise: standard deviation at white, at most; 0 is none.
    """

    still_share: float = 0.05
    shake_share: float = 0.4
    linear_share: float = 0.2
    turn_share: float = 0.4
    min_length: float = 2.0
    max_length: float = 40.0
    max_acceleration: float = 0.0
    max_jerk: float = 0.0
    acceleration_pixels: float = 1000.0
    max_turn_degrees: float = 3.0
    unrests: tuple[float, ...] = UNRESTS
    video_share: float = 0.0
    max_zoom: float = 1.0
    min_contrast: float = 1.0
    gammas: tuple[float, ...] = (2.2, 1.0)
    highlight_gain: float = 2.0
    noise: float = 2.0
    noise_share: float = 0.2
    jpeg_quality: int = 75
    jpeg_share: float = 0.1
    defocus_share: float = 0.0
    object_share: float = 0.0
    scene_share: float = 0.0
    min_radius: float = 1.0
    max_radius: float = 8.0
    blades: tuple[int, ...] = (0, 5, 6, 7, 8)
    min_object: float = 0.15
    max_object: float = 0.4
    photon_noise: float = 0.0

    def __post_init__(self) -> None:
        shares = self.shares
        if min(shares) < 0 or not 0 < sum(shares) < math.inf:
            raise ValueError(f"the shares of blur are {dict(zip(KINDS, shares, strict=True))}; one must be above 0")
        ranges = {
            "length": (self.min_length, self.max_length),
            "radius": (self.min_radius, self.max_radius),
            "object": (self.min_object, self.max_object),
        }
        for name, (low, high) in ranges.items():
            if not 0 <= low <= high < math.inf:
                raise ValueError(f"min_{name} is {low} and max_{name} {high}; they are at least 0 and in this order")
        for name in ("video_share", "max_acceleration", "max_jerk"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; 0 to 1")
        if not 0 <= self.acceleration_pixels < math.inf:
            raise ValueError(f"acceleration_pixels is {self.acceleration_pixels}; it is at least 0")
        if not 1 <= self.max_zoom <= 8 or not 0 < self.min_contrast <= 1:
            raise ValueError(f"max_zoom is {self.max_zoom}, 1 to 8, and min_contrast {self.min_contrast}, up to 1")
        if not self.gammas or min(self.gammas) <= 0:
            raise ValueError(f"gammas are {self.gammas}; at least one, all above 0")
        if not self.unrests or min(self.unrests) < 0:
            raise ValueError(f"unrests are {self.unrests}; at least one, none below 0")
        if not self.blades or any(count != 0 and not 3 <= count <= 64 for count in self.blades):
            raise ValueError(f"blades are {self.blades}; each is 0 (a disc) or 3 to 64")
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality is {self.jpeg_quality}; it is 1 to 100")

    @property
    def shares(self) -> tuple[float, ...]:
        """In the order of KINDS."""
        return tuple(getattr(self, f"{kind}_share") for kind in KINDS)

    @property
    def margin(self) -> int:
        """Pixels around a crop that its blur can draw from."""
        radius = self.max_radius * 1.1 if self.defocus_share > 0 else 0.0
        reach = self.max_length * (0.5 + self.max_acceleration / 4 + JERK * self.max_jerk / 8)
        return math.ceil(max(reach, radius)) + 4


def blur_image(sharp: np.ndarray, recipe: BlurRecipe, rng: np.random.Generator) -> np.ndarray:
    """A blurred copy of a sharp uint8 HxWx3 image; the border is mirrored."""
    return blur_and_record(sharp, recipe, rng).blur


def blur_and_record(sharp: np.ndarray, recipe: BlurRecipe, rng: np.random.Generator) -> MadePair:
    """As `blur_image`, with the sharp image, into which `scene` may have put a thing, and what was drawn: the model,
    one of KINDS, and its parameters, as JSON values."""
    shares = np.array(recipe.shares)
    kind = KINDS[rng.choice(len(KINDS), p=shares / shares.sum())]
    gamma = float(rng.choice(recipe.gammas))
    gain = rng.uniform(1, max(1.0, recipe.highlight_gain))
    length = _length(rng, recipe)
    record = {"model": kind, "gamma": gamma}
    light = to_light(sharp, gamma)
    if kind == "scene":
        scene, parameters = _scene(sharp.shape[:2], length, recipe, rng)
        sharp = from_light(assemble(scene, light), gamma)
        light = expose_scene(scene, stretch_highlights(light, gain))
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
    for reach in (length, _length(rng, recipe)):
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


def _length(rng: np.random.Generator, recipe: BlurRecipe) -> float:
    low, high = math.sqrt(recipe.min_length), math.sqrt(recipe.max_length)
    return rng.uniform(low, high) ** 2


def _path_kernel(path: np.ndarray, recipe: BlurRecipe, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """The kernel of an open shutter, or of a video's frames as often as the recipe says, and their number."""
    if recipe.video_share == 0 or rng.random() >= recipe.video_share:
        return path_kernel(path), {}
    count = int(rng.choice(VIDEO_FRAMES))
    return frames_kernel(path, count), {"frames": count}


def _unrest(rng: np.random.Generator, recipe: BlurRecipe) -> float:
    return float(rng.choice(recipe.unrests))
