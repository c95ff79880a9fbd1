"""Clips of pictures that a moving camera would have taken, with the sharp ones: what video_memory.py learns from.

Photographs, and frames of video at 240 fps, each moved by camera motion that a phone's gyroscope recorded
(`data.blur.recorded`); a frame is the mean of 7 of 8 exposures, sharp is the middle one. Kept apart: photographs of
another set under motion of another phone, and consecutive pairs of another scene (GOPR0372) as they were filmed; that
scene's pairs are among those that `nano` had learned from before, which is the same for both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedeblur.data.blur.light import from_light, to_light
from edgedeblur.data.blur.recipe import BlurRecipe
from edgedeblur.data.blur.recorded import FRAME_RATE, draw_recorded, expose_recorded
from edgedeblur.data.blur.shake_log import ShakeLogs, ShakeWindows, read_shake_log
from edgedeblur.data.images import list_images, read_image

EVERY, EXPOSED = 8, 7  # of the instants at 240 a second: a frame begins every 8, and 7 of them are exposed
PIECE = 320  # pixels, of what is moved; its middle is kept, so that what comes in at the borders was there
KEPT = 160
FRAMES = 6
VIDEO_SHARE = 0.35
SHORTEST, LONGEST = 2.0, 22.0  # pixels that a frame's path is long


@dataclass(frozen=True)
class Clip:
    """blur, sharp: uint8 [frames, H, W, 3]."""

    blur: np.ndarray
    sharp: np.ndarray


@dataclass(frozen=True)
class LongShake:
    """Windows of recordings that may be longer than those of single exposures; eight samples a frame."""

    logs: ShakeLogs
    frames: int

    @property
    def names(self) -> tuple[str, ...]:
        return self.logs.names

    def draw(self, rng: np.random.Generator, seconds: np.ndarray) -> ShakeWindows:
        """As `ShakeLogs.draw`."""
        longest = float(np.max(seconds))
        segments = [each for each in self.logs.segments if each.times[-1] - each.times[0] > longest]
        room = np.array([each.times[-1] - each.times[0] - longest for each in segments])
        chosen = rng.choice(len(room), size=len(seconds), p=room / room.sum())
        rates, starts = [], []
        for place, duration in zip(chosen, seconds, strict=True):
            segment = segments[place]
            starts.append(float(segment.times[0] + rng.random() * room[place]))
            at = starts[-1] + np.linspace(0, duration, EVERY * self.frames + 1)
            rates.append(np.stack([np.interp(at, segment.times, segment.rates[:, axis]) for axis in range(3)], -1))
        recordings = np.array([segments[place].recording for place in chosen])
        return ShakeWindows(np.stack(rates), recordings, np.array(starts))


def make_clip(rng: np.random.Generator, pieces: Sequence[np.ndarray], shake: LongShake, kept: int) -> Clip:
    """A clip of `shake.frames` frames.

    Args:
        pieces: uint8 [PIECE, PIECE, 3], one for each instant at 240 a second, or one for all of them.
    """
    instants = EVERY * shake.frames
    length = rng.uniform(SHORTEST**0.5, LONGEST**0.5) ** 2 * instants / EXPOSED
    at, seconds = (np.arange(instants) + 0.5)[None] / instants, np.array([instants / FRAME_RATE])
    motion = draw_recorded(rng, BlurRecipe(), shake, (PIECE, PIECE), np.array([length]), at, seconds)
    gamma, edge = float(rng.choice([1.0, 2.2])), (PIECE - kept) // 2
    lights = [to_light(piece, gamma) for piece in pieces]
    blur, sharp = [], []
    for first in range(0, instants, EVERY):
        exposures = [
            expose_recorded(lights[instant % len(lights)], motion.maps[0, instant : instant + 1])
            for instant in range(first, first + EXPOSED)
        ]
        for frames, light in ((blur, np.mean(exposures, axis=0)), (sharp, exposures[EXPOSED // 2])):
            frames.append(from_light(light[edge : edge + kept, edge : edge + kept], gamma))
    return Clip(np.stack(blur), np.stack(sharp))


def draw_pieces(rng: np.random.Generator, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The same place of every picture; smaller ones are mirrored at their border."""
    height, width = pictures[0].shape[:2]
    y, x = (int(rng.integers(0, max(1, side - PIECE + 1))) for side in (height, width))
    cut = [picture[y : y + PIECE, x : x + PIECE] for picture in pictures]
    missing = [(0, PIECE - side) for side in cut[0].shape[:2]]
    return [np.pad(piece, (*missing, (0, 0)), "reflect") if sum(map(sum, missing)) else piece for piece in cut]


def training_clips(material: Path, count: int) -> list[Clip]:
    """Photographs and the video, moved by all recordings but the last phone's; the same at every call."""
    rng = np.random.default_rng(0)
    shake = LongShake(_logs(sorted((material / "camera_shake").glob("nexus5_*.csv"))), FRAMES)
    photos = [
        path for name in ("cid22", "clic2025_half", "unsplash") for path in list_images(material / "photos" / name)
    ]
    video = list_images(material / "gopro_video_240fps")
    made = []
    for _ in range(count):
        if rng.random() < VIDEO_SHARE:
            first = int(rng.integers(0, len(video) - EVERY * FRAMES + 1))
            pictures = [read_image(path) for path in video[first : first + EVERY * FRAMES]]
        else:
            pictures = [read_image(photos[rng.integers(len(photos))])]
        made.append(make_clip(rng, draw_pieces(rng, pictures), shake, KEPT))
    return made


def clips_kept_apart(material: Path) -> dict[str, list[Clip]]:
    """By name: photographs of other sets under motion of another phone, 12 frames each; and a scene as it was filmed,
    two windows of 512x512."""
    rng = np.random.default_rng(1)
    shake = LongShake(_logs([material / "camera_shake" / "phone_411hz.csv"]), 2 * FRAMES)
    photos = list_images(material / "photos" / "kodak") + list_images(material / "photos" / "elementary")[:12]
    moved = [make_clip(rng, draw_pieces(rng, [read_image(path)]), shake, 192) for path in photos]
    folder = material / "pairs_train" / "gopro720_0372"
    blur, sharp = (np.stack([read_image(path) for path in list_images(folder / name)]) for name in ("blur", "sharp"))
    windows = [np.s_[:, 104:616, left : left + 512] for left in (64, 704)]
    return {"photographs": moved, "GOPR0372": [Clip(blur[window], sharp[window]) for window in windows]}


def _logs(paths: Sequence[Path]) -> ShakeLogs:
    segments = [segment for index, path in enumerate(paths) for segment in read_shake_log(path, index)]
    return ShakeLogs(tuple(path.name for path in paths), tuple(segments))
