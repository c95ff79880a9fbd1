"""What an artefact proves itself by: a tile, and the digest of what the integer interpreter makes of it."""

import hashlib
from dataclasses import dataclass

import numpy as np

from edgedeblur.quantize import interpreter
from edgedeblur.quantize.network import QuantisedNetwork

_HEIGHT, _WIDTH = 29, 31  # odd: an address that is wrong by a power of two meets other pixels
_PATCH = 6  # pixels


@dataclass(frozen=True)
class SelfTest:
    """tile: uint8 [29, 31, 3] RGB. sha256: of the restored image, uint8 [height, width, 3], 32 bytes."""

    tile: np.ndarray
    sha256: bytes


def make_self_test(network: QuantisedNetwork, height: int, width: int) -> SelfTest:
    """The self-test of a network compiled for height x width. The tile is the same for all networks.

    The interpreter takes one to three seconds for the shipped networks at 512x512, and as much longer as there are more
    pixels.
    """
    restored = interpreter.run(network, fill_image(make_tile(), height, width))
    return SelfTest(make_tile(), hashlib.sha256(restored.tobytes()).digest())


def make_tile() -> np.ndarray:
    """Patches of noise and of ramps in turn, with every value from 0 to 255 and hard edges; the same everywhere."""
    count = _HEIGHT * _WIDTH * 3
    blocks = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(-(-count // 32)))
    noise = np.frombuffer(blocks[:count], np.uint8).reshape(_HEIGHT, _WIDTH, 3)
    y, x, colour = np.ogrid[:_HEIGHT, :_WIDTH, :3]
    ramp = (9 * y + 5 * x + 80 * colour) % 256
    return np.where((y // _PATCH + x // _PATCH) % 2, noise, ramp).astype(np.uint8)


def fill_image(tile: np.ndarray, height: int, width: int) -> np.ndarray:
    """The tile again and again from the upper left corner: uint8 [height, width, 3], as self_test.c."""
    rows, columns = -(-height // tile.shape[0]), -(-width // tile.shape[1])
    return np.tile(tile, (rows, columns, 1))[:height, :width]
