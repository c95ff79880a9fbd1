"""From a camera's angular rates to how its picture moves: rotations, and the homographies K R K^-1 they make.

Camera axes: x to the right of the picture, y down, z forward. A phone is taken to be held level, its top to the left:
its back camera's x, y and z are then the phone's -y, -x and -z. Which way does not matter for training, which turns and
mirrors pairs; that the rates about the two axes across the picture differ does.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class View:
    """How N pictures lie in their cameras' frames. focal: [N], in pixels. centre: [N, 2], where the optical axis meets
    each picture, (x, y) in pixels from the middle of its first pixel; it may lie outside. size: (height, width)."""

    focal: np.ndarray
    centre: np.ndarray
    size: tuple[int, int]


def camera_rates(phone: np.ndarray) -> np.ndarray:
    """Rates [..., 3] about a phone's axes as rates about its camera's."""
    return -phone[..., [1, 0, 2]]


def corner_flow(view: View) -> np.ndarray:
    """float64 [N, 4, 2, 3]: how fast, in pixels, what is seen at each corner moves for a rate of one about each axis
    (Longuet-Higgins & Prazdny, Proc. R. Soc. B 1980: the rotational part of optical flow)."""
    height, width = view.size
    corners = np.array([(x, y) for y in (0, height - 1) for x in (0, width - 1)], float)
    focal = view.focal[:, None]
    x, y = ((corners[None, :, axis] - view.centre[:, None, axis]) / focal for axis in (0, 1))
    across = np.stack([x * y, -1 - x**2, y], axis=-1)
    down = np.stack([1 + y**2, -x * y, -x], axis=-1)
    return focal[..., None, None] * np.stack([across, down], axis=2)


def turned_angles(rates: np.ndarray, seconds: np.ndarray, instants: np.ndarray) -> np.ndarray:
    """The integral of rates over time, which for small angles is how far the camera has turned: float64 [N, K, 3].

    Args:
        rates: [N, S, 3], at S times evenly spaced over `seconds` [N]. instants: [N, K], shares of that time.
    """
    sums = np.cumsum(_steps(rates, seconds), axis=1)
    sums = np.concatenate([np.zeros_like(sums[:, :1]), sums], axis=1)
    before, within = _within_step(rates, seconds, instants)
    return sums[np.arange(len(rates))[:, None], before] + within


def source_maps(rates: np.ndarray, seconds: np.ndarray, instants: np.ndarray, view: View) -> np.ndarray:
    """Homographies float64 [N, K, 3, 3] from pixels of the picture at each instant to where the same is seen at half
    the time: K R_half^T R_k K^-1, with R the product of the turns of the S - 1 steps.

    Args:
        rates: [N, S, 3] about the camera's own axes, S odd. The others: as those of `turned_angles`.
    """
    turns, rotation = rotations(_steps(rates, seconds)), np.broadcast_to(np.eye(3), (len(rates), 3, 3))
    every = [rotation]
    for step in range(turns.shape[1]):
        rotation = rotation @ turns[:, step]
        every.append(rotation)
    every = np.stack(every, axis=1)
    before, within = _within_step(rates, seconds, instants)
    at = every[np.arange(len(rates))[:, None], before] @ rotations(within)
    relative = every[:, turns.shape[1] // 2].transpose(0, 2, 1)[:, None] @ at
    camera = _camera(view)[:, None]
    maps = camera @ relative @ np.linalg.inv(camera)
    return maps / maps[..., 2:, 2:]


def rotations(vectors: np.ndarray) -> np.ndarray:
    """Rotation matrices [..., 3, 3] by axis times angle [..., 3], by Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    none = np.zeros_like(x)
    cross = np.stack([np.stack(row, -1) for row in ((none, -z, y), (z, none, -x), (-y, x, none))], axis=-2)
    return np.eye(3) + np.sinc(angle / np.pi) * cross + np.sinc(angle / (2 * np.pi)) ** 2 / 2 * (cross @ cross)


def _steps(rates: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """By how much is turned between two samples: [N, S - 1, 3]."""
    return (rates[:, 1:] + rates[:, :-1]) / 2 * (seconds / (rates.shape[1] - 1))[:, None, None]


def _within_step(rates: np.ndarray, seconds: np.ndarray, instants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sample before each instant, [N, K], and by how much is turned from there on, [N, K, 3], at rates that change
    evenly from sample to sample."""
    samples, row = rates.shape[1], np.arange(len(rates))[:, None]
    place = np.clip(instants, 0, 1) * (samples - 1)
    before = np.minimum(place.astype(int), samples - 2)
    share, first = (place - before)[..., None], rates[row, before]
    mean = first + (rates[row, before + 1] - first) * share / 2
    return before, mean * share * (seconds / (samples - 1))[:, None, None]


def _camera(view: View) -> np.ndarray:
    matrix = np.zeros((len(view.focal), 3, 3))
    matrix[:, 0, 0] = matrix[:, 1, 1] = view.focal
    matrix[:, :2, 2], matrix[:, 2, 2] = view.centre, 1
    return matrix
