"""What happens to light on its way into a file, after the blur: photon noise, noise of the electronics, JPEG."""

import cv2
import numpy as np


def photon_noise(light: np.ndarray, at_white: float, rng: np.random.Generator) -> np.ndarray:
    """Linear light with noise whose variance grows with the light, the signal-dependent part of the Poisson-Gaussian
    model (Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data", IEEE TIP
    2008).

    Args:
        light: float32, linear, white at 1.
        at_white: standard deviation at white, in steps of 1/255.
    """
    noise = rng.standard_normal(light.shape, dtype=np.float32)
    return light + noise * np.sqrt(np.maximum(light, 0)) * np.float32(at_white / 255)


def read_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """uint8 values with Gaussian noise of standard deviation `sigma` in uint8 steps, rounded to nearest."""
    noise = rng.standard_normal(image.shape, dtype=np.float32) * sigma
    return np.clip(image + noise + 0.5, 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """A uint8 RGB image after JPEG compression at a quality of 1 to 100, as libjpeg counts it (4:2:0)."""
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])
