"""Motion blur of many pictures at once, exposure by exposure, with torch: the models of `data.blur` on a GPU.

A kernel per picture is what a CPU is fast at; a GPU is fast at drawing every exposure of every picture. What moves how
is drawn by NumPy (`draw_motions`), what it does to light is computed on the device (`expose`).
"""

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgedeblur.data.blur.blurring import KINDS, OPEN_SHUTTER, SLIGHT, VIDEO_FRAMES, BlurRecipe
from edgedeblur.data.blur.object_motion import LEAST_ASPECT, WAVES
from edgedeblur.data.blur.scene import FOREGROUND_SHARE, MAX_TILT, TURNING_SHARE
from edgedeblur.data.blur.trajectory import JERK, STEPS, shake_path
from edgedeblur.data.gpu.recorded import RecordedBank, mapped

ON_GPU = ("still", "shake", "linear", "turn", "scene", "recorded")
_PATHS = 4096  # shaken paths, drawn once and used at any rotation


@dataclass(frozen=True)
class Motions:
    """What moves in N pictures; the fields of `data.scene.Scene` with N in front. count: [N] exposures.
    camera, foreground: [N, K, 2], of which the first `count` count. outline: [N, 4 + 2 * waves]: the foreground's
    centre (x, y), radius, aspect, depths and phases of its outline; edge: [N]. A radius of 0 means no foreground. maps:
    [N, K, 3, 3], of `recorded` motion,
    which has nothing else (`data.recorded.RecordedMotion`); identities for the rest."""

    count: np.ndarray
    camera: np.ndarray
    foreground: np.ndarray
    tilt: np.ndarray
    degrees: np.ndarray
    centre: np.ndarray
    outline: np.ndarray
    edge: np.ndarray
    maps: np.ndarray

    @property
    def recorded(self) -> np.ndarray:
        """Which are, bool [N]."""
        return (self.maps != np.eye(3)).any(axis=(1, 2, 3))

    def take(self, places: np.ndarray) -> "Motions":
        return Motions(**{field.name: getattr(self, field.name)[places] for field in fields(self)})


class PathBank:
    """Shaken paths of a recipe's lengths and unrests, [4096, STEPS, 2]: drawing one takes longer than a GPU takes to
    blur with it. A path's law does not change when it is turned, so each is used at any angle."""

    def __init__(self, recipe: BlurRecipe, seed: int):
        rng = np.random.default_rng((seed, 0xBA7))
        drawn = zip(_lengths(rng, recipe, _PATHS), rng.choice(recipe.unrests, _PATHS), strict=True)
        self.paths = np.stack([shake_path(rng, length, unrest) for length, unrest in drawn])

    def draw(self, rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
        """[N, K, 2] for indices of points in time [N, K]."""
        chosen = self.paths[rng.integers(len(self.paths), size=len(times))[:, None], times]
        turned = (chosen @ [1, 1j]) * np.exp(1j * rng.uniform(0, 2 * math.pi, (len(times), 1)))
        return np.stack([turned.real, turned.imag], axis=2)


def draw_motions(
    rng: np.random.Generator,
    recipe: BlurRecipe,
    bank: PathBank,
    size: int,
    count: int,
    recorded: RecordedBank | None = None,
) -> Motions:
    """Motions for `count` pictures of `size` pixels square, by the recipe's shares of the kinds in ON_GPU.

    Args:
        recorded: what is drawn from where the recipe has such motion.
    """
    shares = np.array([share if kind in ON_GPU else 0.0 for kind, share in zip(KINDS, recipe.shares, strict=True)])
    kind = np.array(KINDS)[rng.choice(len(KINDS), size=count, p=shares / shares.sum())]
    scene, turn = kind == "scene", kind == "turn"
    video = (rng.random(count) < recipe.video_share) & ~turn
    exposures = np.where(video, rng.choice(VIDEO_FRAMES, count), OPEN_SHUTTER)
    exposures[kind == "still"] = 1
    straight = (kind == "linear") | (scene & (rng.random(count) < 0.5))
    camera = _paths(rng, recipe, bank, exposures, straight)
    camera[scene] *= rng.random((scene.sum(), 1, 1))
    foreground = _paths(rng, recipe, bank, exposures, rng.random(count) < 0.5)
    direction, steep = rng.uniform(0, 2 * math.pi, count), rng.uniform(0, MAX_TILT, count) / (size / 2)
    turning = turn | (scene & (rng.random(count) < TURNING_SHARE))
    outline = _outlines(rng, recipe, size, count)
    outline[:, 2] *= scene & (rng.random(count) < FOREGROUND_SHARE)
    maps = np.tile(np.eye(3, dtype=np.float32), (count, OPEN_SHUTTER, 1, 1))
    if (held := kind == "recorded").any():
        exposures[held], maps[held] = recorded.draw(rng, held.sum())
        camera[held] = 0
    return Motions(
        count=exposures,
        camera=camera,
        foreground=foreground,
        tilt=np.stack([np.cos(direction), np.sin(direction)], axis=1) * (steep * scene)[:, None],
        degrees=rng.uniform(-1, 1, count) * recipe.max_turn_degrees * turning,
        centre=size * rng.uniform(-0.5, 1.5, (count, 2)),
        outline=outline,
        edge=rng.uniform(1.5, 4, count),
        maps=maps,
    )


def _paths(
    rng: np.random.Generator, recipe: BlurRecipe, bank: PathBank, exposures: np.ndarray, straight: np.ndarray
) -> np.ndarray:
    """[N, OPEN_SHUTTER, 2], at the times of `trajectory.exposures_of`."""
    fraction = np.minimum(np.arange(OPEN_SHUTTER) / np.maximum(exposures - 1, 1)[:, None], 1.0)
    times = np.rint(fraction * (STEPS - 1)).astype(int)
    times[np.arange(OPEN_SHUTTER) == (exposures // 2)[:, None]] = STEPS // 2
    shaken = bank.draw(rng, times)
    line = _lines(rng, recipe, times / (STEPS - 1) - 0.5)
    line[np.arange(OPEN_SHUTTER) == (exposures // 2)[:, None]] = 0
    path = np.where(straight[:, None, None], line, shaken)
    path[exposures == 1] = 0
    return path


def _lines(rng: np.random.Generator, recipe: BlurRecipe, time: np.ndarray) -> np.ndarray:
    """Paths of `trajectory.linear_path` at times [N, K] from -0.5 to 0.5."""
    count = len(time)
    angle, directions = rng.uniform(0, math.pi, count), rng.uniform(0, 2 * math.pi, (2, count))
    lengths = _lengths(rng, recipe, count)
    limit = recipe.acceleration_pixels / np.maximum(lengths, 1e-6)
    most = np.minimum(np.array([[recipe.max_acceleration], [recipe.max_jerk]]), limit)
    change, jerk = (rng.uniform(0, most) * np.exp(1j * directions))[:, :, None]
    turned = (time + change * time**2 + JERK * jerk * time**3) * (np.exp(1j * angle) * lengths)[:, None]
    return np.stack([turned.real, turned.imag], axis=2)


def _lengths(rng: np.random.Generator, recipe: BlurRecipe, count: int) -> np.ndarray:
    lengths = rng.uniform(math.sqrt(recipe.min_length), math.sqrt(recipe.max_length), count) ** 2
    if recipe.slight_share == 0:
        return lengths
    return np.where(rng.random(count) < recipe.slight_share, rng.uniform(0, SLIGHT, count), lengths)


def _outlines(rng: np.random.Generator, recipe: BlurRecipe, size: int, count: int) -> np.ndarray:
    """As `object_motion.draw_shape`."""
    waves = np.array(WAVES)
    return np.concatenate(
        [
            size * rng.uniform(0.25, 0.75, (count, 2)),
            size * rng.uniform(recipe.min_object, recipe.max_object, (count, 1)),
            2 ** rng.uniform(LEAST_ASPECT, -LEAST_ASPECT, (count, 1)),
            rng.uniform(0, 0.3, (count, len(waves))) / waves,
            rng.uniform(0, 2 * math.pi, (count, len(waves))),
        ],
        axis=1,
    )


def expose(light: Tensor, motions: Motions, margin: int = 0) -> Tensor:
    """The mean of the exposures of float32 light [N, 3, H, W], N as in `motions`, without `margin` pixels at each side;
    mirrored at the border."""
    bent = motions.tilt.any(axis=1) | (motions.degrees != 0)
    recorded = motions.recorded
    whole = slice(margin, light.shape[2] - margin), slice(margin, light.shape[3] - margin)
    total = torch.empty_like(light[:, :, *whole])
    for kind in (recorded, bent & ~recorded, ~bent & ~recorded):  # a shift per pixel costs more than one per picture
        if len(alike := np.flatnonzero(kind)):
            alike = alike[np.argsort(-motions.count[alike], kind="stable")]  # those still being exposed come first
            places = torch.from_numpy(alike).to(light.device)
            total[places] = _exposed(light[places], motions.take(alike), whole)
    return total


def _exposed(light: Tensor, motions: Motions, whole: tuple[slice, slice]) -> Tensor:
    """Pictures in the order of falling numbers of exposures, all of them recorded, bent or neither."""
    device, pixels = light.device, _pixels(*light.shape[2:], light.device)[whole]
    camera, foreground, tilt, degrees, centre, maps = (
        torch.from_numpy(values.astype(np.float32)).to(device)
        for values in (motions.camera, motions.foreground, motions.tilt, motions.degrees, motions.centre, motions.maps)
    )
    recorded = bool(motions.recorded.any())
    bent = bool(motions.tilt.any() or motions.degrees.any())
    middle = (light.shape[3] - 1) / 2, (light.shape[2] - 1) / 2
    moving = np.flatnonzero(motions.outline[:, 2] > 0)
    front = torch.from_numpy(moving).to(device)
    foregrounds = torch.cat([light[front].flip(2, 3), masks(motions.take(moving), *light.shape[2:], device)], 1)
    total = torch.zeros_like(light[:, :, *whole])
    for exposure in range(motions.count.max()):
        active = int((motions.count > exposure).sum())
        shift = camera[:active, exposure, None, None]
        if bent:
            time = torch.from_numpy(_times(motions.count[:active], exposure)).to(device)
            near = 1 + torch.einsum("hwc,nc->nhw", pixels - pixels.new_tensor(middle), tilt[:active])
            shift = shift * near[..., None] + _turned(pixels, degrees[:active] * time, centre[:active])
        places = mapped(pixels, maps[:active, exposure]) if recorded else pixels - shift
        frame = sample(light[:active], places)
        count = int((moving < active).sum())
        if count:
            which = front[:count]
            ahead = sample(foregrounds[:count], pixels - foreground[which, exposure, None, None])
            frame[which] = torch.lerp(frame[which], ahead[:, :3], ahead[:, 3:])
        total[:active] += frame
    return total / torch.from_numpy(motions.count.astype(np.float32)).to(device)[:, None, None, None]


def assemble_all(light: Tensor, motions: Motions) -> Tensor:
    """The sharp pictures of the same light, with their foregrounds (`scene.assemble`)."""
    return torch.lerp(light, light.flip(2, 3), masks(motions, *light.shape[2:], light.device))


def masks(motions: Motions, height: int, width: int, device: torch.device) -> Tensor:
    """float32 [N, 1, H, W], as `object_motion.shape_mask`; zeros where there is none."""
    outline = torch.from_numpy(motions.outline.astype(np.float32)).to(device)
    edge = torch.from_numpy(motions.edge.astype(np.float32)).to(device)[:, None, None]
    centre_x, centre_y, radius, aspect = (outline[:, place, None, None] for place in range(4))
    grid = _pixels(height, width, device)
    x, y = (grid[..., 0] - centre_x) / aspect, (grid[..., 1] - centre_y) * aspect
    direction = torch.atan2(y, x)
    reach = torch.ones_like(direction)
    for place, wave in enumerate(WAVES):
        depth, phase = (outline[:, 4 + offset + place, None, None] for offset in (0, len(WAVES)))
        reach += depth * torch.cos(wave * direction + phase)
    inside = ((radius * reach - torch.hypot(x, y)) / edge + 0.5).clamp(0, 1)
    return (inside * (radius > 0))[:, None]


def _times(count: np.ndarray, exposure: int) -> np.ndarray:
    return (exposure / np.maximum(count - 1, 1) - 0.5).astype(np.float32)


def _turned(pixels: Tensor, degrees: Tensor, centre: Tensor) -> Tensor:
    """How far a turn by degrees [N] about centre [N, 2] moves what is seen at each pixel: [N, H, W, 2]."""
    angle = torch.deg2rad(degrees)[:, None, None]
    cosine, sine = torch.cos(angle), torch.sin(angle)
    x, y = (pixels - centre[:, None, None]).unbind(-1)
    return torch.stack([x - (cosine * x + sine * y), y - (cosine * y - sine * x)], -1)


def _pixels(height: int, width: int, device: torch.device) -> Tensor:
    """float32 [H, W, 2]: (x, y)."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device, dtype=torch.float32),
        torch.arange(width, device=device, dtype=torch.float32),
        indexing="ij",
    )
    return torch.stack([x, y], -1)


def sample(images: Tensor, places: Tensor, mode: str = "bilinear") -> Tensor:
    """Images [N, C, H, W] at (x, y) in pixels [N, h, w, 2], mirrored about their outermost pixels."""
    sides = places.new_tensor([images.shape[3] - 1, images.shape[2] - 1])
    return F.grid_sample(images, places * (2 / sides) - 1, mode=mode, padding_mode="reflection", align_corners=True)
