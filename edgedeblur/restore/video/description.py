"""What a video's stream says of its frames: what has to be the same in the output."""

from dataclasses import dataclass
from fractions import Fraction

# swscale's matrices by the number of ITU-T H.273 (MatrixCoefficients) that a stream carries.
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_BT709, _BT601 = 1, 5
_LIMITED, FULL = 1, 2
_HD_ROWS = 720  # untagged video from here on is BT.709 to players, below BT.601


@dataclass(frozen=True)
class Description:
    """Of a video's first stream of pictures, as it lies in the file.

    codec: FFmpeg's name. tick: of timestamps, in seconds as a fraction. rate: mean frames per second as a fraction,
    None where none is recorded. declared: frames by the header, 0 where it does not count them; expected: by the
    duration. matrix, primaries, transfer: numbers of ITU-T H.273, 2 where nothing is said. range: 1 limited, 2 full,
    0 unsaid. full: whether samples have full range. aspect: of a pixel. display: the matrix of ISO 14496-12 that turns
    the picture upright, empty for none; turns: of 90 degrees counterclockwise, the same. bits: of a sample.
    """

    codec: str
    height: int
    width: int
    tick: tuple[int, int]
    rate: tuple[int, int] | None
    declared: int
    expected: int
    matrix: int
    primaries: int
    transfer: int
    range: int
    full: bool
    aspect: tuple[int, int] | None
    display: tuple[int, ...]
    turns: int
    bits: int

    @property
    def seconds_per_tick(self) -> Fraction:
        return Fraction(*self.tick)

    @property
    def scaler_matrix(self) -> int:
        """swscale's number of the matrix between RGB and the stream's colours."""
        return _MATRICES.get(self.matrix, _BT709 if self.height >= _HD_ROWS else _BT601)

    @property
    def scaler_range(self) -> int:
        return FULL if self.full else _LIMITED
