"""Defocus: the image of a point out of focus is the lens's aperture, a disc or, stopped down, a polygon."""

import math

import numpy as np

EDGE = 0.15  # width of the soft edge, as a share of the radius; at least a pixel


def aperture_kernel(radius: float, blades: int = 0, angle: float = 0.0) -> np.ndarray:
    """The kernel of a lens out of focus, by geometric optics (Potmesil & Chakravarty, "A lens and aperture camera model
    for synthetic image generation", SIGGRAPH 1981): even light over the aperture, falling off gently at its edge, where
    diffraction and aberrations soften a real one.

    Args:
        radius: of the circle around the aperture's image, in pixels.
        blades: sides of the polygon, 3 or more; 0 is a disc.
        angle: of the polygon's first corner, in radians from the x axis downwards.

    Returns:
        float32 [k, k], k odd, sum 1.
    """
    reach = math.ceil(radius + max(1.0, EDGE * radius) / 2)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    weight = np.clip(_inside(x, y, radius, blades, angle) / max(1.0, EDGE * radius) + 0.5, 0, 1)
    return (weight / weight.sum()).astype(np.float32)


def _inside(x: np.ndarray, y: np.ndarray, radius: float, blades: int, angle: float) -> np.ndarray:
    """How far inside the aperture's edge a point lies, in pixels; negative outside."""
    if blades == 0:
        return radius - np.hypot(x, y)
    middles = angle + (np.arange(blades) + 0.5) * 2 * math.pi / blades  # directions of the sides
    beyond = [x * math.cos(side) + y * math.sin(side) for side in middles]
    return radius * math.cos(math.pi / blades) - np.max(beyond, axis=0)
