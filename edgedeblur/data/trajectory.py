"""Camera paths during an exposure, and the blur kernels they draw.

The path is the Markov process of Boracchi & Foi (IEEE TIP 2012) in the form DeblurGAN uses (Kupyn et al., CVPR 2018):
a velocity of constant length is turned by Gaussian jitter, pulled back to the start, and now and then reversed by a
sudden shake. A path is centred on its middle in time, where the sharp image is taken, as GoPro's centre frame is.
"""

import math

import numpy as np

STEPS = 64
_REFERENCE_STEPS = 2000  # DeblurGAN's resolution of the path, to which its constants refer


def shake_path(rng: np.random.Generator, length: float, unrest: float) -> np.ndarray:
    """A camera path of `length` pixels: float64 [STEPS, 2] of (x, y), middle in time at (0, 0).

    Args:
        length: distance travelled in pixels.
        unrest: DeblurGAN's `expl`; 0 is a straight line, 0.01 a nervous hand.
    """
    pull, shake, jitter = rng.uniform(0, 0.7), rng.uniform(0, 0.2), rng.uniform(0, 10)
    angle = rng.uniform(0, 2 * math.pi)
    draws = rng.standard_normal((STEPS, 2)) @ np.array([1, 1j])
    impulses, turns = rng.random(STEPS), rng.uniform(-0.5, 0.5, STEPS)
    coarser = _REFERENCE_STEPS / STEPS
    step = length / (STEPS - 1)
    velocity = step * complex(math.cos(angle), math.sin(angle))
    path = np.zeros(STEPS, complex)
    for t in range(STEPS - 1):
        change = unrest * step * (math.sqrt(coarser) * jitter * draws[t] - coarser * pull * path[t])
        if impulses[t] < shake * unrest * coarser:
            change += 2 * velocity * np.exp(1j * (math.pi + turns[t]))
        velocity += change
        velocity *= step / max(abs(velocity), 1e-12)
        path[t + 1] = path[t] + velocity
    path -= path[STEPS // 2]
    return np.stack([path.real, path.imag], axis=1)


def linear_path(length: float, angle: float) -> np.ndarray:
    """A straight path through (0, 0): float64 [STEPS, 2] of (x, y). Angle in radians, from the x axis downwards."""
    along = np.linspace(-length / 2, length / 2, STEPS)
    return np.stack([along * math.cos(angle), along * math.sin(angle)], axis=1)


def path_kernel(path: np.ndarray) -> np.ndarray:
    """The blur kernel a path draws: float32 [k, k], k odd, sum 1; a still camera gives [[1]].

    Every sample of the path gets the same weight, spread over its four pixels. The kernel is for convolution: an
    image convolved with it moves a bright point along the path.
    """
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
