"""One picture that shows what the network does: blurred, restored and sharp, whole and enlarged."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgedeblur.errors import UserError
from edgedeblur.storage.files import atomic_path

_GAP = 8
_LABEL = 26
_ZOOM = 3
_BACKGROUND = (255, 255, 255)
_FRAME = (220, 40, 40)


def write_before_after(images: Sequence[tuple[str, np.ndarray]], destination: Path, max_width: int = 512) -> None:
    """Write a PNG: a column per image with its label, the whole image above and its busiest part enlarged below.

    Args:
        images: (label, uint8 [H, W, 3] RGB), all of one size; the part to enlarge is chosen in the last one, the sharp.
        destination: the PNG.
        max_width: wider images are shown reduced to this width; the enlargement is always from the full image.

    Raises:
        UserError: no image, or images of different sizes.
    """
    if not images or len({image.shape for _, image in images}) != 1:
        raise UserError(f"need images of one size, got {[image.shape for _, image in images]}")
    picture = compose(images, max_width)
    with atomic_path(destination) as path:
        picture.save(path, format="PNG", optimize=True)


def compose(images: Sequence[tuple[str, np.ndarray]], max_width: int = 512) -> Image.Image:
    """The picture of `write_before_after`."""
    height, width = images[0][1].shape[:2]
    shown = min(width, max_width), max(1, round(height * min(width, max_width) / width))
    top, left, side_y, side_x = busiest_window(images[-1][1])
    zoomed = shown[0], max(1, round(side_y * shown[0] / side_x))
    size = (len(images) * (shown[0] + _GAP) + _GAP, _LABEL + shown[1] + zoomed[1] + 3 * _GAP)
    picture = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    scale = shown[0] / width
    for column, (label, array) in enumerate(images):
        x = _GAP + column * (shown[0] + _GAP)
        image = Image.fromarray(array)
        draw.text((x, 5), label, fill=(0, 0, 0), font=ImageFont.load_default(size=16))
        picture.paste(image.resize(shown, Image.Resampling.LANCZOS), (x, _LABEL))
        box = [x + left * scale, _LABEL + top * scale, x + (left + side_x) * scale - 1, _LABEL + (top + side_y) * scale]
        draw.rectangle(box, outline=_FRAME, width=2)
        part = image.crop((left, top, left + side_x, top + side_y))
        picture.paste(part.resize(zoomed, Image.Resampling.BICUBIC), (x, _LABEL + shown[1] + _GAP))
    return picture


def busiest_window(image: np.ndarray) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the third of an image that has the strongest edges."""
    height, width = image.shape[:2]
    side_y, side_x = max(1, height // _ZOOM), max(1, width // _ZOOM)
    grey = image.astype(np.float64).mean(axis=2)
    edges = np.zeros_like(grey)
    edges[:, 1:] += np.abs(np.diff(grey, axis=1))
    edges[1:, :] += np.abs(np.diff(grey, axis=0))
    total = np.pad(edges.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = total[side_y:, side_x:] - total[:-side_y, side_x:] - total[side_y:, :-side_x] + total[:-side_y, :-side_x]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(top), int(left), side_y, side_x
