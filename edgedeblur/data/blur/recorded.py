"""Camera shake as gyroscopes record it: a window of angular rates, projected, exposure by exposure.

A window of a recording, or of the model fitted to recordings, is integrated to rotations of the camera, which move a
picture by homographies (Whyte et al., "Non-uniform deblurring for shaken images", CVPR 2010; measured rates: Joshi et
al., "Image deblurring using inertial measurement sensors", SIGGRAPH 2010). So paths, their acceleration and the turn
about the optical axis are those of hands. How long the path is the recipe draws, as for the other models: of several
windows the one is taken whose path is nearest to it, since fast hands move straighter than slow ones, and its rates are
scaled by what is left.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from edgedeblur.data.blur.camera_rotation import View, camera_rates, corner_flow, source_maps, turned_angles
from edgedeblur.data.blur.recipe import BlurRecipe
from edgedeblur.data.blur.shake_log import LONGEST, ShakeWindows

FRAME_RATE = 240.0  # of the video whose frames are averaged
SHORTEST = 1 / 60  # seconds: the shortest exposure of an open shutter
ASPECT = 9 / 16  # of a whole frame
_CANDIDATES = 16
_PIXELS_APART = 1.25  # of the exposures that stand for an open shutter
_LEAST_EXPOSURES = 5


class Shake(Protocol):
    """Draws windows of angular rates: `shake_log.ShakeLogs` or `shake_model.ShakeModel`."""

    names: tuple[str, ...]

    def draw(self, rng: np.random.Generator, seconds: np.ndarray) -> ShakeWindows: ...


@dataclass(frozen=True)
class RecordedMotion:
    """Of N pictures. maps: float64 [N, K, 3, 3], from the pixels of each exposure to where the same is seen in the
    sharp picture. seconds: [N], the windows' durations. gain: [N], what the rates were multiplied by. view, windows:
    what else was drawn, one for each picture."""

    maps: np.ndarray
    seconds: np.ndarray
    gain: np.ndarray
    view: View
    windows: ShakeWindows


def draw_recorded(
    rng: np.random.Generator,
    recipe: BlurRecipe,
    shake: Shake,
    size: tuple[int, int],
    lengths: np.ndarray,
    instants: np.ndarray,
    seconds: np.ndarray,
) -> RecordedMotion:
    """Motions of pictures of `size` (height, width), cut somewhere from their cameras' frames.

    Args:
        lengths: [N], pixels from the first exposure to the last of that corner which travels furthest.
        instants: [N, K], when each exposure is taken, as a share of the window. seconds: [N], the windows' durations.
    """
    count, rows = len(lengths), np.arange(len(lengths))
    view = draw_view(rng, recipe, size, count)
    windows = shake.draw(rng, np.repeat(seconds, _CANDIDATES))
    rates = camera_rates(windows.rates)
    angles = turned_angles(rates, np.repeat(seconds, _CANDIDATES), np.repeat(instants, _CANDIDATES, axis=0))
    steps = np.diff(angles, axis=1).reshape(count, _CANDIDATES, -1, 1, 3)
    flow = corner_flow(view)  # [N, corners, 2, 3]; and the steps of corners [N, candidates, K - 1, corners, 2]
    travelled = np.linalg.norm(np.einsum("ncxa,nmkoa->nmkcx", flow, steps), axis=-1).sum(axis=2).max(axis=2)
    gains = lengths[:, None] / np.maximum(travelled, 1e-9)
    chosen = np.abs(np.log(np.maximum(gains, 1e-9))).argmin(axis=1)
    gain, place = gains[rows, chosen], rows * _CANDIDATES + chosen
    maps = source_maps(rates[place] * gain[:, None, None], seconds, instants, view)
    taken = ShakeWindows(windows.rates[place], windows.recording[place], windows.start[place])
    return RecordedMotion(maps, seconds, gain, view, taken)


def draw_view(rng: np.random.Generator, recipe: BlurRecipe, size: tuple[int, int], count: int) -> View:
    """Where in a frame `frame_width` pixels wide, or as much as holds it, a picture lies, and the lens."""
    height, width = size
    wide = max(recipe.frame_width, width, height / ASPECT)
    angle = np.radians(rng.uniform(recipe.min_view, recipe.max_view, count))
    corner = rng.random((count, 2)) * (wide - width, wide * ASPECT - height)
    centre = (wide - 1) / 2 - corner[:, 0], (wide * ASPECT - 1) / 2 - corner[:, 1]
    return View(wide / 2 / np.tan(angle / 2), np.stack(centre, axis=1), size)


def draw_seconds(rng: np.random.Generator, count: int) -> np.ndarray:
    """How long open shutters stay so, [count]."""
    return np.exp(rng.uniform(math.log(SHORTEST), math.log(LONGEST), count))


def frame_instants(frames: int, shutter: float) -> np.ndarray:
    """When frames are exposed, as shares of the time they fill: each in the middle of its own, or, of a shutter that is
    open for the share `shutter` of it, at two points that stand for that."""
    middles = (np.arange(frames) + 0.5) / frames
    if shutter == 0:
        return middles
    return (middles[:, None] + np.array([-1, 1]) * shutter / 4 / frames).ravel()


def open_exposures(length: float, most: int) -> int:
    """How many exposures stand for an open shutter over a path of so many pixels: an odd number."""
    return int(np.clip(math.ceil(length / _PIXELS_APART), _LEAST_EXPOSURES, most)) | 1


def draw_motion_of_one(
    rng: np.random.Generator,
    recipe: BlurRecipe,
    shake: Shake,
    size: tuple[int, int],
    length: float,
    exposures: tuple[int, bool],
) -> tuple[np.ndarray, dict]:
    """Maps [K, 3, 3] for one picture, and what was drawn, as JSON values.

    Args:
        exposures: their number, and whether they are a video's frames.
    """
    count, video = exposures
    shutter = float(rng.uniform(0, recipe.max_shutter)) if video and recipe.max_shutter > 0 else 0.0
    instants = frame_instants(count, shutter)[None]
    seconds = np.array([count / FRAME_RATE]) if video else draw_seconds(rng, 1)
    motion = draw_recorded(rng, recipe, shake, size, np.array([length]), instants, seconds)
    name = shake.names[motion.windows.recording[0]]
    drawn = {"length": length, "frames" if video else "exposures": count, "seconds": float(seconds[0])}
    drawn |= {"shutter": shutter} if shutter else {}
    drawn |= {"recording": name, "start_seconds": float(motion.windows.start[0]), "gain": float(motion.gain[0])}
    return motion.maps[0], drawn | {"focal": float(motion.view.focal[0]), "centre": motion.view.centre[0].tolist()}


def expose_recorded(light: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """The mean of the exposures of float32 [H, W, 3] light, mirrored at the border."""
    light = np.ascontiguousarray(light)
    total = np.zeros_like(light)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for matrix in maps:
        moved = cv2.warpPerspective(light, matrix, light.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        cv2.accumulate(moved, total)
    return total / np.float32(len(maps))
