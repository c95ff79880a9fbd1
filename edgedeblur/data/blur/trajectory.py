"""Camera paths during an exposure, and the blur kernels they draw.

The path is the Markov process of Boracchi & Foi (IEEE TIP 2012) in the form DeblurGAN uses (Kupyn et al., CVPR 2018):
a velocity of constant length is turned by Gaussian jitter, pulled back to the start, and now and then reversed by a
sudden shake, with the constants of DeblurGAN's published code. A path is centred on its middle in time, where the sharp
image is taken, as GoPro's centre frame is.
"""

import cmath
import math

import numpy as np

STEPS = 512  # with 64 the paths of a nervous hand spread a tenth less than the published process's
JERK = 4 / 3  # of the cube of time, from -0.5 to 0.5, against time itself: what brings a speed of 1 to 0 at both ends
_REFERENCE_STEPS = 2000  # DeblurGAN's resolution of the path, to which its constants refer


def shake_path(rng: np.random.Generator, length: float, unrest: float) -> np.ndarray:
    """A camera path of `length` pixels: float64 [STEPS, 2] of (x, y), middle in time at (0, 0).

    Args:
        length: distance travelled in pixels.
        unrest: DeblurGAN's `expl`; 0 is a straight line, 0.01 a nervous hand.
    """
    pull, shake, jitter = rng.uniform(0, 0.7), rng.uniform(0, 0.2), rng.uniform(0, 10)
    velocity = cmath.exp(1j * rng.uniform(0, 2 * math.pi))  # in steps; only its direction matters
    coarser = _REFERENCE_STEPS / STEPS
    noise = unrest * math.sqrt(coarser) * jitter * (rng.standard_normal((STEPS, 2)) @ np.array([1, 1j]))
    reversals = np.where(rng.random(STEPS) < shake * unrest * coarser, 2.0, 0.0)
    reversals = -reversals * np.exp(1j * rng.uniform(-0.5, 0.5, STEPS))
    step, back = length / (STEPS - 1), unrest * coarser * pull
    place, path = 0j, [0j]
    for jolt, reversal in zip(noise[1:].tolist(), reversals[1:].tolist(), strict=True):
        velocity += jolt - back * place + reversal * velocity
        velocity /= max(abs(velocity), 1e-12)
        place += step * velocity
        path.append(place)
    centred = np.array(path) - path[STEPS // 2]
    return np.stack([centred.real, centred.imag], axis=1)


def linear_path(
    length: float, angle: float, change: tuple[float, float] = (0.0, 0.0), jerk: tuple[float, float] = (0.0, 0.0)
) -> np.ndarray:
    """A straight path, or a cubic in time, through (0, 0), where it is at half its time: float64 [STEPS, 2] of (x, y).

    Args:
        length: pixels travelled, but for what the acceleration and its change add.
        angle: of the motion in the middle, in radians, from the x axis downwards.
        change: acceleration along and across it: of 1 and 0 the speed rises from nothing to twice the mean.
        jerk: how the acceleration changes: of -1 and 0 the motion starts from rest and comes to rest.
    """
    time = np.linspace(-0.5, 0.5, STEPS)
    along, across = (
        length * (mean * time + change[axis] * time**2 + JERK * jerk[axis] * time**3) for axis, mean in ((0, 1), (1, 0))
    )
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.stack([along * cosine - across * sine, along * sine + across * cosine], axis=1)


def draw_change(rng: np.random.Generator, most: float) -> tuple[float, float]:
    """An acceleration, or a jerk, for `linear_path`, in any direction, its size evenly up to `most`."""
    if most == 0:
        return 0.0, 0.0
    size, direction = rng.uniform(0, most), rng.uniform(0, 2 * math.pi)
    return size * math.cos(direction), size * math.sin(direction)


def path_kernel(path: np.ndarray) -> np.ndarray:
    """The blur kernel a path draws: float32 [k, k], k odd, sum 1; a still camera gives [[1]].

    Every sample of the path gets the same weight, spread over its four pixels; where samples lie more than a pixel
    apart, points between them are added, so that a long blur is no row of dots. The kernel is for convolution: an image
    convolved with it moves a bright point along the path.
    """
    return _drawn(_without_gaps(path))


def frames_kernel(path: np.ndarray, count: int) -> np.ndarray:
    """As `path_kernel`, of `count` short exposures evenly spaced in time from the path's first point to its last: the
    kernel of an average of video frames (Nah et al., CVPR 2017), a row of dots where the path is long."""
    return _drawn(exposures_of(path, count))


def exposures_of(path: np.ndarray, count: int) -> np.ndarray:
    """Where a path is at `count` times evenly spaced from its first point to its last: float64 [count, 2]; of an odd
    number the middle one is exactly at the path's middle, (0, 0)."""
    places = np.linspace(0, len(path) - 1, count).round().astype(int)
    if count % 2:
        places[count // 2] = len(path) // 2
    return path[places]


def _drawn(path: np.ndarray) -> np.ndarray:
    """The kernel of points of equal weight."""
    radius = math.ceil(float(np.abs(path).max(initial=0)) - 1e-9)
    size = 2 * radius + 1
    kernel = np.zeros((size + 1, size + 1))
    corner = np.floor(path).astype(int)
    fx, fy = (path - corner).T
    column, row = (corner + radius).T
    for dy, wy in ((0, 1 - fy), (1, fy)):
        for dx, wx in ((0, 1 - fx), (1, fx)):
            np.add.at(kernel, (row + dy, column + dx), wx * wy)
    kernel = kernel[:size, :size]
    return (kernel / kernel.sum()).astype(np.float32)


def _without_gaps(path: np.ndarray) -> np.ndarray:
    widest = float(np.abs(np.diff(path, axis=0)).max(initial=0))
    if widest <= 1:
        return path
    times = np.linspace(0, len(path) - 1, math.ceil(2 * widest) * (len(path) - 1) + 1)
    return np.stack([np.interp(times, np.arange(len(path)), path[:, axis]) for axis in (0, 1)], axis=1)
