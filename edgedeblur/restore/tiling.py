"""Images of any size through a network of a fixed size or a size multiple, without a visible seam.

The image is reflected at its right and bottom edge up to the multiple that the network takes. Where it does not fit in
one piece it is cut into overlapping tiles, spread evenly; in every overlap the quarter next to a tile's inner edge is
discarded (there the network saw its own padding instead of the picture) and the middle half fades linearly from one
tile to the next. The weights of all tiles add up to one at each pixel, so a constant image stays constant.

An image that is smaller than a network of a fixed size lies in it twice along that axis: once at its beginning and once
at its end, and reflected over the rest. So each half of the image is next to the network's own edge, as it is in a
network of the image's size: what the network pads with at every layer cannot be had by padding the image.
"""

from collections.abc import Callable

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.tiles import span, tile_starts, tile_weights

OVERLAP = 64
MAX_WHOLE_PIXELS = 1920 * 1088
LARGE_TILE = 1024
GATED_TILE = 512
"""The largest side of a tile for networks with gates. These average whole pictures; they learned on crops of at most
384 pixels, and one average over a large frame, in whose parts different things move, tells less (Chu et al., "Improving
image restoration by revisiting global information aggregation", ECCV 2022; docs/student.md has what it brings)."""
REGION_TILES = (192, 384)  # of a region: the one with fewer pixels to compute is taken

RunExact = Callable[[np.ndarray], np.ndarray]


def restore_any_size(
    image: np.ndarray,
    run: RunExact,
    multiple: int = 1,
    fixed_size: tuple[int, int] | None = None,
    overlap: int = OVERLAP,
    largest: int | None = None,
) -> np.ndarray:
    """Restore an image of any size.

    Args:
        image: uint8 [H, W, 3] RGB, H and W at least 1.
        run: the network, uint8 [h, w, 3] to the same shape, for the sizes that it takes.
        multiple: the network takes heights and widths that are multiples of this.
        fixed_size: (height, width), when the network takes this one size only.
        overlap: pixels that neighbouring tiles share at least, where the tile is large enough for it.
        largest: side of a tile at most; None: a picture that is not very large is one tile.

    Returns:
        uint8 [H, W, 3].

    Raises:
        UserError: not a uint8 RGB image with at least one pixel.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UserError(f"need a uint8 RGB image of at least 1x1 pixel, got {image.dtype} {list(image.shape)}")
    image = np.require(image, requirements=["C", "W"])  # torch warns of images that cannot be written
    height, width = image.shape[:2]
    padded = _reflect_to(image, _round_up(height, multiple), _round_up(width, multiple))
    tile = tile_size(height, width, multiple, fixed_size, largest)
    restored = run(padded) if padded.shape[:2] == tile else _run_tiles(padded, run, tile, multiple, overlap)
    return np.ascontiguousarray(restored[:height, :width])


def restore_where(
    image: np.ndarray,
    wanted: np.ndarray,
    run: RunExact,
    multiple: int = 1,
    fixed_size: tuple[int, int] | None = None,
    overlap: int = OVERLAP,
    largest: int | None = None,
) -> np.ndarray:
    """As `restore_any_size`, where it is wanted; what is elsewhere may be the image or restored.

    Computed is the bounding box of what is wanted, with half an overlap of the image around it, in tiles; those in
    which nothing is wanted are left out.

    Args:
        wanted: bool [H, W].
    """
    if not wanted.any():
        return image.copy()
    least = fixed_size or (multiple, multiple)
    rows, columns = (_with_surroundings(wanted.any(axis=1 - axis), least[axis], multiple, overlap) for axis in (0, 1))
    part, wanted = np.ascontiguousarray(image[rows, columns]), wanted[rows, columns]
    height, width = part.shape[:2]
    padded = _reflect_to(part, _round_up(height, multiple), _round_up(width, multiple))
    restored = image.copy()
    tile = fixed_size or _tile_of_region(wanted, multiple, overlap, largest)
    inside = run(padded) if padded.shape[:2] == tile else _run_tiles(padded, run, tile, multiple, overlap, wanted)
    restored[rows, columns] = inside[:height, :width]
    return restored


def blend(picture: np.ndarray, restored: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What is written: (255 - mask) parts of the picture and mask parts of the restored one, rounded to nearest; uint8
    [H, W, 3]. Where the mask is 0 it is the picture, where it is 255 the restored one."""
    share = mask.astype(np.uint32)[..., None]
    return ((picture * (255 - share) + restored * share + 127) // 255).astype(np.uint8)


def _with_surroundings(wanted: np.ndarray, least: int, multiple: int, overlap: int) -> slice:
    """The part of an axis from the first to the last that is wanted, with half an overlap at both sides, on the grid of
    the multiple and `least` long, as far as the axis goes."""
    (found,), length = np.nonzero(wanted), len(wanted)
    start = max(found[0] - overlap // 2, 0)
    end = min(max(found[-1] + 1 + overlap // 2, start + least), length)
    start = max(min(start, end - least), 0) // multiple * multiple
    return slice(start, min(start + _round_up(end - start, multiple), length))


def _tile_of_region(wanted: np.ndarray, multiple: int, overlap: int, largest: int | None) -> tuple[int, int]:
    """The largest tiles or small ones, of which many may be left out: what computes the fewest pixels."""
    height, width = (_round_up(side, multiple) for side in wanted.shape)
    sides = [_round_up(side, multiple) for side in REGION_TILES]
    tiles = [(min(side, height), min(side, width)) for side in sides]
    if largest is not None or height * width <= MAX_WHOLE_PIXELS:
        tiles.insert(0, tile_size(height, width, multiple, largest=largest))

    def computed(tile: tuple[int, int]) -> int:
        starts = [tile_starts(*axis, overlap, multiple) for axis in zip((height, width), tile, strict=True)]
        reached = [wanted[y : y + tile[0], x : x + tile[1]].any() for y in starts[0] for x in starts[1]]
        return sum(reached) * tile[0] * tile[1]

    return min(tiles, key=computed)


def _run_tiles(
    image: np.ndarray,
    run: RunExact,
    tile: tuple[int, int],
    multiple: int,
    overlap: int,
    wanted: np.ndarray | None = None,
) -> np.ndarray:
    """wanted: bool, as large as the image or smaller; tiles without any of it are left out. None: all are run."""
    height, width = image.shape[:2]
    rows = tile_starts(height, tile[0], overlap, multiple)
    columns = tile_starts(width, tile[1], overlap, multiple)
    row_weights = tile_weights(rows, tile[0], height)
    column_weights = tile_weights(columns, tile[1], width)
    blended = np.zeros((height, width, 3), np.float32)
    for y, row_weight in zip(rows, row_weights, strict=True):
        for x, column_weight in zip(columns, column_weights, strict=True):
            (top, bottom), (left, right) = span(y, tile[0], height), span(x, tile[1], width)
            if wanted is not None and not wanted[top:bottom, left:right].any():
                continue
            around = ((top - y, y + tile[0] - bottom), (left - x, x + tile[1] - right), (0, 0))
            restored = run(np.pad(image[top:bottom, left:right], around, mode="reflect"))
            inside = restored[top - y : bottom - y, left - x : right - x]
            weight = np.outer(row_weight, column_weight)[:, :, None]
            blended[top:bottom, left:right] += weight * inside
    return np.clip(np.rint(blended), 0, 255).astype(np.uint8)


def tile_size(
    height: int, width: int, multiple: int, fixed_size: tuple[int, int] | None = None, largest: int | None = None
) -> tuple[int, int]:
    """(height, width) in which `restore_any_size` runs the network for an image of that size: the whole image while
    that is affordable and allowed, else tiles of about 1024 pixels a side, or `largest`."""
    if fixed_size is not None:
        return fixed_size
    height, width = _round_up(height, multiple), _round_up(width, multiple)
    if largest is None and height * width <= MAX_WHOLE_PIXELS:
        return height, width
    side = _round_up(largest or LARGE_TILE, multiple)
    return min(side, height), min(side, width)


def tiling_of(
    height: int, width: int, multiple: int, largest: int | None = None, overlap: int = OVERLAP
) -> tuple[tuple[int, int], int]:
    """As `tile_size`, and how many such tiles `restore_any_size` runs."""
    tile = tile_size(height, width, multiple, largest=largest)
    sides = (_round_up(height, multiple), _round_up(width, multiple))
    counts = [len(tile_starts(*axis, overlap, multiple)) for axis in zip(sides, tile, strict=True)]
    return tile, counts[0] * counts[1]


def _round_up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


def _reflect_to(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Reflect at the right and bottom edge; a side of one pixel is repeated."""
    below, right = height - image.shape[0], width - image.shape[1]
    if not below and not right:
        return image
    return np.pad(image, ((0, below), (0, right), (0, 0)), mode="reflect")
