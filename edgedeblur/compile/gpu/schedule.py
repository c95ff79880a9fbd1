"""How a layer's work is cut up on a GPU: numbers that tuning may change and results do not depend on."""

from dataclasses import dataclass

from edgedeblur.compile.gpu.tensor import words_for
from edgedeblur.compile.kernels.layer import ConvLayer

_SUMS = 32  # of one work item: as registers, with its activations and weights, they leave room for several waves
_GROUP_ITEMS = 64  # of the smallest group that fills a GPU's compute unit: Adreno's half wave, two of NVIDIA's warps
_FEWEST_ITEMS = 2048  # with fewer, compute units are idle and an item should do less


@dataclass(frozen=True)
class GpuSchedule:
    """One convolution's.

    pixels: neighbouring output pixels of a row that one work item computes; their windows overlap.
    words: words of output channels, four each, that it computes: what one activation is multiplied with.
    group: work items of a work group, along a row and over rows.
    vector: weights in one load.
    """

    pixels: int
    words: int
    group: tuple[int, int]
    vector: int = 4


def output_words(layer: ConvLayer) -> int:
    """Words of output channels before depth-to-space: those of each pixel that a pixel unfolds to begin a new word."""
    return layer.depth_to_space**2 * words_for(layer.out[2])


def default_schedule(layer: ConvLayer) -> GpuSchedule:
    """The largest tile of up to 32 sums that still leaves enough work items to fill a phone's GPU."""
    height, width = layer.out_size
    total = output_words(layer)

    def items(pixels: int, words: int) -> int:
        return -(-width // pixels) * height * (total // words)

    tiles = [
        (pixels, words)
        for words in (1, 2, 3, 4)
        for pixels in (1, 2, 4, 8)
        if total % words == 0 and 4 * pixels * words <= _SUMS and pixels <= max(1, width)
    ]
    full = [tile for tile in tiles if items(*tile) >= _FEWEST_ITEMS] or [(1, 1)]
    pixels, words = max(full, key=lambda tile: (tile[0] * tile[1], -abs(tile[0] - 4 * tile[1])))
    along = min(16, 1 << (-(-width // pixels) - 1).bit_length())
    return GpuSchedule(pixels, words, (along, max(1, _GROUP_ITEMS // along)))


def check_schedule(layer: ConvLayer, schedule: GpuSchedule) -> None:
    """Raises ValueError where a schedule does not fit its layer."""
    if min(schedule.pixels, schedule.words, *schedule.group) < 1 or output_words(layer) % schedule.words:
        raise ValueError(f"layer {layer.name}: {schedule} does not divide {output_words(layer)} words of channels")
    if schedule.vector not in (1, 2, 4, 8, 16) or 4 * schedule.words % schedule.vector:
        raise ValueError(f"layer {layer.name}: vectors of {schedule.vector} weights for {4 * schedule.words} channels")
