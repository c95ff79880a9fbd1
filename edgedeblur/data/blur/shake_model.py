"""A stochastic model of how a hand turns a camera, fitted to recordings: what `recorded` blur is drawn from by default.

The angular rate about each axis of the phone is a slow part, aiming and panning, and a fast one, tremor. Both are
oscillators driven by white noise, sampled as AR(2) processes (Box & Jenkins, "Time Series Analysis"); how large they
are differs from window to window, log-normally, with a factor common to all axes and one of each.
docs/blur-synthesis.md compares the model with the recordings. The parameters are in shake_model.toml.
"""

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedeblur.data.blur.shake_log import LONGEST, SAMPLES, ShakeWindows
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.documents import read_toml
from edgedeblur.storage.records import read_record

RATE = 240.0  # samples a second
_STEPS = math.ceil(LONGEST * RATE) + 1


@dataclass(frozen=True)
class Oscillator:
    """One part of the motion. frequency, in Hz, and damping of the oscillator: 1 is critical. log_scale: mean of the
    natural logarithm of its standard deviation in rad/s, about the phone's x, y and z. common, axis: standard deviation
    of that logarithm, of what all axes share and of what each has alone."""

    frequency: float
    damping: float
    log_scale: tuple[float, float, float]
    common: float
    axis: float

    @property
    def coefficients(self) -> tuple[float, float]:
        """(a1, a2) of x[n] = a1 x[n-1] + a2 x[n-2] + noise: the poles of the oscillator, exp(pole / RATE)."""
        turn, damping = 2 * math.pi * self.frequency / RATE, self.damping
        root = complex(damping**2 - 1) ** 0.5
        first, second = (np.exp(turn * (-damping + sign * root)) for sign in (1, -1))
        return float((first + second).real), float(-(first * second).real)

    def draw_scale(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """float64 [count, 3], rad/s."""
        drawn = self.common * rng.standard_normal((count, 1)) + self.axis * rng.standard_normal((count, 3))
        return np.exp(np.array(self.log_scale) + drawn)


@dataclass(frozen=True)
class ShakeModel:
    """The same to draw from as `shake_log.ShakeLogs`."""

    parts: tuple[Oscillator, ...]
    names: tuple[str, ...] = ("model",)

    def draw(self, rng: np.random.Generator, seconds: np.ndarray) -> ShakeWindows:
        """A window of each length in `seconds`, [M], none longer than LONGEST."""
        count = len(seconds)
        rates = sum(part.draw_scale(rng, count)[:, None] * _process(rng, part, count) for part in self.parts)
        at = np.linspace(0, 1, SAMPLES) * np.minimum(seconds, LONGEST)[:, None] * RATE
        before = np.minimum(at.astype(int), _STEPS - 2)
        share, row = (at - before)[..., None], np.arange(count)[:, None]
        drawn = (1 - share) * rates[row, before] + share * rates[row, before + 1]
        return ShakeWindows(drawn, np.zeros(count, int), np.zeros(count))


def _process(rng: np.random.Generator, part: Oscillator, count: int) -> np.ndarray:
    """float64 [count, steps, 3] of variance 1, stationary from the first step on."""
    first, second = part.coefficients
    beside = first / (1 - second)  # the correlation of neighbours, by Yule and Walker
    noise = rng.standard_normal((_STEPS, count, 3))
    noise[1:2] *= math.sqrt(1 - beside**2)
    noise[2:] *= math.sqrt(1 - first * beside - second * (first * beside + second))
    noise[1] += beside * noise[0]
    for step in range(2, _STEPS):
        noise[step] += first * noise[step - 1] + second * noise[step - 2]
    return noise.transpose(1, 0, 2)


@dataclass(frozen=True)
class _ModelFile:
    part: tuple[Oscillator, ...]


@functools.cache
def shipped_shake() -> ShakeModel:
    """The model with the parameters that ship."""
    path = Path(__file__).with_name("shake_model.toml")
    origin = Origin(str(path))
    return ShakeModel(read_record(_ModelFile, read_toml(path, origin), origin).part)
